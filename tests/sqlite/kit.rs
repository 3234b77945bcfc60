//! Tasks, claims and completions in few words.

use std::path::{Path, PathBuf};
use std::task::Poll;
use std::time::Duration;

use postroom::orchestration::state::FailurePolicy;
use postroom::orchestration::store::sqlite::{SqliteOptions, SqliteStore};
use postroom::orchestration::store::{
    ClaimRequest, ClaimScope, ClaimedStep, Completion, NewStep, NewTask, StepOutcome, Store,
    Submission,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tempfile::TempDir;
use uuid::Uuid;

/// A folder that goes away, and a database in it.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("postroom.db");
    (folder, path)
}

pub(crate) async fn open(path: &Path) -> SqliteStore {
    open_with(path, SqliteOptions::default()).await
}

pub(crate) async fn open_with(path: &Path, options: SqliteOptions) -> SqliteStore {
    SqliteStore::open(path.to_str().unwrap(), options)
        .await
        .unwrap()
}

/// A connection of the test's own, past the store.
pub(crate) async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .connect()
        .await
        .unwrap()
}

/// A chain of steps named `0`, `1`, ...
pub(crate) fn chain(length: u32) -> NewTask {
    let mut task = wide(length);
    for (index, step) in (0_u32..).zip(&mut task.steps) {
        step.parents = index.checked_sub(1).into_iter().collect();
    }
    task
}

/// Steps that do not depend on each other.
pub(crate) fn wide(width: u32) -> NewTask {
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
        failure_policy: FailurePolicy::Continue,
        run_at: None,
        submitted_by: Uuid::new_v4(),
        steps: (0..width)
            .map(|index| NewStep {
                name: index.to_string(),
                callable: "work".into(),
                parents: Vec::new(),
                max_attempts: 3,
            })
            .collect(),
    }
}

pub(crate) async fn submit(store: &SqliteStore, task: NewTask) -> Uuid {
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

pub(crate) async fn claim(store: &SqliteStore, process: Uuid, limit: u32) -> Vec<ClaimedStep> {
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

pub(crate) async fn assert_sound(store: &SqliteStore) {
    assert_eq!(store.audit().await.unwrap(), Vec::<String>::new());
}

/// Polls all of them in this task, in order, until each is done.
pub(crate) async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures
        .into_iter()
        .map(|future| (Box::pin(future), None))
        .collect();
    std::future::poll_fn(|cx| {
        let mut left = 0;
        for (future, output) in &mut running {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(done) => *output = Some(done),
                    Poll::Pending => left += 1,
                }
            }
        }
        if left == 0 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    running
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}
