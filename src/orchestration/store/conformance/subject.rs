//! The store under test, with the short ways in which cases speak to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::orchestration::state::{FailurePolicy, StepState, TaskState};
use crate::orchestration::store::{
    ClaimRequest, ClaimScope, ClaimedStep, Claims, Completion, CompletionOutcome, HistoryKind,
    HistoryRecord, Lease, NewStep, NewTask, Operation, OperationKind, OperationOutcome,
    ProcessRegistration, StepFailure, StepId, StepOutcome, StepRecord, Store, Submission,
    SweepReport, SweepRequest, TaskRecord,
};

/// Longer than any test.
pub(super) const LONG: Duration = Duration::from_hours(1);

/// The handler of all steps that are not given another.
pub(super) const WORK: &str = "work";

/// A store, seen by one process that uses it.
#[derive(Clone)]
pub struct Subject {
    pub(super) store: Arc<dyn Store>,
    pub(super) process: Uuid,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({})", self.process)
    }
}

/// A step by its name and the positions of its parents.
pub(super) type Shape<'a> = [(&'a str, &'a [u32])];

/// A top, two sides, a bottom.
pub(super) const DIAMOND: &Shape<'static> = &[
    ("top", &[]),
    ("left", &[0]),
    ("right", &[0]),
    ("bottom", &[1, 2]),
];

/// A valid task of its own identity, its steps run by [`WORK`] with up to three attempts.
pub(super) fn task(shape: &Shape<'_>) -> NewTask {
    let task_uuid = Uuid::now_v7();
    let mut identity = [0; 32];
    identity[..16].copy_from_slice(task_uuid.as_bytes());
    NewTask {
        task_uuid,
        identity,
        content: [7; 32],
        namespace: "default".into(),
        name: "shape".into(),
        version: "1.0.0".into(),
        template_json: r#"{"name":"shape"}"#.into(),
        input_json: "null".into(),
        correlation_id: Uuid::new_v4(),
        priority: 0,
        failure_policy: FailurePolicy::Continue,
        run_at: None,
        submitted_by: Uuid::new_v4(),
        steps: shape
            .iter()
            .map(|(name, parents)| NewStep {
                name: (*name).into(),
                callable: WORK.into(),
                parents: parents.to_vec(),
                max_attempts: 3,
            })
            .collect(),
    }
}

pub(super) fn failure(message: &str) -> StepFailure {
    StepFailure {
        kind: "error".into(),
        message: message.into(),
        retryable: true,
        retry_after: None,
    }
}

