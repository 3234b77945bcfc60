//! Reading back.

use std::time::Duration;

use uuid::Uuid;

use super::subject::{DIAMOND, LONG, Subject, task};
use crate::orchestration::state::TaskState;
use crate::orchestration::store::{Census, OperationKind, StoreError, TaskFilter};

/// Each part of the filter, and all together.
pub async fn tasks_are_listed_newest_first_as_the_filter_says(subject: Subject) {
    let mut uuids = Vec::new();
    for number in 0..6_u8 {
        let mut new = task(DIAMOND);
        new.name = if number % 2 == 0 { "even" } else { "odd" }.into();
        new.content = [number / 2; 32];
        uuids.push(subject.submit_task(new).await);
    }
    subject.cancel(uuids[0]).await;
    subject.cancel(uuids[1]).await;
    let list = async |filter: TaskFilter| -> Vec<usize> {
        let tasks = subject.store.tasks(filter).await.unwrap();
        let place = |uuid: Uuid| uuids.iter().position(|known| *known == uuid).unwrap();
        tasks.iter().map(|task| place(task.task_uuid)).collect()
    };
    let any = TaskFilter::default;
    let even = || Some(("default".to_owned(), "even".to_owned()));
    assert_eq!(list(any()).await, [5, 4, 3, 2, 1, 0]);
    assert_eq!(list(TaskFilter { limit: 2, ..any() }).await, [5, 4]);
    assert_eq!(
        list(TaskFilter { limit: 0, ..any() }).await,
        [] as [usize; 0]
    );
    assert_eq!(
        list(TaskFilter {
            template: even(),
            ..any()
        })
        .await,
        [4, 2, 0]
    );
    assert_eq!(
        list(TaskFilter {
            content: Some([1; 32]),
            ..any()
        })
        .await,
        [3, 2]
    );
    let states = vec![TaskState::Cancelled, TaskState::Failed];
    assert_eq!(
        list(TaskFilter {
            states: states.clone(),
            ..any()
        })
        .await,
        [1, 0]
    );
    let all = TaskFilter {
        states,
        template: even(),
        content: Some([0; 32]),
        limit: 9,
    };
    assert_eq!(list(all).await, [0]);
    let elsewhere = Some(("other".to_owned(), "even".to_owned()));
    assert_eq!(
        list(TaskFilter {
            template: elsewhere,
            ..any()
        })
        .await,
        [] as [usize; 0]
    );
}

/// And no error.
pub async fn what_does_not_exist_is_none(subject: Subject) {
    let uuid = Uuid::now_v7();
    assert_eq!(subject.store.task(uuid).await.unwrap(), None);
    assert_eq!(subject.store.definition(uuid).await.unwrap(), None);
    assert_eq!(subject.store.steps(uuid).await.unwrap(), []);
    assert_eq!(subject.store.history(uuid).await.unwrap(), []);
    assert_eq!(
        subject.store.tasks(TaskFilter::default()).await.unwrap(),
        []
    );
    subject.store.ping().await.unwrap();
}

/// The order in which it happened.
pub async fn history_is_told_in_order(subject: Subject) {
    let uuid = subject.submit(&[("a", &[]), ("b", &[0])]).await;
    let first = subject.claim_one().await;
    subject.fail(&first, Some(Duration::ZERO)).await;
    let second = subject.claim_and_lose().await;
    subject.sweep(&[]).await;
    subject.complete(subject.success(&second)).await;
    subject.run_out().await;
    let history = subject.store.history(uuid).await.unwrap();
    let told: Vec<String> = history
        .iter()
        .map(|row| {
            let kind = serde_json::to_value(row.kind).unwrap();
            let to = row.to.as_deref().unwrap_or("-");
            format!("{} {to}", kind.as_str().unwrap())
        })
        .collect();
    let expected = [
        "task_state running",
        "attempt retry_wait",
        "task_state waiting",
        "task_state running",
        "lease_lost ready",
        "stale -",
        "attempt complete",
        "attempt complete",
        "task_state complete",
    ];
    assert_eq!(told, expected);
    assert!(history.is_sorted_by_key(|row| row.at));
}

/// Every method, and closing again is harmless.
pub async fn a_closed_store_says_so(subject: Subject) {
    let uuid = subject.submit(DIAMOND).await;
    let step = subject.claim_one().await;
    for exit in subject.store.close().await {
        assert!(exit.is_balanced(), "{exit}");
    }
    let store = &subject.store;
    let closed = |answer: Option<StoreError>, method: &str| {
        assert!(
            matches!(answer, Some(StoreError::Closed)),
            "{method}: {answer:?}"
        );
    };
    closed(store.submit(vec![task(DIAMOND)]).await.err(), "submit");
    closed(store.claim(subject.request(1)).await.err(), "claim");
    closed(
        store.complete(vec![subject.success(&step)]).await.err(),
        "complete",
    );
    closed(
        store.heartbeat(subject.process, LONG).await.err(),
        "heartbeat",
    );
    closed(
        store
            .release(subject.process, vec![step.lease()])
            .await
            .err(),
        "release",
    );
    closed(store.sweep(subject.sweep_request(&[])).await.err(), "sweep");
    closed(store.operate(Vec::new()).await.err(), "operate");
    closed(
        store
            .register_process(subject.registration(&[]))
            .await
            .err(),
        "register",
    );
    closed(
        store.unregister_process(subject.process).await.err(),
        "unregister",
    );
    closed(store.processes().await.err(), "processes");
    closed(store.task(uuid).await.err(), "task");
    closed(store.definition(uuid).await.err(), "definition");
    closed(store.steps(uuid).await.err(), "steps");
    closed(store.history(uuid).await.err(), "history");
    closed(store.tasks(TaskFilter::default()).await.err(), "tasks");
    closed(store.ping().await.err(), "ping");
    closed(store.audit().await.err(), "audit");
    store.close().await;
}

/// What waits, what runs, and since when; what has ended counts for nothing.
pub async fn what_waits_and_what_runs_is_counted(subject: Subject) {
    let store = &subject.store;
    let alone = Census {
        processes: 1,
        ..Census::default()
    };
    assert_eq!(store.census().await.unwrap(), alone);
    for _ in 0..4 {
        subject.submit(DIAMOND).await;
    }
    let steps = subject.claim(3).await;
    subject.succeed(&steps[0]).await;
    subject.fail(&steps[1], Some(LONG)).await;
    let census = store.census().await.unwrap();
    let oldest = census.oldest_ready.expect("something is ready");
    assert!(oldest < LONG, "{oldest:?}");
    let expected = Census {
        // One that nobody has claimed, and the two that the first one has made ready.
        ready: 3,
        running: 1,
        retry_wait: 1,
        processes: 1,
        oldest_ready: census.oldest_ready,
        ..Census::default()
    };
    assert_eq!(census, expected);
    let pausing = OperationKind::Pause {
        reason: "by hand".into(),
    };
    subject.operate(steps[0].id.task_uuid, pausing).await;
    assert_eq!(store.census().await.unwrap().ready, 1);
}
