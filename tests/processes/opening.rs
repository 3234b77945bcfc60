//! Fifty processes start at once on an empty database: one of them makes the tables, the others find them.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::Duration;

use postroom::orchestration::store::TaskFilter;

use crate::joins::diamond;
use crate::place::{self, Place};

const PROCESSES: usize = 50;

/// Not a test of its own: opens the database when it is told to, stores a task, and ends when it is told to.
#[tokio::test(flavor = "current_thread")]
async fn child_that_opens_when_it_is_told() {
    let Some(url) = place::given() else {
        return;
    };
    let mut told = String::new();
    println!("\nready");
    std::io::stdin().read_line(&mut told).unwrap();
    let store = place::open(&url).await;
    let task = diamond();
    println!("stored {}", task.task_uuid);
    store.submit(vec![task]).await.unwrap().remove(0).unwrap();
    println!("open");
    std::io::stdin().read_line(&mut told).unwrap();
    store.close().await;
}

struct Opener {
    child: Child,
    said: Receiver<String>,
    listening: JoinHandle<()>,
}

impl Opener {
    fn start(place: &Place) -> Self {
        let mut child = place
            .process("opening::child_that_opens_when_it_is_told")
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let (hear, said) = mpsc::channel();
        let listening = place::listen(&mut child, move |line| {
            // The rest of what it says is not listened to.
            let _ = hear.send(line.to_owned());
        });
        Self {
            child,
            said,
            listening,
        }
    }

    /// What follows a word that it says next, among what a test says otherwise.
    fn hear(&self, word: &str) -> String {
        loop {
            let line = self.said.recv_timeout(Duration::from_mins(2));
            let line = line.unwrap_or_else(|error| panic!("waiting for {word:?}: {error}"));
            if let Some(rest) = line.strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }

    fn go_on(&mut self) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(b"\n").unwrap();
    }

    fn end(mut self) {
        self.go_on();
        assert!(self.child.wait().unwrap().success());
        self.listening.join().unwrap();
    }
}

async fn fifty_open(place: Place) {
    let mut openers: Vec<Opener> = (0..PROCESSES).map(|_| Opener::start(&place)).collect();
    for opener in &openers {
        opener.hear("ready");
    }
    openers.iter_mut().for_each(Opener::go_on);
    let stored: BTreeSet<String> = openers
        .iter()
        .map(|opener| opener.hear("stored "))
        .collect();
    for opener in &openers {
        opener.hear("open");
    }
    assert_eq!(place.session_locks().await, 0, "no session holds a lock");
    let store = place.open().await;
    let tasks = store.tasks(TaskFilter::default()).await.unwrap();
    let found: BTreeSet<String> = tasks.iter().map(|it| it.task_uuid.to_string()).collect();
    assert_eq!(found, stored);
    assert_eq!(store.audit().await.unwrap(), Vec::<String>::new());
    openers.into_iter().for_each(Opener::end);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o12_fifty_processes_may_make_the_same_file_at_once() {
    fifty_open(Place::file()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o12_fifty_processes_may_make_the_same_schema_at_once() {
    fifty_open(Place::server().await).await;
}
