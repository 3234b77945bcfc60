//! What each side sees when something is wrong with an actor: the rows of the table in README.md.

use crate::common::{Crash, Fail, Gate, Held, Log, Note, Probe, Refusal, occupy, poll_once};
use postroom::actor::{
    Actor, AskError, Executed, Exit, Handle, Level, Overflow, SendError, StopReason, Told,
};
use postroom::registry::{ActorRegistry, ShutdownReport};
use postroom::supervision::{Backoff, RestartPolicy};
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// An actor with one slot in a registry, whose handler waits at the gate.
struct Scene {
    gate: Gate,
    actor: Handle<Probe>,
    registry: ActorRegistry,
}

impl Scene {
    async fn new() -> Self {
        Self::with(RestartPolicy::permanent().intensity(0, SECOND)).await
    }

    async fn with(policy: RestartPolicy) -> Self {
        Self::new_with(policy, Overflow::Wait).await
    }

    async fn overflowing(overflow: Overflow) -> Self {
        Self::new_with(RestartPolicy::permanent(), overflow).await
    }

    async fn new_with(policy: RestartPolicy, overflow: Overflow) -> Self {
        let (log, gate) = (Log::default(), Gate::default());
        let mut builder = ActorRegistry::builder();
        let inside = gate.clone();
        let actor = builder
            .supervise(move || Probe::new(&log, &inside), policy)
            .capacity(1)
            .overflow(overflow)
            .register()
            .unwrap();
        let registry = builder.start().await.unwrap();
        occupy(&actor, &gate).await;
        Self {
            gate,
            actor,
            registry,
        }
    }

    async fn shut_down(&self) -> Arc<ShutdownReport> {
        self.gate.open_for_good();
        let report = self.registry.shutdown().await;
        assert!(report.is_balanced(), "{report}");
        report
    }
}

fn is_expired(asked: &Result<u32, AskError<Note>>) -> bool {
    matches!(asked, Err(error @ AskError::Expired(_)) if error.was_executed() == Executed::No)
}

#[tokio::test]
async fn dropping() {
    let scene = Scene::overflowing(Overflow::DropNewest).await;
    let actor = &scene.actor;
    assert_eq!(actor.tell(Note(1)).await, Ok(Told::Accepted));
    assert!(matches!(
        actor.ask(Note(2)).await,
        Err(AskError::Full(Note(2)))
    ));
    assert_eq!(actor.tell(Note(3)).await, Ok(Told::Dropped));
    for stats in [actor.stats(), scene.registry.stats()[0].1] {
        assert_eq!((stats.dropped, stats.waiting), (1, 0));
    }
    scene.shut_down().await;
}

#[tokio::test]
async fn evicting() {
    let scene = Scene::overflowing(Overflow::EvictOldest).await;
    let actor = &scene.actor;
    let mut first = actor.ask(Note(1));
    assert!(poll_once(&mut first).await.is_pending());
    let mut second = actor.ask(Note(2));
    assert!(poll_once(&mut second).await.is_pending());
    let evicted = first.await.unwrap_err();
    assert_eq!(evicted.was_executed(), Executed::No);
    assert!(matches!(evicted, AskError::Evicted(Note(1))));
    assert_eq!(actor.tell(Note(3)).await, Ok(Told::Accepted));
    assert!(matches!(second.await, Err(AskError::Evicted(Note(2)))));
    for stats in [actor.stats(), scene.registry.stats()[0].1] {
        assert_eq!((stats.account.evicted, stats.depth), (2, 1));
    }
    let report = scene.shut_down().await;
    assert_eq!(report.actors[0].exit.account.evicted, 2, "{report}");
}

