//! Finding the server's programs, and installing them where that may be done.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// The folder with `initdb`, `pg_ctl` and `postgres`.
pub(crate) fn server() -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    find_server().unwrap_or_else(|| {
        install("postgresql");
        find_server().unwrap_or_else(|| missing("PostgreSQL (initdb, pg_ctl, postgres)"))
    })
}

/// The pooler.
pub(crate) fn pgbouncer() -> PathBuf {
    let find = || {
        on_path("pgbouncer").or_else(|| {
            let debian = PathBuf::from("/usr/sbin/pgbouncer");
            debian.exists().then_some(debian)
        })
    };
    find().unwrap_or_else(|| {
        install("pgbouncer");
        find().unwrap_or_else(|| missing("pgbouncer"))
    })
}

fn find_server() -> Option<PathBuf> {
    let complete = |folder: &Path| {
        ["initdb", "pg_ctl", "postgres"]
            .iter()
            .all(|program| folder.join(program).exists())
    };
    let beside_initdb = || {
        let initdb = on_path("initdb")?.canonicalize().ok()?;
        Some(initdb.parent()?.to_owned())
    };
    let configured = || {
        let told = Command::new("pg_config").arg("--bindir").output().ok()?;
        Some(PathBuf::from(String::from_utf8(told.stdout).ok()?.trim()))
    };
    let debian = || {
        let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
            .ok()?
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let version = entry.file_name().to_str()?.parse().ok()?;
                Some((version, entry.path().join("bin")))
            })
            .collect();
        found.sort();
        found.pop().map(|(_, folder)| folder)
    };
    let places: [&dyn Fn() -> Option<PathBuf>; 3] = [&beside_initdb, &configured, &debian];
    places
        .iter()
        .filter_map(|place| place())
        .find(|folder| complete(folder))
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.exists())
}

fn install(package: &str) {
    if !rustix::process::geteuid().is_root() || on_path("apt-get").is_none() {
        return;
    }
    eprintln!("installing {package} for the tests");
    let done = Command::new("sh")
        .args(["-c", include_str!("install.sh"), "install.sh", package])
        .stdin(Stdio::null())
        .output()
        .expect("sh");
    if !done.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&done.stderr));
    }
}

fn missing(what: &str) -> ! {
    panic!(
        "{what} is needed for these tests and cannot be installed from here: install it; for most of them a server \
         that POSTROOM_TEST_DATABASE_URL names will do"
    )
}
