//! What happens at the same time happens once.

use std::collections::HashSet;
use std::time::Duration;

use tokio::task::JoinSet;
use uuid::Uuid;

use super::subject::{DIAMOND, Subject, task};
use crate::orchestration::state::{StepState, TaskState};
use crate::orchestration::store::{
    CompletionOutcome, NewTask, OperationKind, StepId, Submission, TaskFilter,
};

/// And the others are told of it.
pub async fn a_hundred_submissions_of_one_task_make_one(subject: Subject) {
    let new = task(DIAMOND);
    let mut submitting = JoinSet::new();
    for _ in 0..100 {
        let store = subject.store.clone();
        let task = NewTask {
            task_uuid: Uuid::now_v7(),
            ..new.clone()
        };
        submitting.spawn(async move { store.submit(vec![task]).await.unwrap().remove(0).unwrap() });
    }
    let (mut created, mut duplicates) = (Vec::new(), HashSet::new());
    for answer in submitting.join_all().await {
        match answer {
            Submission::Created { task_uuid } => created.push(task_uuid),
            Submission::Duplicate { task_uuid, .. } => {
                duplicates.insert(task_uuid);
            }
        }
    }
    assert_eq!(created.len(), 1);
    assert_eq!(duplicates, HashSet::from([created[0]]));
    assert_eq!(
        subject
            .store
            .tasks(TaskFilter::default())
            .await
            .unwrap()
            .len(),
        1
    );
}

/// Among many that claim, each step has one holder.
pub async fn concurrent_claims_never_share_a_step(subject: Subject) {
    let names: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let shape: Vec<(&str, &[u32])> = names.iter().map(|name| (&**name, &[][..])).collect();
    for _ in 0..3 {
        subject.submit(&shape).await;
    }
    let mut claiming = JoinSet::new();
    for _ in 0..32 {
        let claimer = Subject::new(subject.store.clone());
        claiming.spawn(async move {
            let mut own = Vec::new();
            loop {
                let steps = claimer.claim(7).await;
                if steps.is_empty() {
                    return own;
                }
                own.extend(steps.into_iter().map(|step| (step.id, step.epoch)));
            }
        });
    }
    let claimed: Vec<(StepId, u64)> = claiming.join_all().await.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 300);
    assert!(claimed.iter().all(|(_, epoch)| *epoch == 1));
    let distinct: HashSet<StepId> = claimed.into_iter().map(|(id, _)| id).collect();
    assert_eq!(distinct.len(), 300);
}

/// Neither lost nor readied twice, however the parents' completions fall.
pub async fn parents_completing_at_once_ready_their_join_once(subject: Subject) {
    for _ in 0..40 {
        let uuid = subject.submit(DIAMOND).await;
        let top = subject.claim_one().await;
        subject.succeed(&top).await;
        let mut completing = JoinSet::new();
        for side in subject.claim(10).await {
            let subject = subject.clone();
            completing.spawn(async move { subject.complete(subject.success(&side)).await });
        }
        let readied: u32 = completing
            .join_all()
            .await
            .into_iter()
            .map(|outcome| match outcome {
                CompletionOutcome::Recorded { newly_ready, .. } => newly_ready,
                other => panic!("{other:?}"),
            })
            .sum();
        assert_eq!(readied, 1);
        assert_eq!(subject.run_out().await, ["bottom"]);
        assert_eq!(subject.state(uuid).await, TaskState::Complete);
    }
}

/// A lost lease is lost once.
pub async fn concurrent_sweeps_take_back_once(subject: Subject) {
    let mut uuids = Vec::new();
    for _ in 0..20 {
        uuids.push(subject.submit(DIAMOND).await);
    }
    let mut request = subject.request(100);
    request.lease = Duration::ZERO;
    assert_eq!(subject.store.claim(request).await.unwrap().steps.len(), 20);
    let mut sweeping = JoinSet::new();
    for _ in 0..8 {
        let subject = subject.clone();
        sweeping.spawn(async move { subject.sweep(&[]).await.rescued });
    }
    let rescued: Vec<StepId> = sweeping.join_all().await.into_iter().flatten().collect();
    assert_eq!(rescued.len(), 20);
    for uuid in uuids {
        let step = subject.step(uuid, 0).await;
        assert_eq!((step.state, step.lost_leases), (StepState::Ready, 1));
    }
}

/// Completed, cancelled and looked at all at once: one end, and everybody's answer fits it.
pub async fn a_task_ends_once_however_it_is_ended(subject: Subject) {
    for _ in 0..30 {
        let uuid = subject.submit(&[("only", &[])]).await;
        let step = subject.claim_one().await;
        let mut ending = JoinSet::new();
        for number in 0..4 {
            let (subject, step) = (subject.clone(), step.clone());
            ending.spawn(async move {
                if number % 2 == 0 {
                    subject.complete(subject.success(&step)).await;
                } else {
                    subject.cancel(uuid).await;
                }
                subject.operate(uuid, OperationKind::Finalise).await;
            });
        }
        ending.join_all().await;
        let state = subject.state(uuid).await;
        assert!(
            matches!(state, TaskState::Complete | TaskState::Cancelled),
            "{state}"
        );
        let passed = subject.states_passed(uuid).await;
        assert_eq!(passed, ["running", state.as_str()]);
    }
}

/// The everyday case: many tasks, several workers, every step once and after its parents.
pub async fn many_workers_run_every_step_once(subject: Subject) {
    let mut uuids = Vec::new();
    for _ in 0..40 {
        uuids.push(subject.submit(DIAMOND).await);
    }
    let mut working = JoinSet::new();
    for _ in 0..6 {
        let worker = subject.another().await;
        let uuids = uuids.clone();
        working.spawn(async move {
            let mut run = Vec::new();
            loop {
                let steps = worker.claim(5).await;
                for step in &steps {
                    worker.succeed(step).await;
                    run.push(step.id);
                }
                if steps.is_empty() {
                    let mut finished = true;
                    for uuid in &uuids {
                        finished &= worker.state(*uuid).await.is_terminal();
                    }
                    if finished {
                        return run;
                    }
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    let run: Vec<StepId> = working.join_all().await.into_iter().flatten().collect();
    assert_eq!(run.len(), 160);
    assert_eq!(run.iter().collect::<HashSet<_>>().len(), 160);
    for uuid in uuids {
        assert_eq!(subject.state(uuid).await, TaskState::Complete);
        for step in subject.steps(uuid).await {
            assert_eq!((step.attempts, step.epoch), (1, 1));
        }
    }
}
