//! Submitting and completing inside a transaction of the caller's own: the same on every database.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use postroom::orchestration::state::{StepState, TaskState};
use postroom::orchestration::store::{CallerTransaction, HistoryKind, Store, TransactionError};
use postroom::orchestration::template::{RetryPolicy, TaskTemplate};
use postroom::orchestration::worker::{HandlerTable, StepContext, StepError, StepHandlers};
use postroom::orchestration::{
    IdentityStrategy, JoinError, OrchestrationConfig, OrchestrationCore, OrchestrationEvent,
    SubmitError, SubmitOptions,
};

/// A shop that keeps its orders in the database of a store, and has one connection for it.
pub(crate) trait Shop: Clone + Send + Sync + 'static {
    type Transaction: CallerTransaction + Send + 'static;

    fn store(&self) -> Arc<dyn Store>;
    async fn elsewhere() -> (Self, Box<dyn std::any::Any>);
    fn begin(&self) -> impl Future<Output = Self::Transaction> + Send;
    fn order(tx: &mut Self::Transaction, id: i64) -> impl Future<Output = ()> + Send;
    fn commit(tx: Self::Transaction) -> impl Future<Output = ()> + Send;
    fn rollback(tx: Self::Transaction) -> impl Future<Output = ()> + Send;
    fn orders(&self) -> impl Future<Output = Vec<i64>> + Send;
}

/// The tests, with what makes a shop and something to keep while it is used.
macro_rules! joining_tests {
    ($shop:path) => {
        crate::joining::joining_tests!($shop:
            o11_committed_together,
            o11_found_without_being_told,
            o11_rolled_back_together,
            o11_identities_hold_inside,
            o11_another_database_is_refused,
            o11_dropped_half_way_leaves_nothing,
            o11_a_step_completes_with_its_rows,
            o11_a_step_rolled_back_runs_again,
            o11_a_lost_step_is_not_completed,);
    };
    ($shop:path: $($test:ident,)*) => {
        $(#[tokio::test]
        async fn $test() {
            let (shop, _kept) = $shop().await;
            crate::joining::$test(shop).await;
        })*
    };
}
pub(crate) use joining_tests;

fn one_step() -> Arc<TaskTemplate> {
    let mut template = TaskTemplate::builder("shipping");
    template.step("pack", "pack");
    Arc::new(template.build().unwrap())
}

/// Charge, then pack.
fn two_steps() -> Arc<TaskTemplate> {
    let mut template = TaskTemplate::builder("sale");
    let retry = RetryPolicy {
        backoff_base_ms: 1,
        max_backoff_ms: 1,
        ..RetryPolicy::default()
    };
    let charge = template.step("charge", "charge").retry(retry).add();
    template.step("pack", "pack").after([&charge]);
    Arc::new(template.build().unwrap())
}

/// Counts what is packed.
fn packing() -> (HandlerTable, Arc<AtomicU32>) {
    let packed = Arc::new(AtomicU32::new(0));
    let counting = Arc::clone(&packed);
    let handlers = StepHandlers::new()
        .register("pack", move |_: i64, _: StepContext| {
            counting.fetch_add(1, Ordering::SeqCst);
            async { Ok::<_, StepError>(()) }
        })
        .build();
    (handlers.unwrap(), packed)
}

async fn core(shop: &impl Shop, handlers: HandlerTable) -> OrchestrationCore {
    core_with(shop, handlers, OrchestrationConfig::default()).await
}

async fn core_with(
    shop: &impl Shop,
    handlers: HandlerTable,
    config: OrchestrationConfig,
) -> OrchestrationCore {
    let builder = OrchestrationCore::builder(shop.store()).handlers(handlers);
    builder.config(config).start().await.unwrap()
}

/// One whom nobody tells anything, and who looks at nothing of itself.
fn asleep() -> OrchestrationConfig {
    let hour = Duration::from_hours(1);
    OrchestrationConfig {
        poll_interval: hour,
        sweep_interval: hour,
        ..OrchestrationConfig::default()
    }
}

