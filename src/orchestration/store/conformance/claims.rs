//! Claiming steps.

use std::time::Duration;

use uuid::Uuid;

use super::subject::{DIAMOND, LONG, Subject, WORK, task};
use crate::orchestration::state::{StepState, TaskState};
use crate::orchestration::store::{
    ClaimScope, CompletionOutcome, OperationKind, ParentResult, StepId, Submission,
    TemplateSelector,
};

/// What the holder is told is what is stored.
pub async fn a_claim_brings_a_lease_an_epoch_and_an_attempt(subject: Subject) {
    let new = task(DIAMOND);
    let uuid = subject.submit_task(new.clone()).await;
    let claims = subject.claims(10).await;
    assert_eq!((claims.steps.len(), claims.next_due), (1, None));
    let claimed = &claims.steps[0];
    let id = StepId {
        task_uuid: uuid,
        index: 0,
    };
    assert_eq!(
        (claimed.id, claimed.name.as_str(), claimed.callable.as_str()),
        (id, "top", WORK)
    );
    assert_eq!(
        (claimed.epoch, claimed.attempt, claimed.max_attempts),
        (1, 1, 3)
    );
    assert_eq!(
        (claimed.correlation_id, claimed.parents.len()),
        (new.correlation_id, 0)
    );
    let step = subject.step(uuid, 0).await;
    assert_eq!(
        (step.state, step.epoch, step.attempts),
        (StepState::Running, 1, 1)
    );
    assert_eq!(step.owner, Some(subject.process));
    let started = step.started_at.expect("it has started");
    let lease = step.lease_until.expect("it is leased") - started;
    assert_eq!(u128::try_from(lease), Ok(LONG.as_millis()));
    let record = subject.task(uuid).await;
    assert_eq!(
        (record.state, record.started_at),
        (TaskState::Running, Some(started))
    );
    assert_eq!(subject.states_passed(uuid).await, ["running"]);
}

/// A lease is exclusive.
pub async fn what_is_claimed_is_not_claimed_again(subject: Subject) {
    subject.submit(DIAMOND).await;
    subject.claim_one().await;
    assert!(subject.claim(10).await.is_empty());
    assert!(subject.another().await.claim(10).await.is_empty());
}

/// A process gets what it can run.
pub async fn only_the_named_handlers_are_claimed(subject: Subject) {
    let mut new = task(&[("one", &[]), ("two", &[]), ("three", &[])]);
    new.steps[0].callable = "a".into();
    new.steps[1].callable = "b".into();
    new.steps[2].callable = "c".into();
    subject.submit_task(new).await;
    let mut request = subject.request(10);
    request.callables = vec!["c".into(), "a".into(), "a".into(), "z".into()];
    let names: Vec<String> = subject
        .store
        .claim(request)
        .await
        .unwrap()
        .steps
        .into_iter()
        .map(|step| step.name)
        .collect();
    assert_eq!(names, ["one", "three"]);
}

/// The scope of one task.
pub async fn a_claim_for_one_task_leaves_the_others(subject: Subject) {
    let first = subject.submit(DIAMOND).await;
    let second = subject.submit(DIAMOND).await;
    let mut request = subject.request(10);
    request.scope = ClaimScope::Task(second);
    let steps = subject.store.claim(request.clone()).await.unwrap().steps;
    assert_eq!(steps.len(), 1);
    assert_eq!(steps[0].id.task_uuid, second);
    assert_eq!(subject.state(first).await, TaskState::Pending);
    // A retry of the other task is none of its business.
    let other = subject.claim_one().await;
    subject.fail(&other, Some(Duration::ZERO)).await;
    let claims = subject.store.claim(request.clone()).await.unwrap();
    assert_eq!((claims.steps.len(), claims.next_due), (0, None));
    request.scope = ClaimScope::Task(Uuid::now_v7());
    assert!(subject.store.claim(request).await.unwrap().steps.is_empty());
}

