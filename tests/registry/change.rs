//! Actors come and go while a registry runs (R15).

use crate::common::{Crash, Gate, Held, Log, Note, Probe, occupy, poll_once};
use crate::{Front, names, probe};
use postroom::actor::{Actor, AskError, Context, Level, StopReason};
use postroom::registry::{ActorRegistry, AddError, BuildError, RemoveError};
use postroom::supervision::{Backoff, RestartPolicy};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

async fn started(log: &Log) -> ActorRegistry {
    let mut builder = ActorRegistry::builder();
    builder.add(probe("first", log)).register().unwrap();
    builder.start().await.unwrap()
}

fn order(registry: &ActorRegistry) -> Vec<String> {
    let stats = registry.stats();
    stats.iter().map(|(name, _)| name.to_string()).collect()
}

#[tokio::test]
async fn r15_an_actor_added_at_run_time_is_ready_routed_and_drained_first() {
    let log = Log::default();
    let registry = started(&log).await;
    assert!(matches!(
        registry.ask(Note(1)).await,
        Err(AskError::Unrouted(_))
    ));
    let added = registry
        .add(probe("added", &log))
        .capacity(3)
        .handles::<Note>()
        .start()
        .await
        .unwrap();
    assert_eq!(log.entries().last().unwrap(), "added started");
    assert_eq!(added.stats().capacity, 3);
    assert_eq!(registry.ask(Note(1)).await.unwrap(), 1);
    let routes = registry.routes();
    let front = registry
        .add(Front(added.clone()))
        .sends_to(&added)
        .start()
        .await
        .unwrap();
    assert_eq!(front.ask(Note(2)).await.unwrap(), 102);
    assert_eq!(order(&registry), ["first", "added", "Front"]);
    let report = registry.shutdown().await;
    assert_eq!(names(&report.actors), ["Front", "added", "first"]);
    assert!(report.is_balanced());
    assert!(matches!(
        routes.ask(Note(1)).await,
        Err(AskError::Closed(_))
    ));
}

#[tokio::test]
async fn r15_a_removed_actor_is_drained_and_reported_and_leaves_no_trace() {
    let (log, gate) = (Log::default(), Gate::default());
    let registry = started(&log).await;
    let added = registry
        .add(Probe::named("added", &log, &gate))
        .handles::<Note>()
        .start()
        .await
        .unwrap();
    let weak = added.downgrade();
    occupy(&added, &gate).await;
    registry.tell(Note(1)).await.unwrap();
    let mut removal = Box::pin(registry.remove("added"));
    assert!(poll_once(&mut removal).await.is_pending());
    // Its routes are gone at once, and its name is not.
    assert!(matches!(
        registry.ask(Note(2)).await,
        Err(AskError::Unrouted(Note(2)))
    ));
    let again = registry.add(probe("added", &log)).start().await;
    assert!(matches!(
        again,
        Err(AddError::Build(BuildError::DuplicateName { .. }))
    ));
    // Whoever else removes it gets the same report.
    let mut second = Box::pin(registry.remove("added"));
    assert!(poll_once(&mut second).await.is_pending());
    gate.open();
    let (first, second) = (removal.await.unwrap(), second.await.unwrap());
    assert!(Arc::ptr_eq(&first.exit, &second.exit));
    assert_eq!((first.level, first.exit.account.ok), (Level::Drain, 2));
    assert!(matches!(first.exit.reason, StopReason::Drained));
    assert_eq!(order(&registry), ["first"]);
    drop(added);
    assert!(weak.upgrade().is_none(), "nobody holds it any more");
    registry
        .add(probe("added", &log))
        .handles::<Note>()
        .start()
        .await
        .unwrap();
    assert_eq!(registry.ask(Note(3)).await.unwrap(), 3);
    let report = registry.shutdown().await;
    assert_eq!(names(&report.actors), ["added", "first"]);
}

