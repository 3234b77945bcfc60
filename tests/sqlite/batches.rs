//! What one transaction makes ready and claims as well. On one thread the writer finds everything that was asked at once
//! in its mailbox, so that all of it is one transaction.

use std::time::Duration;

use postroom::orchestration::state::StepState;
use postroom::orchestration::store::sqlite::SqliteStore;
use postroom::orchestration::store::{
    ClaimScope, ClaimedStep, NewTask, Operation, OperationKind, Store, Submission, TemplateSelector,
};
use uuid::Uuid;

use super::kit::{assert_sound, chain, claim, open, place, request, submit, success, wide};

fn places(steps: &[ClaimedStep]) -> Vec<(Uuid, u32)> {
    steps
        .iter()
        .map(|step| (step.id.task_uuid, step.id.index))
        .collect()
}

/// A root and as many children of it.
fn fan(width: u32) -> NewTask {
    let mut task = wide(width + 1);
    for step in &mut task.steps[1..] {
        step.parents = vec![0];
    }
    task
}

async fn states(store: &SqliteStore, task: Uuid) -> Vec<StepState> {
    let steps = store.steps(task).await.unwrap();
    steps.into_iter().map(|step| step.state).collect()
}

/// Kept children and kept new tasks take their turns among each other and among what is stored.
#[tokio::test(flavor = "current_thread")]
async fn a_claim_chooses_among_what_is_stored_readied_and_new() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let process = Uuid::new_v4();
    let mut important = chain(2);
    important.priority = 1;
    let important = submit(&store, important).await;
    let fanned = submit(&store, fan(2)).await;
    let first = claim(&store, process, 2).await;
    assert_eq!(places(&first), [(important, 0), (fanned, 0)]);
    let stored = submit(&store, wide(1)).await;
    let mut urgent = wide(1);
    urgent.priority = 2;
    let late = wide(1);
    let (urgent_uuid, late_uuid) = (urgent.task_uuid, late.task_uuid);
    let commits = store.commits();
    let (completed, submitted) = tokio::join!(
        store.complete(first.iter().map(|step| success(step, process)).collect()),
        store.submit_and_claim(vec![urgent, late], request(process, 5)),
    );
    assert_eq!(store.commits() - commits, 1);
    completed.unwrap();
    assert_eq!(
        places(&submitted.unwrap().1),
        [
            (urgent_uuid, 0),
            (important, 1),
            (fanned, 1),
            (fanned, 2),
            (stored, 0)
        ]
    );
    assert_eq!(places(&claim(&store, process, 9).await), [(late_uuid, 0)]);
    assert_sound(&store).await;
    store.close().await;
}

/// What a claim may not have is left as ready: by its task, its template, its handler, or because the task pauses.
#[tokio::test(flavor = "current_thread")]
async fn a_claim_takes_no_kept_step_that_is_not_for_it() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let process = Uuid::new_v4();
    let mut tasks = [chain(2), chain(2), chain(2), chain(2)];
    tasks[1].namespace = "elsewhere".into();
    tasks[2].steps[1].callable = "other".into();
    let mut uuids = Vec::new();
    for task in tasks {
        uuids.push(submit(&store, task).await);
    }
    let roots = claim(&store, process, 9).await;
    let pause = Operation {
        task_uuid: uuids[3],
        kind: OperationKind::Pause {
            reason: "for a test".into(),
        },
        process,
    };
    store.operate(vec![pause]).await.unwrap();
    let mut only = request(process, 9);
    only.scope = ClaimScope::Task(uuids[1]);
    let mut served = request(process, 9);
    served.serves = vec![TemplateSelector::namespace("default")];
    let commits = store.commits();
    let (completed, of_task, of_all) = tokio::join!(
        store.complete(roots.iter().map(|step| success(step, process)).collect()),
        store.claim(only),
        store.claim(request(process, 9)),
    );
    assert_eq!(store.commits() - commits, 1);
    completed.unwrap();
    assert_eq!(places(&of_task.unwrap().steps), [(uuids[1], 1)]);
    assert_eq!(places(&of_all.unwrap().steps), [(uuids[0], 1)]);
    for left in [uuids[2], uuids[3]] {
        assert_eq!(
            states(&store, left).await,
            [StepState::Complete, StepState::Ready]
        );
    }
    let mut elsewhere = chain(2);
    elsewhere.namespace = "elsewhere".into();
    let elsewhere = submit(&store, elsewhere).await;
    let root = claim(&store, process, 1).await.remove(0);
    let (_, steps) = store
        .complete_and_claim(vec![success(&root, process)], served)
        .await
        .unwrap();
    assert!(steps.is_empty());
    assert_eq!(places(&claim(&store, process, 9).await), [(elsewhere, 1)]);
    assert_sound(&store).await;
    store.close().await;
}

