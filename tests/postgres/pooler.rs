//! Behind `PgBouncer` in transaction mode: a session is lent for one transaction.

use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use postroom::orchestration::store::conformance::Fixture;
use postroom::orchestration::store::postgres::{PostgresOptions, PostgresStore};

use super::cluster::{self, Cluster};
use super::programs;

/// A server with a pooler before it.
struct Pooled {
    cluster: Cluster,
}

fn pooled() -> &'static Pooled {
    static POOLED: OnceLock<Pooled> = OnceLock::new();
    POOLED.get_or_init(|| {
        let program = programs::pgbouncer();
        let cluster = Cluster::start();
        let folder = cluster.folder().display().to_string();
        let config = format!(
            "[databases]\n* = host={folder} port=5432\n\n[pgbouncer]\nlisten_addr =\nlisten_port = 6432\n\
             unix_socket_dir = {folder}\npidfile = {folder}/pgbouncer.pid\nlogfile = {folder}/pgbouncer.log\n\
             auth_type = any\npool_mode = transaction\nmax_client_conn = 400\ndefault_pool_size = 2\n\
             server_reset_query =\n"
        );
        // With `auth_type = any` every database has to say as whom.
        let config = config.replace("port=5432\n", "port=5432 user=postgres\n");
        let file = cluster.folder().join("pgbouncer.ini");
        std::fs::write(&file, config).unwrap();
        let started = cluster
            .as_nobody(program)
            .arg("-d")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .status()
            .expect("pgbouncer");
        assert!(started.success(), "pgbouncer did not start");
        // It goes into the background before it listens.
        let socket = cluster.folder().join(".s.PGSQL.6432");
        for _ in 0..200 {
            if socket.exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Pooled { cluster }
    })
}

async fn fresh() -> Fixture {
    let pooled = tokio::task::spawn_blocking(pooled).await.unwrap();
    let database = pooled.cluster.database().await;
    let url = cluster::url(pooled.cluster.folder(), 6432, database.name());
    let url = format!("{url}&poll_only=true");
    // Not as many as elsewhere: with one writer, what is done at once has one right answer. And as if much were in the
    // way of claims: what they bring is the same.
    let options = PostgresOptions::default().writers(1);
    let store = PostgresStore::open(&url, options.long_claim(Duration::ZERO)).await;
    Fixture::new(Arc::new(store.unwrap())).keeping(database)
}

postroom::store_conformance!(fresh);
