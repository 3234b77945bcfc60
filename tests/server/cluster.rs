//! A `PostgreSQL` server of the tests' own: on a socket in a temporary folder, as an unprivileged user, gone
//! with the process that made it, however that ends.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::programs;

/// A server.
pub(crate) struct Cluster {
    folder: PathBuf,
    bin: PathBuf,
    user: Option<(u32, u32)>,
    /// Ends the server and removes the folder when its input ends: that is, when this process does.
    watcher: Option<Child>,
}

/// What every server is told beside the defaults.
const SETTINGS: &str = "
listen_addresses = ''
max_connections = 300
log_min_messages = warning
";

/// What a test's server need not do: survive the machine.
pub(crate) const FORGETFUL: &str = "
shared_buffers = 64MB
fsync = off
full_page_writes = off
";

impl Cluster {
    /// Makes a server and starts it.
    pub(crate) fn start() -> Self {
        Self::start_with(FORGETFUL)
    }

    /// Makes a server with further settings, lines of `postgresql.conf`, and starts it.
    pub(crate) fn start_with(settings: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // Not the usual temporary folder: the path of a socket must be short.
        let folder = PathBuf::from(format!("/tmp/postroom-{}-{number}", std::process::id()));
        std::fs::create_dir(&folder).expect("a temporary folder");
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        let user = unprivileged();
        if let Some((uid, gid)) = user {
            chown(&folder, Some(uid), Some(gid)).unwrap();
        }
        let mut cluster = Self {
            bin: programs::server(),
            folder,
            user,
            watcher: None,
        };
        cluster.watch();
        let made = cluster
            .command("initdb")
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8"])
            .args(["--locale=C", "--no-sync", "--pgdata"])
            .arg(cluster.data())
            .output()
            .expect("initdb");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let settings = format!(
            "{SETTINGS}{settings}unix_socket_directories = '{}'\n",
            cluster.folder.display()
        );
        cluster.configure(&settings);
        cluster.up();
        cluster
    }

    /// Adds lines to `postgresql.conf`, for the next start.
    pub(crate) fn configure(&self, settings: &str) {
        let file = self.data().join("postgresql.conf");
        let mut text = std::fs::read_to_string(&file).unwrap();
        text.push_str(settings);
        std::fs::write(&file, text).unwrap();
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Puts a file for the server into its folder, which only the server may read.
    pub(crate) fn put(&self, name: &str, content: &str) -> PathBuf {
        let file = self.folder.join(name);
        std::fs::write(&file, content).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        if let Some((uid, gid)) = self.user {
            chown(&file, Some(uid), Some(gid)).unwrap();
        }
        file
    }

    /// The folder with the server's socket.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A program, run as somebody who may do nothing else.
    pub(crate) fn as_nobody(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.stdin(Stdio::null()).current_dir(&self.folder);
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn command(&self, program: &str) -> Command {
        self.as_nobody(self.bin.join(program))
    }

    fn watch(&mut self) {
        let script = "cat >/dev/null; \"$1\" stop -m immediate -s -D \"$0/data\"; \
                      [ -f \"$0/pgbouncer.pid\" ] && kill \"$(cat \"$0/pgbouncer.pid\")\"; \
                      cd / && rm -rf \"$0\"";
        let watcher = self
            .as_nobody("/bin/sh")
            .args(["-c", script])
            .arg(&self.folder)
            .arg(self.bin.join("pg_ctl"))
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        self.watcher = Some(watcher);
    }

    fn control(&self, arguments: &[&str]) {
        let done = self
            .command("pg_ctl")
            .args(arguments)
            .arg("-s")
            .arg("-D")
            .arg(self.data())
            .arg("-l")
            .arg(self.folder.join("log"))
            .output()
            .expect("pg_ctl");
        assert!(
            done.status.success(),
            "pg_ctl {arguments:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }

    /// Starts the server and waits until it answers.
    pub(crate) fn up(&self) {
        self.control(&["start", "-w", "-t", "60"]);
    }

    /// As if the machine had lost power, for the server's part.
    pub(crate) fn down(&self) {
        self.control(&["stop", "-m", "immediate"]);
    }

    /// Where a database is.
    pub(crate) fn url(&self, database: &str) -> String {
        url(&self.folder, 5432, database)
    }

    /// A new, empty database.
    pub(crate) async fn database(&self) -> Database {
        Database::create(self.url("postgres")).await
    }
}

/// A database that goes away with this.
#[derive(Debug)]
pub(crate) struct Database {
    name: String,
    url: String,
    /// Of a database beside it.
    beside: String,
}

impl Database {
    async fn create(beside: String) -> Self {
        let name = format!("postroom_{}", uuid::Uuid::new_v4().simple());
        let create = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'");
        execute(&beside, create)
            .await
            .unwrap_or_else(|error| panic!("the server of the tests: {error}"));
        let (place, parameters) = beside.split_once('?').unwrap_or((&beside, ""));
        let (scheme, rest) = place.split_once("://").expect("a URL");
        let host = rest.split('/').next().unwrap_or_default();
        Self {
            url: format!("{scheme}://{host}/{name}?{parameters}"),
            name,
            beside,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl std::ops::Deref for Database {
    type Target = str;

    fn deref(&self) -> &str {
        &self.url
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        let beside = self.beside.clone();
        // A destructor cannot wait in the runtime that it may run in.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            // The server may be down by now, which ends the database too.
            let _ = runtime.block_on(execute(&beside, drop));
        });
        let _ = dropping.join();
    }
}

async fn execute(url: &str, statement: String) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    connection.execute(AssertSqlSafe(statement)).await?;
    connection.close().await
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut watcher) = self.watcher.take() {
            drop(watcher.stdin.take());
            // It has nothing to say.
            let _ = watcher.wait();
        }
    }
}

pub(crate) fn url(folder: &Path, port: u16, database: &str) -> String {
    format!(
        "postgres://postgres@localhost:{port}/{database}?host={}",
        folder.display()
    )
}

/// The server that tests share.
pub(crate) fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(Cluster::start)
}

/// A new, empty database: on the server that `POSTROOM_TEST_DATABASE_URL` names, else on one of our own.
pub(crate) async fn database() -> Database {
    if let Ok(given) = std::env::var("POSTROOM_TEST_DATABASE_URL") {
        return Database::create(given).await;
    }
    let cluster = tokio::task::spawn_blocking(shared).await.unwrap();
    cluster.database().await
}

/// Somebody else, if this is root: the server refuses to run as root.
fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let ids = |name: &str| {
        let line = users
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(
        ids("postgres")
            .or_else(|| ids("nobody"))
            .expect("a user that is not root"),
    )
}