async fn end(core: OrchestrationCore) {
    assert_eq!(core.store().audit().await.unwrap(), Vec::<String>::new());
    let report = core.shutdown().await;
    assert!(report.is_balanced(), "{report}");
}

/// Nothing is seen or started before the commit; after it the task runs, without any look at the database but the
/// one that `wake` asks for.
pub(crate) async fn o11_committed_together<S: Shop>(shop: S) {
    let (handlers, packed) = packing();
    let core = core_with(&shop, handlers, asleep()).await;
    let mut tx = shop.begin().await;
    S::order(&mut tx, 17).await;
    let joined = core
        .submit_in(&mut tx, &one_step(), 17, SubmitOptions::default())
        .await
        .unwrap();
    let uuid = joined.uuid();
    assert_eq!(joined.duplicate(), None);
    assert_eq!(core.store().task(uuid).await.unwrap(), None);
    assert_eq!(packed.load(Ordering::SeqCst), 0);
    S::commit(tx).await;
    let record = core.store().task(uuid).await.unwrap().unwrap();
    assert!(!record.state.is_terminal() || packed.load(Ordering::SeqCst) == 1);
    let done = joined.wake().wait().await.unwrap();
    assert_eq!(
        (done.task_uuid, done.state, packed.load(Ordering::SeqCst)),
        (uuid, TaskState::Complete, 1)
    );
    assert_eq!(shop.orders().await, [17]);
    end(core).await;
}

/// Nobody calls `wake`: the poller finds it.
pub(crate) async fn o11_found_without_being_told<S: Shop>(shop: S) {
    let (handlers, _) = packing();
    let core = core(&shop, handlers).await;
    let mut tx = shop.begin().await;
    let joined = core
        .submit_in(&mut tx, &one_step(), 1, SubmitOptions::default())
        .await
        .unwrap();
    let uuid = joined.uuid();
    drop(joined);
    S::commit(tx).await;
    let task = core.task(uuid).await.unwrap().unwrap();
    assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
    end(core).await;
}

/// After a rollback the task has never been: the same can be submitted again and is new.
pub(crate) async fn o11_rolled_back_together<S: Shop>(shop: S) {
    let (handlers, packed) = packing();
    let core = core(&shop, handlers).await;
    for strategy in [
        IdentityStrategy::Strict,
        IdentityStrategy::Caller("order 17".into()),
        IdentityStrategy::Unique,
    ] {
        let options = SubmitOptions {
            identity: strategy,
            ..SubmitOptions::default()
        };
        let mut tx = shop.begin().await;
        S::order(&mut tx, 17).await;
        let joined = core
            .submit_in(&mut tx, &one_step(), 17, options.clone())
            .await
            .unwrap();
        let gone = joined.uuid();
        S::rollback(tx).await;
        // Harmless.
        joined.wake();
        assert_eq!(core.store().task(gone).await.unwrap(), None);
        let task = core.submit_with(&one_step(), 17, options).await.unwrap();
        assert_eq!(task.duplicate(), None);
        assert_ne!(task.uuid(), gone);
        task.wait().await.unwrap();
    }
    assert_eq!(packed.load(Ordering::SeqCst), 3);
    assert_eq!(shop.orders().await, Vec::<i64>::new());
    end(core).await;
}

