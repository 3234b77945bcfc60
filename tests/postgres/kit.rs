//! Tasks, claims and completions in few words.

use std::time::Duration;

use postroom::orchestration::state::{FailurePolicy, StepState};
use postroom::orchestration::store::postgres::{PostgresOptions, PostgresStore};
use postroom::orchestration::store::{
    ClaimRequest, ClaimScope, ClaimedStep, Completion, CompletionOutcome, NewStep, NewTask,
    StepOutcome, Store, Submission,
};
use uuid::Uuid;

use super::cluster::{self, Database};

pub(crate) async fn open(url: &str) -> PostgresStore {
    open_with(url, PostgresOptions::default()).await
}

pub(crate) async fn open_with(url: &str, options: PostgresOptions) -> PostgresStore {
    PostgresStore::open(url, options).await.unwrap()
}

/// Steps with the positions of their parents.
pub(crate) fn task(parents: &[&[u32]]) -> NewTask {
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
        correlation_id: Uuid::new_v4(),
        priority: 0,
        failure_policy: FailurePolicy::default(),
        run_at: None,
        submitted_by: Uuid::new_v4(),
        steps: parents
            .iter()
            .enumerate()
            .map(|(index, parents)| NewStep {
                name: index.to_string(),
                callable: "work".into(),
                parents: parents.to_vec(),
                max_attempts: 3,
            })
            .collect(),
    }
}

/// A chain of four steps.
pub(crate) fn chain() -> NewTask {
    task(&[&[], &[0], &[1], &[2]])
}

pub(crate) async fn submit(store: &PostgresStore, task: NewTask) -> Uuid {
    let task_uuid = task.task_uuid;
    let answer = store.submit(vec![task]).await.unwrap().remove(0).unwrap();
    assert_eq!(answer, Submission::Created { task_uuid });
    task_uuid
}

pub(crate) fn request(process: Uuid, limit: u32) -> ClaimRequest {
    ClaimRequest {
        process,
        scope: ClaimScope::Any,
        callables: vec!["work".into()],
        serves: Vec::new(),
        limit,
        lease: Duration::from_mins(1),
    }
}

pub(crate) async fn claim(store: &PostgresStore, process: Uuid, limit: u32) -> Vec<ClaimedStep> {
    store.claim(request(process, limit)).await.unwrap().steps
}

pub(crate) fn success(step: &ClaimedStep, process: Uuid) -> Completion {
    Completion {
        lease: step.lease(),
        process,
        outcome: StepOutcome::Success {
            result_json: format!("{:?}", step.name),
        },
        elapsed: Duration::from_millis(1),
    }
}

/// Records a success; returns how many steps it made ready.
pub(crate) async fn succeed(store: &PostgresStore, step: &ClaimedStep, process: Uuid) -> u32 {
    let completion = success(step, process);
    match store.complete(vec![completion]).await.unwrap().remove(0) {
        CompletionOutcome::Recorded { newly_ready, .. } => newly_ready,
        other => panic!("{other:?}"),
    }
}

/// Claims and completes until there is nothing left.
pub(crate) async fn run_out(store: &PostgresStore, process: Uuid) -> usize {
    let mut done = 0;
    loop {
        let steps = claim(store, process, 50).await;
        if steps.is_empty() {
            return done;
        }
        for step in &steps {
            succeed(store, step, process).await;
        }
        done += steps.len();
    }
}

pub(crate) async fn assert_sound(store: &PostgresStore) {
    assert_eq!(store.audit().await.unwrap(), Vec::<String>::new());
}

/// A store with one writer whose last claim has found nothing, and one of whose processes has nothing to do.
pub(crate) async fn quiet() -> (Database, PostgresStore, Uuid) {
    let url = cluster::database().await;
    let store = open_with(&url, PostgresOptions::default().writers(1)).await;
    let process = Uuid::new_v4();
    assert!(claim(&store, process, 1).await.is_empty());
    (url, store, process)
}

/// The task with these handlers for its steps, in order.
pub(crate) fn with_handlers(mut task: NewTask, handlers: &[&str]) -> NewTask {
    for (step, handler) in task.steps.iter_mut().zip(handlers) {
        (*handler).clone_into(&mut step.callable);
    }
    task
}

pub(crate) async fn states(store: &PostgresStore, task: Uuid) -> Vec<StepState> {
    let steps = store.steps(task).await.unwrap();
    steps.into_iter().map(|step| step.state).collect()
}
