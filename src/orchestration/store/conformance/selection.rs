//! Who is served, and when: templates, priorities, tasks that are to run later.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use super::subject::{LONG, Subject, WORK, task};
use crate::orchestration::state::{StepState, TaskState};
use crate::orchestration::store::{ClaimScope, ClaimedStep, TemplateSelector};

async fn submit(subject: &Subject, namespace: &str, name: &str, version: &str) -> Uuid {
    let mut new = task(&[("only", &[])]);
    (new.namespace, new.name, new.version) = (namespace.into(), name.into(), version.into());
    subject.submit_task(new).await
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// By namespace, name and version; none at all: every task.
pub async fn only_the_templates_served_are_claimed(subject: Subject) {
    let old = submit(&subject, "shop", "order", "1.0.0").await;
    let new = submit(&subject, "shop", "order", "2.0.0").await;
    let refund = submit(&subject, "shop", "refund", "1.0.0").await;
    let other = submit(&subject, "lab", "order", "1.0.0").await;
    let claim = async |serves: &[&str], scope| {
        let mut request = subject.request(10);
        request.scope = scope;
        request.serves = serves.iter().map(|text| text.parse().unwrap()).collect();
        let steps = subject.store.claim(request).await.unwrap().steps;
        let leases = steps.iter().map(ClaimedStep::lease).collect();
        let uuids: Vec<Uuid> = steps.iter().map(|step| step.id.task_uuid).collect();
        subject
            .store
            .release(subject.process, leases)
            .await
            .unwrap();
        uuids
    };
    let any = ClaimScope::Any;
    assert_eq!(claim(&["shop/order@2.0.0"], any).await, [new]);
    assert_eq!(claim(&["shop/order"], any).await, [old, new]);
    assert_eq!(claim(&["shop"], any).await, [old, new, refund]);
    assert_eq!(claim(&["lab", "shop/refund"], any).await, [refund, other]);
    assert!(claim(&["nobody"], any).await.is_empty());
    assert_eq!(claim(&[], any).await.len(), 4);
    assert!(claim(&["lab"], ClaimScope::Task(old)).await.is_empty());
    assert_eq!(claim(&["shop"], ClaimScope::Task(old)).await, [old]);
}

/// A worker counts for the tasks that it serves.
pub async fn a_task_that_nobody_serves_is_blocked(subject: Subject) {
    subject.leave().await;
    let mut registration = subject.registration(&[WORK]);
    registration.serves = vec![TemplateSelector::namespace("shop")];
    subject
        .store
        .register_process(registration.clone())
        .await
        .unwrap();
    let processes = subject.store.processes().await.unwrap();
    assert_eq!(processes[0].registration, registration);
    let served = submit(&subject, "shop", "order", "1.0.0").await;
    let other = submit(&subject, "lab", "order", "1.0.0").await;
    assert_eq!(subject.sweep(&[]).await.blocked, [other]);
    assert_eq!(subject.state(served).await, TaskState::Pending);
    registration.serves = Vec::new();
    subject.store.register_process(registration).await.unwrap();
    assert_eq!(subject.sweep(&[]).await.unblocked, [other]);
}

/// Not before its moment, by the store's clock; then like any other.
pub async fn a_task_that_is_to_run_later_waits(subject: Subject) {
    let mut new = task(&[("a", &[]), ("b", &[0]), ("c", &[])]);
    let at = now() + i64::try_from(LONG.as_millis()).unwrap();
    new.run_at = Some(at);
    let later = subject.submit_task(new).await;
    assert_eq!(subject.state(later).await, TaskState::Waiting);
    let states = [
        StepState::RetryWait,
        StepState::Pending,
        StepState::RetryWait,
    ];
    assert_eq!(subject.step_states(later).await, states);
    assert_eq!(subject.step(later, 0).await.due_at, Some(at));
    let claims = subject.claims(10).await;
    assert!(claims.steps.is_empty());
    let left = claims.next_due.unwrap();
    assert!(
        left > LONG / 2 && left < LONG + Duration::from_mins(1),
        "{left:?}"
    );
    // Nobody can run it, but that does not matter before its moment.
    subject.leave().await;
    assert!(subject.sweep(&[]).await.blocked.is_empty());
    subject.join().await;
    subject.cancel(later).await;

    let mut new = task(&[("a", &[]), ("b", &[0])]);
    new.run_at = Some(now() + 30);
    let soon = subject.submit_task(new).await;
    let step = loop {
        let claims = subject.claims(10).await;
        if let Some(step) = claims.steps.into_iter().next() {
            break step;
        }
        tokio::time::sleep(claims.next_due.unwrap()).await;
    };
    assert_eq!((step.id.task_uuid, step.attempt), (soon, 1));
    subject.succeed(&step).await;
    assert_eq!(subject.run_out().await, ["b"]);
    assert_eq!(subject.states_passed(soon).await, ["running", "complete"]);
}

/// At once, as if nothing had been said.
pub async fn a_moment_that_has_passed_is_now(subject: Subject) {
    let mut new = task(&[("only", &[])]);
    new.run_at = Some(1);
    let uuid = subject.submit_task(new).await;
    assert_eq!(subject.state(uuid).await, TaskState::Pending);
    assert_eq!(subject.run_out().await, ["only"]);
}