/// What was submitted in the transaction counts, and what was there before; a refusal leaves it usable.
pub(crate) async fn o11_identities_hold_inside<S: Shop>(shop: S) {
    let (handlers, packed) = packing();
    let core = core(&shop, handlers).await;
    let template = one_step();
    let before = core.submit(&template, 1).await.unwrap();
    before.wait().await.unwrap();
    let plain = SubmitOptions::default;
    let keyed = |key: &str| SubmitOptions {
        identity: IdentityStrategy::Caller(key.into()),
        ..SubmitOptions::default()
    };

    let mut tx = shop.begin().await;
    S::order(&mut tx, 1).await;
    let known = core.submit_in(&mut tx, &template, 1, plain()).await;
    let known = known.unwrap();
    assert_eq!(
        (known.uuid(), known.duplicate()),
        (before.uuid(), Some(TaskState::Complete))
    );
    let new = core.submit_in(&mut tx, &template, 2, plain()).await;
    let new = new.unwrap();
    let again = core.submit_in(&mut tx, &template, 2, plain()).await;
    let again = again.unwrap();
    assert_eq!(
        (again.uuid(), again.duplicate()),
        (new.uuid(), Some(TaskState::Pending))
    );
    let keyed_new = core.submit_in(&mut tx, &template, 3, keyed("k")).await;
    let keyed_new = keyed_new.unwrap();
    let conflict = core.submit_in(&mut tx, &template, 4, keyed("k")).await;
    let conflict = conflict.unwrap_err();
    assert!(
        matches!(&conflict, JoinError::Submit(SubmitError::KeyConflict { task_uuid, .. })
            if *task_uuid == keyed_new.uuid()),
        "{conflict}"
    );
    let mut unknown = TaskTemplate::builder("unknown");
    unknown.step("no", "nobody");
    let unknown = Arc::new(unknown.build().unwrap());
    let refused = core.submit_in(&mut tx, &unknown, 5, plain()).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused, JoinError::Submit(SubmitError::Template(_))),
        "{refused}"
    );
    let taken = SubmitOptions {
        task_uuid: Some(before.uuid()),
        ..SubmitOptions::default()
    };
    let taken = core.submit_in(&mut tx, &template, 6, taken).await;
    let taken = taken.unwrap_err();
    assert!(
        matches!(taken, JoinError::Submit(SubmitError::Store(_))),
        "{taken}"
    );
    for error in [conflict, refused, taken] {
        assert!(error.can_go_on(), "{error}");
    }
    S::order(&mut tx, 2).await;
    S::commit(tx).await;

    for task in [new.wake(), keyed_new.wake()] {
        assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
    }
    assert_eq!(packed.load(Ordering::SeqCst), 3);
    assert_eq!(shop.orders().await, [1, 2]);
    end(core).await;
}

/// A transaction on a database that is not the store's is told so, and can go on.
pub(crate) async fn o11_another_database_is_refused<S: Shop>(shop: S) {
    let (handlers, _) = packing();
    let core = core(&shop, handlers).await;
    let (other, _kept) = S::elsewhere().await;
    let mut tx = other.begin().await;
    let refused = core
        .submit_in(&mut tx, &one_step(), 1, SubmitOptions::default())
        .await
        .unwrap_err();
    assert!(
        matches!(
            refused,
            JoinError::Transaction(TransactionError::OtherDatabase { .. })
        ),
        "{refused}"
    );
    assert!(refused.can_go_on());
    S::order(&mut tx, 5).await;
    S::commit(tx).await;
    assert_eq!(other.orders().await, [5]);
    assert!(
        other
            .store()
            .tasks(<_>::default())
            .await
            .unwrap()
            .is_empty()
    );
    other.store().close().await;
    end(core).await;
}

