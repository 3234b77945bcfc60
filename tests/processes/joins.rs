//! A join is started once, however many parents it has and however they complete: over two connections and over
//! two processes, and in memory.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use postroom::orchestration::state::{FailurePolicy, TaskState};
use postroom::orchestration::store::memory::MemoryStore;
use postroom::orchestration::store::{
    ClaimRequest, ClaimScope, ClaimedStep, Completion, CompletionOutcome, Lease, NewStep, NewTask,
    StepId, StepOutcome, Store,
};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::place::{self, Place};

fn task(steps: Vec<(&str, Vec<u32>)>) -> NewTask {
    let task_uuid = Uuid::now_v7();
    let mut identity = [0; 32];
    identity[..16].copy_from_slice(task_uuid.as_bytes());
    NewTask {
        task_uuid,
        identity,
        content: [1; 32],
        namespace: "default".into(),
        name: "shape".into(),
        version: "1.0.0".into(),
        template_json: "{}".into(),
        input_json: "null".into(),
        correlation_id: task_uuid,
        priority: 0,
        failure_policy: FailurePolicy::Continue,
        run_at: None,
        submitted_by: Uuid::nil(),
        steps: steps
            .into_iter()
            .map(|(name, parents)| NewStep {
                name: name.into(),
                callable: "work".into(),
                parents,
                max_attempts: 1,
            })
            .collect(),
    }
}

pub(crate) fn diamond() -> NewTask {
    let (top, side) = (vec![], vec![0]);
    task(vec![
        ("top", top),
        ("left", side.clone()),
        ("right", side),
        ("bottom", vec![1, 2]),
    ])
}

async fn claim(store: &dyn Store, process: Uuid, limit: u32) -> Vec<ClaimedStep> {
    let request = ClaimRequest {
        process,
        scope: ClaimScope::Any,
        callables: vec!["work".into()],
        serves: Vec::new(),
        limit,
        lease: Duration::from_mins(10),
    };
    store.claim(request).await.unwrap().steps
}

fn success(lease: Lease, process: Uuid) -> Completion {
    Completion {
        lease,
        process,
        outcome: StepOutcome::Success {
            result_json: "1".into(),
        },
        elapsed: Duration::ZERO,
    }
}

/// Completes one step and returns how many became ready by it.
async fn complete(store: &dyn Store, lease: Lease, process: Uuid) -> u32 {
    let outcomes = store.complete(vec![success(lease, process)]).await.unwrap();
    match outcomes[..] {
        [CompletionOutcome::Recorded { newly_ready, .. }] => newly_ready,
        _ => panic!("{outcomes:?}"),
    }
}

async fn complete_all(store: &dyn Store, steps: &[ClaimedStep], process: Uuid) {
    let completions = steps.iter().map(|step| success(step.lease(), process));
    let outcomes = store.complete(completions.collect()).await.unwrap();
    let recorded = |it: &CompletionOutcome| matches!(it, CompletionOutcome::Recorded { .. });
    assert!(outcomes.iter().all(recorded), "{outcomes:?}");
}

/// Two connections to one store.
type Connections = [Arc<dyn Store>; 2];

fn in_memory() -> Connections {
    let store = MemoryStore::new();
    [Arc::new(store.clone()), Arc::new(store)]
}

async fn two_to(place: &Place) -> Connections {
    [place.open().await, place.open().await]
}

async fn end(connections: Connections) {
    assert_eq!(connections[0].audit().await.unwrap(), Vec::<String>::new());
    for store in connections {
        store.close().await;
    }
}

/// Diamonds whose two sides complete at the same instant, each over a connection of its own.
async fn diamonds(connections: &Connections, count: usize) {
    const AT_ONCE: usize = 250;
    let [first, _] = connections;
    let process = Uuid::new_v4();
    for _ in 0..count / AT_ONCE {
        let tasks: Vec<NewTask> = (0..AT_ONCE).map(|_| diamond()).collect();
        let uuids: Vec<Uuid> = tasks.iter().map(|task| task.task_uuid).collect();
        first.submit(tasks).await.unwrap();
        let tops = claim(&**first, process, 1_000).await;
        complete_all(&**first, &tops, process).await;
        let sides = claim(&**first, process, 1_000).await;
        assert_eq!(sides.len(), 2 * AT_ONCE);
        let mut completing = JoinSet::new();
        for pair in sides.chunks(2) {
            assert_eq!(pair[0].id.task_uuid, pair[1].id.task_uuid);
            let together = Arc::new(Barrier::new(2));
            for (store, step) in connections.iter().zip(pair) {
                let (store, lease) = (Arc::clone(store), step.lease());
                let together = Arc::clone(&together);
                completing.spawn(async move {
                    together.wait().await;
                    complete(&*store, lease, process).await
                });
            }
        }
        let readied: u32 = completing.join_all().await.into_iter().sum();
        assert_eq!(readied as usize, AT_ONCE, "each join was readied once");
        let joins = claim(&**first, process, 1_000).await;
        assert_eq!(joins.len(), AT_ONCE, "and can be claimed once");
        assert!(
            joins
                .iter()
                .all(|join| (join.epoch, join.parents.len()) == (1, 2))
        );
        complete_all(&**first, &joins, process).await;
        for uuid in uuids {
            let state = first.task(uuid).await.unwrap().unwrap().state;
            assert_eq!(state, TaskState::Complete);
        }
    }
}