/// More than one set has room for, and more than a claim looks through in memory.
#[tokio::test(flavor = "current_thread")]
async fn thousands_that_are_readied_and_claimed_at_once() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let process = Uuid::new_v4();
    let mut roots = Vec::new();
    for width in [300, 2_000] {
        let task = submit(&store, fan(width)).await;
        let root = claim(&store, process, 1).await.remove(0);
        roots.push((task, root, width));
    }
    for (task, root, width) in roots {
        let wanted = request(process, 290);
        let (_, steps) = store
            .complete_and_claim(vec![success(&root, process)], wanted)
            .await
            .unwrap();
        let expected: Vec<_> = (1..=290).map(|index| (task, index)).collect();
        assert_eq!(places(&steps), expected);
        let left = claim(&store, process, 5_000).await;
        assert_eq!(left.len(), width as usize - 290);
    }
    let (_, steps) = store
        .submit_and_claim(vec![wide(300), wide(2_000)], request(process, 5_000))
        .await
        .unwrap();
    assert_eq!(steps.len(), 2_300);
    assert_sound(&store).await;
    store.close().await;
}

/// More completions than one set has room for, with a claim of few behind them in the same call.
#[tokio::test(flavor = "current_thread")]
async fn hundreds_that_are_completed_before_a_few_are_claimed() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let process = Uuid::new_v4();
    for width in [255, 257, 511, 512, 513, 600] {
        // All of them are parents of one child; beside them there is a task of one step.
        let mut join = wide(width + 1);
        join.steps[width as usize].parents = (0..width).collect();
        let join = submit(&store, join).await;
        let steps = claim(&store, process, 1_000).await;
        assert_eq!(steps.len(), width as usize);
        let other = submit(&store, wide(1)).await;
        let (last, first) = steps.split_last().unwrap();
        let first = first.iter().map(|step| success(step, process));
        let (_, claimed) = store
            .complete_and_claim(first.collect(), request(process, 2))
            .await
            .unwrap();
        assert_eq!(places(&claimed), [(other, 0)]);
        let (_, claimed) = store
            .complete_and_claim(vec![success(last, process)], request(process, 2))
            .await
            .unwrap();
        assert_eq!(places(&claimed), [(join, width)]);
        assert_eq!(claimed[0].parents.len(), width as usize);
        let alone = vec![success(&claimed[0], process)];
        let (_, claimed) = store
            .complete_and_claim(alone, request(process, 2))
            .await
            .unwrap();
        assert!(claimed.is_empty());
        assert_eq!(
            states(&store, join).await,
            vec![StepState::Complete; width as usize + 1]
        );
    }
    assert_sound(&store).await;
    store.close().await;
}

/// A task that is not written yet is found by whoever asks for it in the same transaction.
#[tokio::test(flavor = "current_thread")]
async fn what_is_kept_is_found_in_the_same_transaction() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let process = Uuid::new_v4();
    let task = wide(1);
    let uuid = task.task_uuid;
    // The writer has its connection, and takes what it finds.
    assert!(claim(&store, process, 1).await.is_empty());
    let commits = store.commits();
    let (first, claimed, again) = tokio::join!(
        store.submit_and_claim(vec![task.clone()], request(process, 1)),
        store.claim(request(process, 1)),
        store.submit(vec![task]),
    );
    assert_eq!(places(&first.unwrap().1), [(uuid, 0)]);
    assert!(claimed.unwrap().steps.is_empty());
    assert!(
        matches!(
            again.unwrap()[..],
            [Ok(Submission::Duplicate { task_uuid, .. })] if task_uuid == uuid
        ),
        "it was not found"
    );
    assert_eq!(store.commits() - commits, 1);
    let mut later = wide(1);
    later.run_at = Some(i64::MAX / 2);
    let (_, due) = tokio::join!(store.submit(vec![later]), store.claim(request(process, 1)));
    assert!(due.unwrap().next_due > Some(Duration::from_hours(1)));
    assert_sound(&store).await;
    store.close().await;
}