/// However far it got when its future was dropped: the transaction goes with it, nothing of either is left, and
/// the connection is as good as new.
pub(crate) async fn o11_dropped_half_way_leaves_nothing<S: Shop>(shop: S) {
    /// A database may answer before it is asked again: how many polls a submission takes is not known.
    const ATTEMPTS: i64 = 64;
    let (handlers, _) = packing();
    let core = core(&shop, handlers).await;
    let template = one_step();
    let mut pending = 0;
    for attempt in 0..ATTEMPTS {
        let mut tx = shop.begin().await;
        S::order(&mut tx, attempt).await;
        let mut joining = pin!(core.submit_in(&mut tx, &template, 1, SubmitOptions::default()));
        let mut polls_left = attempt % 16;
        std::future::poll_fn(|cx| match joining.as_mut().poll(cx) {
            Poll::Ready(done) => {
                drop(done.unwrap());
                Poll::Ready(())
            }
            Poll::Pending if polls_left == 0 => {
                pending += 1;
                Poll::Ready(())
            }
            Poll::Pending => {
                polls_left -= 1;
                Poll::Pending
            }
        })
        .await;
    }
    assert!(pending > 0, "each submission was done at its first poll");
    let mut tx = shop.begin().await;
    S::order(&mut tx, ATTEMPTS).await;
    let options = SubmitOptions::default();
    let joined = core.submit_in(&mut tx, &template, 1, options).await;
    S::commit(tx).await;
    joined.unwrap().wake().wait().await.unwrap();
    assert_eq!(shop.orders().await, [ATTEMPTS]);
    let tasks = core.store().tasks(<_>::default()).await.unwrap();
    assert_eq!(tasks.len(), 1);
    end(core).await;
}

/// What a handler of `charge` does with its transaction.
#[derive(Clone, Copy, PartialEq)]
enum Charge {
    Commit,
    RollBack,
    ForgetToCommit,
}

/// A core whose attempts to charge do what `attempts` says, one after another.
async fn charging<S: Shop>(shop: &S, attempts: &'static [Charge]) -> OrchestrationCore {
    let (shopping, at) = (shop.clone(), Arc::new(AtomicU32::new(0)));
    let charge = move |order: i64, step: StepContext| {
        let (shop, at) = (shopping.clone(), Arc::clone(&at));
        async move {
            let charge = attempts[at.fetch_add(1, Ordering::SeqCst) as usize];
            let mut tx = shop.begin().await;
            S::order(&mut tx, order).await;
            step.complete_in(&mut tx, &order).await?;
            if charge == Charge::Commit {
                S::commit(tx).await;
            } else {
                S::rollback(tx).await;
            }
            if charge == Charge::RollBack {
                return Err(StepError::retryable("the till is jammed"));
            }
            Ok::<_, StepError>(order + 1)
        }
    };
    let handlers = StepHandlers::new()
        .register("charge", charge)
        .register("pack", |_: i64, step: StepContext| async move {
            step.parent::<i64>("charge")
        });
    core_with(shop, handlers.build().unwrap(), asleep()).await
}

/// The handler's rows, the result and the readiness of the next step are one commit. What the handler returns
/// afterwards is not recorded again, not even as a stale completion.
pub(crate) async fn o11_a_step_completes_with_its_rows<S: Shop>(shop: S) {
    let core = charging(&shop, &[Charge::Commit]).await;
    let mut events = core.events();
    let task = core.submit(&two_steps(), 17).await.unwrap();
    assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
    let steps = core.store().steps(task.uuid()).await.unwrap();
    let results: Vec<_> = steps
        .iter()
        .map(|step| step.result_json.as_deref())
        .collect();
    assert_eq!(results, [Some("17"), Some("17")]);
    let history = core.store().history(task.uuid()).await.unwrap();
    let count = |kind| history.iter().filter(|row| row.kind == kind).count();
    assert_eq!(
        (count(HistoryKind::Attempt), count(HistoryKind::Stale)),
        (2, 0)
    );
    assert_eq!(shop.orders().await, [17]);
    let mut finished = Vec::new();
    while let Ok(event) = events.try_recv() {
        match event {
            OrchestrationEvent::StepFinished { name, state, .. } => finished.push((name, state)),
            OrchestrationEvent::TaskFinished { .. } => {
                finished.push((String::new(), StepState::Complete));
            }
            _ => {}
        }
    }
    // From its commit on the next step may be had: all may be over before the handler has returned, which is when its own
    // end is told.
    let charged = ("charge".to_owned(), StepState::Complete);
    let told = finished.iter().filter(|one| **one == charged).count();
    assert_eq!(told, 1, "{finished:?}");
    finished.retain(|one| *one != charged);
    let expected = ["pack", ""].map(|name| (name.to_owned(), StepState::Complete));
    assert_eq!(finished, expected);
    end(core).await;
}