#[tokio::test]
async fn r15_a_removal_goes_on_when_nobody_waits_for_it() {
    let (log, gate) = (Log::default(), Gate::default());
    let registry = started(&log).await;
    let added = Probe::named("added", &log, &gate);
    let added = registry.add(added).start().await.unwrap();
    occupy(&added, &gate).await;
    let mut removal = Box::pin(registry.remove("added"));
    assert!(poll_once(&mut removal).await.is_pending());
    drop(removal);
    gate.open();
    added.closed().await;
    while order(&registry).len() > 1 {
        tokio::task::yield_now().await;
    }
    registry.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn r15_a_removal_insists_when_the_deadline_has_passed() {
    let (log, gate) = (Log::default(), Gate::default());
    let registry = started(&log).await;
    let added = registry
        .add(Probe::named("added", &log, &gate))
        .drain_deadline(Duration::from_secs(3))
        .start()
        .await
        .unwrap();
    occupy(&added, &gate).await;
    added.tell(Note(1)).await.unwrap();
    let report = registry.remove("added").await.unwrap();
    assert_eq!((report.level, report.took.as_secs()), (Level::Kill, 4));
    let account = report.exit.account;
    assert_eq!((account.cancelled, account.undelivered), (1, 1));
    registry.shutdown().await;
}

#[tokio::test]
async fn r15_an_actor_that_ended_by_itself_stays_until_it_is_removed() {
    let log = Log::default();
    let registry = started(&log).await;
    let frail = registry.add(probe("frail", &log)).start().await.unwrap();
    assert!(frail.ask(Crash("ill")).await.is_err());
    frail.closed().await;
    assert_eq!(order(&registry), ["first", "frail"]);
    let report = registry.remove("frail").await.unwrap();
    assert!(matches!(report.exit.reason, StopReason::Panicked { .. }));
    assert_eq!(order(&registry), ["first"]);
    registry.shutdown().await;
}

#[derive(Debug, thiserror::Error)]
#[error("the port is taken")]
struct PortTaken;

/// Waits at the gate in `started`, and then fails.
struct Broken(Gate);

impl Actor for Broken {
    type Error = PortTaken;

    async fn started(&mut self, _: &Context<Self>) -> Result<(), PortTaken> {
        self.0.pass().await;
        Err(PortTaken)
    }
}

#[tokio::test]
async fn r15_what_cannot_be_added_leaves_no_trace() {
    let log = Log::default();
    let registry = started(&log).await;
    let refused = async |added: Result<_, AddError>| match added {
        Err(AddError::Build(error)) => error,
        other => panic!("{other:?}"),
    };
    let taken = registry.add(probe("first", &log)).start().await;
    assert!(matches!(
        refused(taken).await,
        BuildError::DuplicateName { .. }
    ));
    let no_room = registry.add(probe("x", &log)).capacity(0).start().await;
    assert!(matches!(
        refused(no_room).await,
        BuildError::ZeroCapacity { .. }
    ));
    let twice = registry.add(probe("x", &log)).handles::<Note>();
    let twice = twice.handles::<Note>().start().await;
    assert!(matches!(
        refused(twice).await,
        BuildError::DuplicateRoute { .. }
    ));
    let elsewhere = probe("elsewhere", &log).spawn();
    let stranger = registry.add(probe("x", &log)).sends_to(&elsewhere);
    assert!(matches!(
        refused(stranger.start().await).await,
        BuildError::Stranger { .. }
    ));

    let gate = Gate::default();
    gate.open();
    let broken = registry.add(Broken(gate)).name("x").start().await;
    let Err(error @ AddError::Actor { .. }) = broken else {
        panic!("{broken:?}")
    };
    assert_eq!(
        error.to_string(),
        "actor `x` did not start and was not added"
    );
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("the port is taken"), "{source}");

    assert_eq!(order(&registry), ["first"]);
    let added = registry.add(probe("x", &log)).handles::<Note>();
    added.start().await.unwrap();
    assert_eq!(registry.ask(Note(1)).await.unwrap(), 1);
    assert_eq!(
        registry.remove("nobody").await.unwrap_err(),
        RemoveError::Unknown {
            actor: "nobody".into()
        }
    );
    registry.shutdown().await;
}