/// Not one step more than was asked for.
pub async fn the_limit_is_kept(subject: Subject) {
    let uuid = subject.submit(&[("a", &[]), ("b", &[]), ("c", &[])]).await;
    assert!(subject.claim(0).await.is_empty());
    assert_eq!(subject.state(uuid).await, TaskState::Pending);
    assert_eq!(subject.claim(2).await.len(), 2);
    assert_eq!(subject.claim(2).await.len(), 1);
    assert_eq!(subject.claim(2).await.len(), 0);
}

/// Higher priority first, then the older task, then the earlier step; a due retry has its old turn.
pub async fn priority_then_age_then_position(subject: Subject) {
    let mut tasks = Vec::new();
    for (name, priority) in [("low", -1), ("old", 0), ("young", 0), ("high", 5)] {
        let first = format!("{name} 1");
        let second = format!("{name} 2");
        let mut new = task(&[(&first, &[]), (&second, &[])]);
        new.priority = priority;
        tasks.push(new);
    }
    for answer in subject.store.submit(tasks).await.unwrap() {
        answer.unwrap();
    }
    let names = async |limit| -> Vec<String> {
        let steps = subject.claim(limit).await;
        for step in &steps {
            if step.name == "old 1" && step.attempt == 1 {
                subject.fail(step, Some(Duration::ZERO)).await;
            }
        }
        steps.into_iter().map(|step| step.name).collect()
    };
    assert_eq!(names(3).await, ["high 1", "high 2", "old 1"]);
    assert_eq!(names(2).await, ["old 1", "old 2"]);
    assert_eq!(names(9).await, ["young 1", "young 2", "low 1", "low 2"]);
}

/// However the dependencies were written down.
pub async fn results_of_parents_come_in_template_order(subject: Subject) {
    subject
        .submit(&[("a", &[]), ("b", &[]), ("c", &[]), ("join", &[2, 0, 1])])
        .await;
    for step in subject.claim(10).await {
        subject.succeed(&step).await;
    }
    let join = subject.claim_one().await;
    let expected: Vec<ParentResult> = ["a", "b", "c"]
        .into_iter()
        .map(|name| ParentResult {
            name: name.into(),
            result_json: format!("{name:?}"),
        })
        .collect();
    assert_eq!(join.parents, expected);
}

/// A wide join is an ordinary step.
pub async fn a_join_of_many_gets_all_their_results(subject: Subject) {
    const WIDTH: u32 = 1_100;
    let names: Vec<String> = (0..WIDTH).map(|index| format!("step {index}")).collect();
    let all: Vec<u32> = (0..WIDTH).collect();
    let mut shape: Vec<(&str, &[u32])> = names.iter().map(|name| (&**name, &[][..])).collect();
    shape.push(("join", &all));
    let uuid = subject.submit(&shape).await;
    loop {
        let steps = subject.claim(400).await;
        if steps.iter().any(|step| step.name == "join") {
            assert_eq!(steps[0].parents.len(), WIDTH as usize);
            assert_eq!(steps[0].parents[1_099].result_json, "\"step 1099\"");
            subject.succeed(&steps[0]).await;
            break;
        }
        assert!(!steps.is_empty());
        let completions = steps.iter().map(|step| subject.success(step)).collect();
        subject.store.complete(completions).await.unwrap();
    }
    assert_eq!(subject.state(uuid).await, TaskState::Complete);
}

