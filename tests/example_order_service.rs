//! The example service, run as its users run it: no accepted order is lost on SIGTERM or `kill -9`.
#![cfg(all(unix, feature = "sqlite"))]

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use postroom::orchestration::state::TaskState;
use postroom::orchestration::store::sqlite::{SqliteOptions, SqliteStore};
use postroom::orchestration::store::{Store, TaskFilter};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use uuid::Uuid;

struct Service {
    child: Child,
    address: String,
}

impl Service {
    fn start(database: &Path) -> Self {
        let mut child = Command::new(example())
            .env("ORDERS_DATABASE", database)
            .env("ORDERS_ADDRESS", "127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let address = line.trim().rsplit("http://").next().unwrap().to_owned();
        // What it prints later must not fill the pipe.
        std::thread::spawn(move || {
            let mut rest = String::new();
            let _ = lines.read_to_string(&mut rest);
        });
        Self { child, address }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Examples are built beside the tests.
fn example() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/order_service")
}

/// Sends one order; `None` if the service did not say that it took it.
fn order(address: &str, id: &str) -> Option<Uuid> {
    let mut connection = TcpStream::connect(address).ok()?;
    let body = format!("{{\"id\": \"{id}\", \"item\": \"lamp\", \"quantity\": 2}}");
    write!(
        connection,
        "POST /orders HTTP/1.1\r\nhost: shop\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    if !head.starts_with("HTTP/1.1 202") {
        return None;
    }
    let body: Value = serde_json::from_str(body).ok()?;
    Uuid::parse_str(body["task"].as_str()?).ok()
}

/// Sends orders until the service goes away, and returns those that were accepted.
fn orders_until_the_end(
    address: &str,
    customers: usize,
    after_some: impl FnOnce(),
) -> HashSet<Uuid> {
    std::thread::scope(|scope| {
        let (accepted, seen) = std::sync::mpsc::channel();
        for customer in 0..customers {
            let accepted = accepted.clone();
            scope.spawn(move || {
                for number in 0..10_000 {
                    match order(address, &format!("{customer}-{number}")) {
                        Some(task) => accepted.send(task).unwrap(),
                        None => break,
                    }
                }
            });
        }
        drop(accepted);
        let mut tasks: HashSet<Uuid> = seen.iter().take(20).collect();
        after_some();
        tasks.extend(seen);
        tasks
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_accepted_order_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("orders.db");

    let mut service = Service::start(&database);
    let address = service.address.clone();
    let mut accepted = orders_until_the_end(&address, 4, || {
        service.signal(Signal::TERM);
    });
    let status = service.child.wait().unwrap();
    assert!(status.success(), "a SIGTERM is an orderly end: {status}");

    let service = Service::start(&database);
    let address = service.address.clone();
    accepted.extend(orders_until_the_end(&address, 4, || {
        service.signal(Signal::KILL);
    }));
    drop(service);
    assert!(accepted.len() >= 20);

    // Whatever was left unfinished goes on at the next start.
    let service = Service::start(&database);
    let store = SqliteStore::open(database.to_str().unwrap(), SqliteOptions::default())
        .await
        .unwrap();
    let give_up = Instant::now() + Duration::from_mins(1);
    loop {
        let unfinished = TaskFilter {
            states: vec![
                TaskState::Pending,
                TaskState::Running,
                TaskState::Waiting,
                TaskState::Blocked,
            ],
            ..TaskFilter::default()
        };
        if store.tasks(unfinished).await.unwrap().is_empty() {
            break;
        }
        assert!(Instant::now() < give_up, "orders are left unfinished");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for task in accepted {
        let record = store
            .task(task)
            .await
            .unwrap()
            .expect("an accepted order is stored");
        assert_eq!(record.state, TaskState::Complete, "{record:?}");
    }
    assert_eq!(store.audit().await.unwrap(), Vec::<String>::new());
    drop(service);
}