#[tokio::test(start_paused = true)]
async fn full() {
    let scene = Scene::new().await;
    let actor = &scene.actor;
    actor.tell(Note(1)).await.unwrap();
    assert!(matches!(
        actor.try_ask(Note(2)).await,
        Err(AskError::Full(Note(2)))
    ));
    assert!(is_expired(&actor.ask(Note(2)).timeout(SECOND).await));
    assert_eq!(actor.try_tell(Note(2)), Err(SendError::Full(Note(2))));
    let tell = actor.tell(Note(2)).timeout(SECOND);
    assert_eq!(tell.await, Err(SendError::Expired(Note(2))));
    let (mut ask, mut tell) = (actor.ask(Note(3)), actor.tell(Note(4)));
    assert!(poll_once(&mut ask).await.is_pending());
    assert!(poll_once(&mut tell).await.is_pending());
    for stats in [actor.stats(), scene.registry.stats()[0].1] {
        assert_eq!((stats.depth, stats.waiting), (1, 2));
    }
    scene.gate.open_for_good();
    assert_eq!(ask.await.unwrap(), 3);
    tell.await.unwrap();
    scene.shut_down().await;
}

#[tokio::test]
async fn stopped() {
    for level in [Level::Stop, Level::Kill] {
        let scene = Scene::new().await;
        let actor = &scene.actor;
        let (mut queued, mut parked) = (actor.ask(Note(1)), actor.ask(Note(2)));
        assert!(poll_once(&mut queued).await.is_pending());
        assert!(poll_once(&mut parked).await.is_pending());
        match level {
            Level::Stop => actor.stop(),
            _ => actor.kill(),
        }
        assert!(matches!(parked.await, Err(AskError::Closed(Note(2)))));
        assert!(matches!(
            actor.ask(Note(3)).await,
            Err(AskError::Closed(Note(3)))
        ));
        assert_eq!(actor.try_tell(Note(3)), Err(SendError::Closed(Note(3))));
        scene.gate.open();
        assert!(matches!(queued.await, Err(AskError::Stopped(Note(1)))));
        let exit: Arc<Exit> = actor.closed().await;
        let account = exit.account;
        assert_eq!(account.undelivered, 1);
        assert_eq!(account.cancelled, u64::from(level == Level::Kill));
        // Final under every policy, and told once: by `remove` if it is removed, else at the end.
        let removed = scene.registry.remove("probe").await.unwrap();
        assert!(Arc::ptr_eq(&removed.exit, &exit));
        assert!(scene.shut_down().await.actors.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn restarting() {
    let pause = Backoff::exponential(SECOND, SECOND);
    let scene = Scene::with(RestartPolicy::permanent().backoff(pause)).await;
    let actor = &scene.actor;
    let recipient = actor.recipient::<Note>();
    scene.gate.open();
    assert!(actor.ask(Crash("ill")).await.is_err());
    // Whatever is sent now waits for the next incarnation.
    tokio::task::yield_now().await;
    actor.tell(Note(1)).await.unwrap();
    let mut asked = recipient.ask(Note(2));
    assert!(poll_once(&mut asked).await.is_pending());
    assert!(!actor.is_closed());
    assert_eq!(asked.await.unwrap(), 2);
    assert_eq!(actor.stats().restarts, 1);
    assert_eq!(scene.shut_down().await.actors[0].exit.restarts, 1);
}

#[tokio::test]
async fn panicking() {
    // Within its policy.
    let policy = RestartPolicy::transient().backoff(Backoff::none());
    let scene = Scene::with(policy).await;
    let actor = &scene.actor;
    scene.gate.open();
    let panicked = actor.ask(Crash("ill")).await.unwrap_err();
    assert!(matches!(&panicked, AskError::Panicked { text, .. } if &**text == "ill"));
    assert_eq!(panicked.was_executed(), Executed::Yes);
    actor.tell(Crash("ill")).await.unwrap();
    assert_eq!(actor.ask(Note(1)).await.unwrap(), 1);
    let report = scene.shut_down().await;
    assert_eq!(report.actors[0].exit.account.panicked, 2);
    assert!(report.cause.is_none());

    // Beyond it.
    let scene = Scene::new().await;
    let actor = &scene.actor;
    let mut crash = actor.ask(Crash("ill"));
    assert!(poll_once(&mut crash).await.is_pending());
    scene.gate.open();
    assert!(matches!(crash.await, Err(AskError::Panicked { .. })));
    let exit = actor.closed().await;
    assert!(matches!(exit.reason, StopReason::IntensityExceeded { .. }));
    assert!(exit.reason.is_failure());
    assert!(matches!(actor.ask(Note(1)).await, Err(AskError::Closed(_))));
    assert!(scene.shut_down().await.cause.is_none());

    // And critical.
    let mut builder = ActorRegistry::builder();
    let vital = builder.add(Probe::default()).name("vital").critical();
    let vital = vital.register().unwrap();
    let registry = builder.start().await.unwrap();
    assert!(vital.ask(Crash("ill")).await.is_err());
    let report = registry.closed().await;
    assert_eq!(&*report.cause.as_ref().unwrap().actor, "vital");
}

#[tokio::test]
async fn failing() {
    let scene = Scene::new().await;
    let actor = &scene.actor;
    scene.gate.open();
    assert!(matches!(
        actor.ask(Fail).await,
        Err(AskError::Handler(Refusal))
    ));
    actor.tell(Fail).await.unwrap();
    assert_eq!(actor.ask(Note(1)).await.unwrap(), 1);
    let account = actor.stats().account;
    assert_eq!((account.failed, account.ok), (2, 2));
    assert_eq!(scene.shut_down().await.actors[0].exit.restarts, 0);
}

#[tokio::test(start_paused = true)]
async fn slow() {
    let scene = Scene::new().await;
    let actor = &scene.actor;
    assert!(is_expired(&actor.ask(Note(1)).timeout(SECOND).await));
    assert_eq!(actor.stats().account.running, 1);
    scene.gate.open();
    let slow = actor.ask(Held(2)).timeout(SECOND).await.unwrap_err();
    assert!(matches!(&slow, AskError::TimedOut { .. }));
    assert_eq!(slow.was_executed(), Executed::Unknown);
    // It runs on, and at shutdown it is stopped and then killed.
    let report = scene.registry.shutdown().await;
    assert_eq!(report.actors[0].level, Level::Kill);
    assert_eq!(report.actors[0].exit.account.cancelled, 1);
    assert_eq!(report.elapsed.as_secs(), 11);
}

#[test]
fn gone() {
    let runtime = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap()
    };
    // With its last handle.
    runtime().block_on(async {
        let actor = Probe::default().spawn();
        let (weak, closed) = (actor.downgrade(), actor.closed());
        actor.tell(Note(1)).await.unwrap();
        drop(actor);
        let exit = closed.await;
        assert!(matches!(exit.reason, StopReason::HandlesDropped));
        assert_eq!(exit.account.ok, 1);
        assert!(weak.upgrade().is_none());
    });
    // With its runtime.
    let doomed = runtime();
    let scene = doomed.block_on(Scene::new());
    let asker = runtime();
    let queued = scene.actor.clone();
    let mut queued = Box::pin(async move { queued.ask(Note(1)).await });
    assert!(asker.block_on(poll_once(&mut queued)).is_pending());
    drop(doomed);
    asker.block_on(async {
        assert!(matches!(queued.await, Err(AskError::Stopped(Note(1)))));
        let exit = scene.actor.closed().await;
        assert!(matches!(exit.reason, StopReason::RuntimeGone));
        assert_eq!(exit.account.cancelled, 1);
        assert!(matches!(
            scene.actor.ask(Note(2)).await,
            Err(AskError::Closed(_))
        ));
        let report = scene.registry.shutdown().await;
        assert!(report.is_balanced());
    });
}

#[test]
fn the_readme_has_a_row_for_each_of_these_and_no_other() {
    let readme = include_str!("../../README.md");
    let table = readme.split("## When something goes wrong").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let rows = table.lines().filter_map(|line| {
        let cells: Vec<_> = line.strip_prefix("| **")?.split("**").collect();
        Some(cells[0].to_owned())
    });
    let tests = include_str!("failure_matrix.rs");
    let rows: Vec<_> = rows.collect();
    for row in &rows {
        assert!(tests.contains(&format!("fn {row}()")), "{row} has a test");
    }
    assert_eq!(rows.len(), 9);
}