#[tokio::test]
async fn r15_an_addition_that_is_dropped_leaves_the_registry_when_it_has_ended() {
    let (log, gate) = (Log::default(), Gate::default());
    let registry = started(&log).await;
    let mut addition = Box::pin(registry.add(Broken(gate.clone())).name("x").start());
    assert!(poll_once(&mut addition).await.is_pending());
    gate.wait_entered().await;
    assert_eq!(order(&registry), ["first", "x"]);
    drop(addition);
    let taken = registry.add(probe("x", &log)).start().await;
    assert!(matches!(taken, Err(AddError::Build(_))), "it still starts");
    gate.open();
    while order(&registry).len() > 1 {
        tokio::task::yield_now().await;
    }
    registry.add(probe("x", &log)).start().await.unwrap();
    registry.shutdown().await;
}

#[tokio::test]
async fn r15_nobody_comes_or_goes_once_the_shutdown_has_begun() {
    let (log, gate) = (Log::default(), Gate::default());
    let registry = started(&log).await;
    let held = Probe::named("held", &log, &gate);
    let held = registry.add(held).start().await.unwrap();
    occupy(&held, &gate).await;
    let mut shutdown = Box::pin(registry.shutdown());
    assert!(poll_once(&mut shutdown).await.is_pending());
    let late = registry.add(probe("late", &log)).start().await;
    assert!(matches!(&late, Err(AddError::ShutDown { actor }) if &**actor == "late"));
    let error = registry.remove("held").await.unwrap_err();
    assert!(matches!(&error, RemoveError::ShutDown { actor } if &**actor == "held"));
    assert!(error.to_string().contains("begun to shut down"), "{error}");
    gate.open();
    shutdown.await;
    let late = registry.add(probe("late", &log)).start().await;
    assert!(matches!(late, Err(AddError::ShutDown { .. })));
}

#[tokio::test]
async fn r15_a_removal_that_a_shutdown_overtakes_is_in_both_reports() {
    let (log, gate) = (Log::default(), Gate::default());
    let registry = started(&log).await;
    let held = Probe::named("held", &log, &gate);
    let held = registry.add(held).start().await.unwrap();
    occupy(&held, &gate).await;
    held.tell(Held(1)).await.unwrap();
    let mut removal = Box::pin(registry.remove("held"));
    assert!(poll_once(&mut removal).await.is_pending());
    let mut shutdown = Box::pin(registry.shutdown());
    assert!(poll_once(&mut shutdown).await.is_pending());
    gate.open_for_good();
    let (removed, report) = (removal.await.unwrap(), shutdown.await);
    assert_eq!(names(&report.actors), ["held", "first"]);
    assert!(Arc::ptr_eq(&removed.exit, &report.actors[0].exit));
    assert_eq!(removed.exit.account.ok, 2);
}

#[tokio::test]
async fn r15_a_critical_actor_added_at_run_time_shuts_the_registry_down() {
    let log = Log::default();
    let registry = started(&log).await;
    let made = log.clone();
    let policy = RestartPolicy::permanent()
        .backoff(Backoff::none())
        .intensity(0, Duration::from_secs(1));
    let vital = registry
        .supervise(move || probe("vital", &made), policy)
        .critical()
        .start()
        .await
        .unwrap();
    // One that is removed is no failure.
    let other = registry.add(probe("other", &log)).critical();
    other.start().await.unwrap();
    registry.remove("other").await.unwrap();
    assert!(vital.ask(Crash("ill")).await.is_err());
    let report = registry.closed().await;
    assert_eq!(&*report.cause.as_ref().unwrap().actor, "vital");
    assert_eq!(names(&report.actors), ["vital", "first"]);
}

#[test]
fn r15_a_registry_whose_runtime_is_gone_says_so() {
    let log = Log::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let registry = runtime.block_on(started(&log));
    drop(runtime);
    let other = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    other.block_on(async {
        let late = registry.add(probe("late", &log)).start().await;
        let Err(AddError::Actor { cause, .. }) = late else {
            panic!("{late:?}")
        };
        assert!(cause.is_balanced());
        let removed = registry.remove("first").await.unwrap();
        assert!(matches!(removed.exit.reason, StopReason::RuntimeGone));
        assert_eq!(registry.shutdown().await.actors.len(), 0);
    });
}

#[allow(dead_code, reason = "it only has to compile")]
fn additions_and_removals_are_send(registry: &'static ActorRegistry, log: Log) {
    tokio::spawn(async move {
        let _: Result<_, AddError> = registry.add(probe("x", &log)).start().await;
        let _ = registry.remove("x").await;
        Ok::<_, Infallible>(())
    });
}