/// Stored steps of older tasks come before all that are kept, however many these are; what is not claimed stays ready.
#[tokio::test(flavor = "current_thread")]
async fn a_claim_leaves_what_is_kept_for_older_tasks() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let process = Uuid::new_v4();
    let older = submit(&store, wide(30)).await;
    // More than the writer looks up as it begins.
    let mut pairs = wide(40);
    for index in 20..40 {
        pairs.steps[index as usize].parents = vec![index - 20];
    }
    let pairs = submit(&store, pairs).await;
    let mut of_pairs = request(process, 20);
    of_pairs.scope = ClaimScope::Task(pairs);
    let steps = store.claim(of_pairs).await.unwrap().steps;
    let completed = steps.iter().map(|step| success(step, process)).collect();
    let (_, claimed) = store
        .complete_and_claim(completed, request(process, 22))
        .await
        .unwrap();
    let expected: Vec<_> = (0..22).map(|index| (older, index)).collect();
    assert_eq!(places(&claimed), expected);
    let left = (22..30).map(|index| (older, index));
    let children = (20..40).map(|index| (pairs, index));
    let left: Vec<_> = left.chain(children).collect();
    let claimed = claim(&store, process, 100).await;
    assert_eq!(places(&claimed), left);
    let results = claimed[8..].iter().map(|step| step.parents.len());
    assert!(results.eq([1; 20]));
    assert_sound(&store).await;
    store.close().await;
}

/// Several claims in one transaction: none finds what one before it has taken.
#[tokio::test(flavor = "current_thread")]
async fn claims_of_one_transaction_have_no_step_in_common() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let process = Uuid::new_v4();
    let tasks = [
        submit(&store, chain(3)).await,
        submit(&store, chain(3)).await,
    ];
    let roots = claim(&store, process, 2).await;
    let stored = submit(&store, wide(2)).await;
    let commits = store.commits();
    let (first, second) = tokio::join!(
        store.complete_and_claim(vec![success(&roots[0], process)], request(process, 3)),
        store.complete_and_claim(vec![success(&roots[1], process)], request(process, 3)),
    );
    assert_eq!(store.commits() - commits, 1);
    let (first, second) = (first.unwrap().1, second.unwrap().1);
    assert_eq!(places(&first), [(tasks[0], 1), (tasks[1], 1), (stored, 0)]);
    assert_eq!(places(&second), [(stored, 1)]);
    // What has just been claimed is completed beside a new claim.
    let commits = store.commits();
    let completed = first.iter().chain(&second);
    let completed = completed.map(|step| success(step, process)).collect();
    let (third, none) = tokio::join!(
        store.complete_and_claim(completed, request(process, 9)),
        store.claim(request(process, 9)),
    );
    assert_eq!(store.commits() - commits, 1);
    assert_eq!(places(&third.unwrap().1), [(tasks[0], 2), (tasks[1], 2)]);
    assert!(none.unwrap().steps.is_empty());
    assert_sound(&store).await;
    store.close().await;
}

/// Stored steps stand before, between and behind those that are kept: as many are found as there is room.
#[tokio::test(flavor = "current_thread")]
async fn a_claim_takes_turns_between_stored_and_kept() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let process = Uuid::new_v4();
    let mut expected = Vec::new();
    let mut completed = Vec::new();
    // Twenty chains, after each of which a step is stored.
    for _ in 0..20 {
        let pair = submit(&store, chain(2)).await;
        let mut of_pair = request(process, 1);
        of_pair.scope = ClaimScope::Task(pair);
        let root = store.claim(of_pair).await.unwrap().steps.remove(0);
        completed.push(success(&root, process));
        expected.push((pair, 1));
        let stored = submit(&store, wide(1)).await;
        expected.push((stored, 0));
    }
    let (_, claimed) = store
        .complete_and_claim(completed, request(process, 25))
        .await
        .unwrap();
    assert_eq!(places(&claimed), expected[..25]);
    assert_eq!(places(&claim(&store, process, 100).await), expected[25..]);
    assert_sound(&store).await;
    store.close().await;
}