/// The order holds across handlers, also when each has more to do than is asked for.
pub async fn many_handlers_keep_the_order_of_turns(subject: Subject) {
    let callables: Vec<String> = (0..20).map(|number| format!("handler {number}")).collect();
    let mut uuids = Vec::new();
    for number in 0..40_u8 {
        let mut new = task(&[("one", &[]), ("two", &[])]);
        new.priority = i16::from(number % 3);
        for (position, step) in new.steps.iter_mut().enumerate() {
            step.callable
                .clone_from(&callables[(position * 7 + usize::from(number)) % 20]);
        }
        uuids.push((-new.priority, subject.submit_task(new).await));
    }
    // Stable: the age decides among equals.
    uuids.sort_by_key(|(priority, _)| *priority);
    let mut claimed = Vec::new();
    loop {
        let mut request = subject.request(7);
        request.callables.clone_from(&callables);
        let steps = subject.store.claim(request).await.unwrap().steps;
        if steps.is_empty() {
            break;
        }
        claimed.extend(
            steps
                .into_iter()
                .map(|step| (step.id.task_uuid, step.id.index)),
        );
    }
    let expected: Vec<(Uuid, u32)> = uuids
        .iter()
        .flat_map(|(_, uuid)| [(*uuid, 0), (*uuid, 1)])
        .collect();
    assert_eq!(claimed, expected);
}

/// What is submitted can be claimed with it, and no more than may be.
pub async fn a_submission_brings_its_first_steps(subject: Subject) {
    let wide = task(&[("a", &[]), ("b", &[]), ("c", &[]), ("join", &[0, 1, 2])]);
    let uuid = wide.task_uuid;
    let twin = wide.clone();
    let (answers, steps) = subject
        .store
        .submit_and_claim(vec![wide, twin], subject.request(2))
        .await
        .unwrap();
    assert!(
        matches!(
            answers[..],
            [
                Ok(Submission::Created { .. }),
                Ok(Submission::Duplicate { .. })
            ]
        ),
        "{answers:?}"
    );
    let names: Vec<_> = steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(subject.task(uuid).await.state, TaskState::Running);
    assert_eq!(subject.states_passed(uuid).await, ["running"]);
    assert_eq!(subject.claim(10).await.len(), 1);
}

/// The claim that comes with a submission keeps every rule: older steps first, none of another template or handler, none
/// that is due later; what it leaves is there for the next one.
pub async fn a_submission_brings_no_step_out_of_turn(subject: Subject) {
    let older = subject.submit(&[("older", &[])]).await;
    let mut served = task(&[("served", &[]), ("other handler", &[])]);
    served.steps[1].callable = "other".into();
    let mut unserved = task(&[("unserved", &[])]);
    unserved.namespace = "elsewhere".into();
    let mut later = task(&[("later", &[])]);
    later.run_at = Some(i64::MAX / 2);
    let own = vec![TemplateSelector::namespace(served.namespace.clone())];
    let mut first = subject.request(1);
    first.serves.clone_from(&own);
    let (_, steps) = subject
        .store
        .submit_and_claim(vec![served.clone(), unserved.clone(), later.clone()], first)
        .await
        .unwrap();
    assert_eq!((steps.len(), steps[0].id.task_uuid), (1, older));
    assert_eq!(
        subject.step_states(served.task_uuid).await,
        [StepState::Ready, StepState::Ready]
    );
    let again = task(&[("again", &[])]);
    let mut rest = subject.request(9);
    rest.serves = own;
    let (_, steps) = subject
        .store
        .submit_and_claim(vec![again.clone()], rest)
        .await
        .unwrap();
    let names: Vec<_> = steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["served", "again"]);
    let step = subject.step(again.task_uuid, 0).await;
    assert_eq!(
        (step.state, step.epoch, step.attempts),
        (StepState::Running, 1, 1)
    );
    assert_eq!(step.owner, Some(subject.process));
    assert!(step.lease_until.is_some() && step.started_at.is_some());
    let record = subject.task(again.task_uuid).await;
    assert_eq!(record.started_at, step.started_at);
    assert_eq!(subject.state(unserved.task_uuid).await, TaskState::Pending);
    assert_eq!(
        subject.step_states(later.task_uuid).await,
        [StepState::RetryWait]
    );
}