/// Eleven hundred parents, each completed by itself, over both connections in turn.
async fn wide_join(connections: &Connections) {
    let names: Vec<String> = (0..1_100).map(|number| number.to_string()).collect();
    let mut steps: Vec<(&str, Vec<u32>)> = names.iter().map(|name| (&**name, vec![])).collect();
    steps.push(("join", (0..1_100).collect()));
    let process = Uuid::new_v4();
    connections[0].submit(vec![task(steps)]).await.unwrap();
    let parents = claim(&*connections[0], process, 2_000).await;
    assert_eq!(parents.len(), 1_100);
    let mut completing = JoinSet::new();
    for (number, parent) in parents.iter().enumerate() {
        let (store, lease) = (Arc::clone(&connections[number % 2]), parent.lease());
        completing.spawn(async move { complete(&*store, lease, process).await });
    }
    let readied: u32 = completing.join_all().await.into_iter().sum();
    assert_eq!(readied, 1);
    let joins = claim(&*connections[1], process, 10).await;
    assert_eq!(joins.len(), 1);
    assert_eq!(joins[0].parents.len(), 1_100);
    complete_all(&*connections[0], &joins, process).await;
}

async fn joins_of(connections: Connections) {
    wide_join(&connections).await;
    diamonds(&connections, 10_000).await;
    end(connections).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o06_joins_of_1100_parents_and_10000_diamonds_start_once_in_memory() {
    joins_of(in_memory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o06_joins_of_1100_parents_and_10000_diamonds_start_once_in_a_file() {
    let place = Place::file();
    joins_of(two_to(&place).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o06_joins_of_1100_parents_and_10000_diamonds_start_once_on_a_server() {
    let place = Place::server().await;
    joins_of(two_to(&place).await).await;
}

/// Not a test of its own: the other process. It completes what it is told to, and says what became ready by it.
#[tokio::test(flavor = "current_thread")]
async fn child_that_completes_what_it_is_told() {
    let Some(url) = place::given() else {
        return;
    };
    let store = place::open(&url).await;
    println!("\nopen");
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let [task, index, epoch, process] = words[..] else {
            panic!("{line}");
        };
        let id = StepId {
            task_uuid: task.parse().unwrap(),
            index: index.parse().unwrap(),
        };
        let epoch = epoch.parse().unwrap();
        let readied = complete(&*store, Lease { id, epoch }, process.parse().unwrap()).await;
        println!("readied {readied}");
    }
    store.close().await;
}

async fn two_processes(place: Place) {
    let store = place.open().await;
    let mut child = place
        .process("joins::child_that_completes_what_it_is_told")
        .spawn()
        .unwrap();
    let mut tell = child.stdin.take().unwrap();
    let (hear, said) = mpsc::channel();
    let listening = place::listen(&mut child, move |line| {
        let readied = line.strip_prefix("readied ");
        if line == "open" || readied.is_some() {
            hear.send(readied.map_or(0, |text| text.parse().unwrap()))
                .unwrap();
        }
    });
    let process = Uuid::new_v4();
    said.recv().unwrap();
    for _ in 0..200 {
        store.submit(vec![diamond()]).await.unwrap();
        let tops = claim(&*store, process, 10).await;
        complete_all(&*store, &tops, process).await;
        let sides = claim(&*store, process, 10).await;
        let [left, right] = &sides[..] else {
            panic!("{sides:?}");
        };
        let StepId { task_uuid, index } = right.id;
        writeln!(tell, "{task_uuid} {index} {} {process}", right.epoch).unwrap();
        let readied: u32 = complete(&*store, left.lease(), process).await;
        let other: u32 = said.recv().unwrap();
        assert_eq!(readied + other, 1);
        let joins = claim(&*store, process, 10).await;
        assert_eq!(joins.len(), 1);
        complete_all(&*store, &joins, process).await;
        let state = store.task(task_uuid).await.unwrap().unwrap().state;
        assert_eq!(state, TaskState::Complete);
    }
    drop(tell);
    assert!(child.wait().unwrap().success());
    listening.join().unwrap();
    assert_eq!(store.audit().await.unwrap(), Vec::<String>::new());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o06_two_hundred_diamonds_over_two_processes_on_one_file() {
    two_processes(Place::file()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o06_two_hundred_diamonds_over_two_processes_on_one_server() {
    two_processes(Place::server().await).await;
}