/// A completion that was rolled back has not happened; the next attempt's has.
pub(crate) async fn o11_a_step_rolled_back_runs_again<S: Shop>(shop: S) {
    let attempts = &[Charge::RollBack, Charge::ForgetToCommit, Charge::Commit];
    let core = charging(&shop, attempts).await;
    let task = core.submit(&two_steps(), 17).await.unwrap();
    assert_eq!(task.wait().await.unwrap().state, TaskState::Complete);
    let steps = core.store().steps(task.uuid()).await.unwrap();
    assert_eq!((steps[0].attempts, steps[1].attempts), (3, 1));
    let history = core.store().history(task.uuid()).await.unwrap();
    let failures: Vec<_> = history
        .iter()
        .filter(|row| row.kind == HistoryKind::Attempt && row.to.as_deref() == Some("retry_wait"))
        .filter_map(|row| row.detail.as_deref())
        .map(|detail| detail.split(':').next().unwrap_or_default())
        .collect();
    assert_eq!(failures, ["error", "not_committed"]);
    assert_eq!(shop.orders().await, [17]);
    end(core).await;
}

/// A step that was taken away in the meantime cannot be completed, and what its handler wrote goes with it.
pub(crate) async fn o11_a_lost_step_is_not_completed<S: Shop>(shop: S) {
    let (shopping, seen) = (shop.clone(), Arc::new(tokio::sync::Mutex::new(None)));
    let (said, saying) = tokio::sync::oneshot::channel();
    let (said, core_of) = (
        Arc::new(std::sync::Mutex::new(Some(said))),
        Arc::new(std::sync::OnceLock::<Arc<OrchestrationCore>>::new()),
    );
    let (noting, core_in) = (Arc::clone(&seen), Arc::clone(&core_of));
    let charge = move |order: i64, step: StepContext| {
        let (shop, noting, core_in, said) = (
            shopping.clone(),
            Arc::clone(&noting),
            Arc::clone(&core_in),
            Arc::clone(&said),
        );
        // The handler itself would be dropped with its cancellation.
        let charging = tokio::spawn(async move {
            let core = core_in.get().unwrap();
            let task = core.task(step.task_uuid()).await.unwrap().unwrap();
            task.cancel("not wanted").await.unwrap();
            let mut tx = shop.begin().await;
            S::order(&mut tx, order).await;
            let error = step.complete_in(&mut tx, &order).await.unwrap_err();
            *noting.lock().await = Some((
                matches!(error, JoinError::LeaseLost { .. }),
                error.can_go_on(),
            ));
            S::rollback(tx).await;
            said.lock().unwrap().take().unwrap().send(()).unwrap();
        });
        async move {
            charging.await?;
            Ok::<_, StepError>(order)
        }
    };
    let handlers = StepHandlers::new()
        .register("charge", charge)
        .register("pack", |_: i64, _: StepContext| async {
            Ok::<_, StepError>(())
        });
    let core = Arc::new(core(&shop, handlers.build().unwrap()).await);
    assert!(core_of.set(Arc::clone(&core)).is_ok());
    let task = core.submit(&two_steps(), 1).await.unwrap();
    saying.await.unwrap();
    assert_eq!(task.wait().await.unwrap().state, TaskState::Cancelled);
    assert_eq!(*seen.lock().await, Some((true, false)));
    assert_eq!(shop.orders().await, Vec::<i64>::new());
    assert_eq!(core.store().audit().await.unwrap(), Vec::<String>::new());
    core.shutdown().await;
}