impl Subject {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            process: Uuid::new_v4(),
        }
    }

    /// The same store, seen by another process that is registered too.
    pub(super) async fn another(&self) -> Self {
        let another = Self::new(Arc::clone(&self.store));
        another.join().await;
        another
    }

    pub(super) fn registration(&self, callables: &[&str]) -> ProcessRegistration {
        ProcessRegistration {
            process: self.process,
            host: "host".into(),
            pid: 7,
            pid_birth: "42".into(),
            callables: callables.iter().map(|&callable| callable.into()).collect(),
            serves: Vec::new(),
            only_task: None,
        }
    }

    pub(super) async fn join(&self) {
        let registration = self.registration(&[WORK]);
        self.store.register_process(registration).await.unwrap();
    }

    pub(super) async fn leave(&self) {
        self.store.unregister_process(self.process).await.unwrap();
    }

    pub(super) async fn submit(&self, shape: &Shape<'_>) -> Uuid {
        self.submit_task(task(shape)).await
    }

    pub(super) async fn submit_task(&self, task: NewTask) -> Uuid {
        let task_uuid = task.task_uuid;
        let answer = self.store.submit(vec![task]).await.unwrap().remove(0);
        assert_eq!(answer.unwrap(), Submission::Created { task_uuid });
        task_uuid
    }

    pub(super) fn request(&self, limit: u32) -> ClaimRequest {
        ClaimRequest {
            process: self.process,
            scope: ClaimScope::Any,
            callables: vec![WORK.into()],
            serves: Vec::new(),
            limit,
            lease: LONG,
        }
    }

    pub(super) async fn claims(&self, limit: u32) -> Claims {
        self.store.claim(self.request(limit)).await.unwrap()
    }

    pub(super) async fn claim(&self, limit: u32) -> Vec<ClaimedStep> {
        self.claims(limit).await.steps
    }

    /// Claims the one step that there is to claim.
    pub(super) async fn claim_one(&self) -> ClaimedStep {
        let mut steps = self.claim(100).await;
        assert_eq!(steps.len(), 1, "{steps:?}");
        steps.remove(0)
    }

    /// Claims the one step that there is, with a lease that has run out already.
    pub(super) async fn claim_and_lose(&self) -> ClaimedStep {
        let mut request = self.request(100);
        request.lease = Duration::ZERO;
        let mut steps = self.store.claim(request).await.unwrap().steps;
        assert_eq!(steps.len(), 1, "{steps:?}");
        steps.remove(0)
    }

    pub(super) fn success(&self, step: &ClaimedStep) -> Completion {
        Completion {
            lease: step.lease(),
            process: self.process,
            outcome: StepOutcome::Success {
                result_json: format!("{:?}", step.name),
            },
            elapsed: Duration::from_millis(5),
        }
    }

    pub(super) fn failed(&self, step: &ClaimedStep, retry_in: Option<Duration>) -> Completion {
        Completion {
            outcome: StepOutcome::Failure {
                failure: failure("broken"),
                retry_in,
            },
            ..self.success(step)
        }
    }

    /// A completion of a step that was never claimed.
    pub(super) fn stale(&self, task_uuid: Uuid, index: u32) -> Completion {
        Completion {
            lease: Lease {
                id: StepId { task_uuid, index },
                epoch: 1,
            },
            process: self.process,
            outcome: StepOutcome::Success {
                result_json: "null".into(),
            },
            elapsed: Duration::ZERO,
        }
    }

    pub(super) async fn complete(&self, completion: Completion) -> CompletionOutcome {
        self.store
            .complete(vec![completion])
            .await
            .unwrap()
            .remove(0)
    }

    /// Completes a step and expects it to be recorded.
    pub(super) async fn succeed(&self, step: &ClaimedStep) {
        let outcome = self.complete(self.success(step)).await;
        assert!(
            matches!(outcome, CompletionOutcome::Recorded { .. }),
            "{outcome:?}"
        );
    }

    /// Fails a step and expects it to be recorded.
    pub(super) async fn fail(&self, step: &ClaimedStep, retry_in: Option<Duration>) {
        let outcome = self.complete(self.failed(step, retry_in)).await;
        assert!(
            matches!(outcome, CompletionOutcome::Recorded { .. }),
            "{outcome:?}"
        );
    }

    /// Claims and completes until there is nothing left to claim; returns the names in the order of claims.
    pub(super) async fn run_out(&self) -> Vec<String> {
        let mut names = Vec::new();
        loop {
            let steps = self.claim(100).await;
            if steps.is_empty() {
                return names;
            }
            for step in steps {
                self.succeed(&step).await;
                names.push(step.name);
            }
        }
    }

    pub(super) fn sweep_request(&self, dead: &[Uuid]) -> SweepRequest {
        SweepRequest {
            process: self.process,
            dead: dead.to_vec(),
            max_lost_leases: 3,
            process_ttl: LONG,
            limit: 100,
        }
    }

    pub(super) async fn sweep(&self, dead: &[Uuid]) -> SweepReport {
        self.store.sweep(self.sweep_request(dead)).await.unwrap()
    }

    pub(super) async fn operate(&self, task_uuid: Uuid, kind: OperationKind) -> OperationOutcome {
        let operation = self.operation(task_uuid, kind);
        self.store.operate(vec![operation]).await.unwrap().remove(0)
    }

    pub(super) fn operation(&self, task_uuid: Uuid, kind: OperationKind) -> Operation {
        Operation {
            task_uuid,
            kind,
            process: self.process,
        }
    }

    pub(super) async fn cancel(&self, task_uuid: Uuid) -> OperationOutcome {
        let reason = "enough".to_owned();
        self.operate(task_uuid, OperationKind::Cancel { reason })
            .await
    }

    pub(super) async fn task(&self, task_uuid: Uuid) -> TaskRecord {
        self.store
            .task(task_uuid)
            .await
            .unwrap()
            .expect("the task exists")
    }

    pub(super) async fn state(&self, task_uuid: Uuid) -> TaskState {
        self.task(task_uuid).await.state
    }

    pub(super) async fn steps(&self, task_uuid: Uuid) -> Vec<StepRecord> {
        self.store.steps(task_uuid).await.unwrap()
    }

    pub(super) async fn step(&self, task_uuid: Uuid, index: usize) -> StepRecord {
        self.steps(task_uuid).await.swap_remove(index)
    }

    pub(super) async fn step_states(&self, task_uuid: Uuid) -> Vec<StepState> {
        self.steps(task_uuid)
            .await
            .iter()
            .map(|step| step.state)
            .collect()
    }

    pub(super) async fn rows(&self, task_uuid: Uuid, kind: HistoryKind) -> Vec<HistoryRecord> {
        let mut rows = self.store.history(task_uuid).await.unwrap();
        rows.retain(|row| row.kind == kind);
        rows
    }

    /// The states that the task went to, in order.
    pub(super) async fn states_passed(&self, task_uuid: Uuid) -> Vec<String> {
        let rows = self.rows(task_uuid, HistoryKind::TaskState).await;
        rows.into_iter().filter_map(|row| row.to).collect()
    }
}