/// The place that a step leaves is filled by the rules of every claim: here by its child before a younger
/// task's step, and by a more important one before both.
pub async fn a_completion_brings_the_next_steps(subject: Subject) {
    let older = subject.submit(DIAMOND).await;
    let top = subject.claim_one().await;
    let younger = subject.submit(DIAMOND).await;
    let mut important = task(DIAMOND);
    important.priority = 1;
    let important = subject.submit_task(important).await;
    let (outcomes, steps) = subject
        .store
        .complete_and_claim(vec![subject.success(&top)], subject.request(3))
        .await
        .unwrap();
    assert!(
        matches!(
            outcomes[..],
            [CompletionOutcome::Recorded { newly_ready: 2, .. }]
        ),
        "{outcomes:?}"
    );
    let places: Vec<_> = steps
        .iter()
        .map(|step| (step.id.task_uuid, step.id.index))
        .collect();
    assert_eq!(places, [(important, 0), (older, 1), (older, 2)]);
    assert_eq!(
        steps[1].parents,
        [ParentResult {
            name: "top".into(),
            result_json: "\"top\"".into()
        }]
    );
    assert_eq!((steps[1].epoch, steps[1].attempt), (1, 1));
    assert_eq!(subject.step(older, 1).await.state, StepState::Running);
    assert_eq!(subject.claim_one().await.id.task_uuid, younger);
}

/// Children that a completion readies and does not start are there for the next claim: those beyond the limit, and
/// those of other handlers.
pub async fn a_completion_leaves_ready_what_it_does_not_start(subject: Subject) {
    let mut new = task(&[("top", &[]), ("a", &[0]), ("b", &[0]), ("other", &[0])]);
    new.steps[3].callable = "other".into();
    let uuid = subject.submit_task(new).await;
    let top = subject.claim_one().await;
    let (_, steps) = subject
        .store
        .complete_and_claim(vec![subject.success(&top)], subject.request(1))
        .await
        .unwrap();
    assert_eq!((steps.len(), steps[0].name.as_str()), (1, "a"));
    assert_eq!(
        subject.step_states(uuid).await,
        [
            StepState::Complete,
            StepState::Running,
            StepState::Ready,
            StepState::Ready
        ]
    );
    assert_eq!(subject.claim_one().await.name, "b");
    let mut request = subject.request(10);
    request.callables = vec!["other".into()];
    let steps = subject.store.claim(request).await.unwrap().steps;
    assert_eq!((steps.len(), steps[0].name.as_str()), (1, "other"));
}

/// A completion that is refused brings steps all the same: the place is free.
pub async fn a_stale_completion_brings_the_next_steps(subject: Subject) {
    subject.submit(DIAMOND).await;
    let top = subject.claim_one().await;
    let next = subject.submit(DIAMOND).await;
    subject.succeed(&top).await;
    assert_eq!(subject.claim(2).await.len(), 2);
    let (outcomes, steps) = subject
        .store
        .complete_and_claim(vec![subject.success(&top)], subject.request(1))
        .await
        .unwrap();
    assert!(
        matches!(outcomes[..], [CompletionOutcome::Stale { .. }]),
        "{outcomes:?}"
    );
    assert_eq!(steps.len(), 1);
    assert_eq!(steps[0].id.task_uuid, next);
}

/// However far apart priorities are, and also where a completion brings the next steps.
pub async fn the_least_priority_is_claimed_last(subject: Subject) {
    let mut uuids = Vec::new();
    for priority in [i16::MIN, 0, i16::MAX] {
        let mut new = task(&[("first", &[]), ("second", &[0])]);
        new.priority = priority;
        uuids.push(subject.submit_task(new).await);
    }
    let claimed = subject.claim(3).await;
    let order: Vec<Uuid> = claimed.iter().map(|step| step.id.task_uuid).collect();
    assert_eq!(order, [uuids[2], uuids[1], uuids[0]]);
    // A child of the least beside steps that are ready, and alone.
    let mut other = task(&[("other", &[])]);
    other.priority = i16::MIN + 1;
    let other = subject.submit_task(other).await;
    let (outcomes, next) = subject
        .store
        .complete_and_claim(vec![subject.success(&claimed[2])], subject.request(1))
        .await
        .unwrap();
    assert!(matches!(outcomes[0], CompletionOutcome::Recorded { .. }));
    assert_eq!(next[0].id.task_uuid, other);
    assert_eq!(
        subject.step_states(uuids[0]).await,
        [StepState::Complete, StepState::Ready]
    );
    let completed = claimed[..2].iter().map(|step| subject.success(step));
    let (_, next) = subject
        .store
        .complete_and_claim(completed.collect(), subject.request(10))
        .await
        .unwrap();
    let order: Vec<Uuid> = next.iter().map(|step| step.id.task_uuid).collect();
    assert_eq!(order, [uuids[2], uuids[1], uuids[0]]);
}

/// What a completion brings knows the results of its parents, of this transaction and of earlier ones.
pub async fn a_completion_brings_steps_with_all_their_results(subject: Subject) {
    for together in [false, true] {
        subject
            .submit(&[("a", &[]), ("b", &[]), ("c", &[0, 1])])
            .await;
        let mut claimed = subject.claim(2).await;
        if !together {
            subject.succeed(&claimed.remove(0)).await;
        }
        // The order of the template is kept, whichever ends first.
        let completed = claimed.iter().rev().map(|step| subject.success(step));
        let (_, next) = subject
            .store
            .complete_and_claim(completed.collect(), subject.request(10))
            .await
            .unwrap();
        let parents: Vec<(&str, &str)> = next[0]
            .parents
            .iter()
            .map(|parent| (&*parent.name, &*parent.result_json))
            .collect();
        assert_eq!(parents, [("a", "\"a\""), ("b", "\"b\"")]);
    }
}

/// A child that has run before goes on counting: a step's epoch never comes again.
pub async fn a_completion_brings_steps_that_run_again(subject: Subject) {
    let uuid = subject.submit(&[("first", &[]), ("second", &[0])]).await;
    subject.run_out().await;
    let rerun = OperationKind::Rerun { from: 0 };
    subject.operate(uuid, rerun).await;
    let first = subject.claim_one().await;
    let epoch = subject.step(uuid, 1).await.epoch;
    assert!(epoch > 0);
    let (_, next) = subject
        .store
        .complete_and_claim(vec![subject.success(&first)], subject.request(1))
        .await
        .unwrap();
    assert_eq!((next[0].epoch, next[0].attempt), (epoch + 1, 1));
    subject.fail(&next[0], Some(Duration::ZERO)).await;
    let again = subject.claim_one().await;
    assert_eq!((again.epoch, again.attempt), (epoch + 2, 2));
    assert_eq!(again.parents.len(), 1);
    subject.succeed(&again).await;
    assert_eq!(subject.state(uuid).await, TaskState::Complete);
}

/// A completion may come with a claim of nothing, and with one of all there is.
pub async fn a_completion_brings_as_many_steps_as_are_wanted(subject: Subject) {
    let uuid = subject
        .submit(&[("top", &[]), ("a", &[0]), ("b", &[0]), ("c", &[1])])
        .await;
    let top = subject.claim_one().await;
    let (_, none) = subject
        .store
        .complete_and_claim(vec![subject.success(&top)], subject.request(0))
        .await
        .unwrap();
    assert!(none.is_empty());
    let ready = [
        StepState::Complete,
        StepState::Ready,
        StepState::Ready,
        StepState::Pending,
    ];
    assert_eq!(subject.step_states(uuid).await, ready);
    let a = subject.claim(1).await.remove(0);
    let (_, all) = subject
        .store
        .complete_and_claim(vec![subject.success(&a)], subject.request(u32::MAX))
        .await
        .unwrap();
    let names: Vec<&str> = all.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["b", "c"]);
}
