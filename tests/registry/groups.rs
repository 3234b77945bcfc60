//! Actors that are restarted together (R13).

use crate::common::{Crash, Gate, Held, Log, Note, Probe, occupy, poll_once};
use crate::names;
use postroom::actor::{Actor, AskError, Context, Handle, StopReason};
use postroom::registry::{ActorRegistry, ActorRegistryBuilder};
use postroom::supervision::{Backoff, RestartPolicy, Strategy};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn policy() -> RestartPolicy {
    RestartPolicy::permanent()
        .backoff(Backoff::none())
        .intensity(1000, Duration::from_secs(1))
}

struct Trio {
    log: Log,
    gate: Gate,
    registry: ActorRegistry,
    /// `a`, `b` and `c`, in the order of start.
    actors: Vec<Handle<Probe>>,
}

impl Trio {
    async fn start(strategy: Strategy) -> Self {
        Self::with(strategy, |_| policy(), |_| {}).await
    }

    async fn with(
        strategy: Strategy,
        policy: impl Fn(&str) -> RestartPolicy,
        settings: impl FnOnce(&mut ActorRegistryBuilder),
    ) -> Self {
        let (log, gate) = (Log::default(), Gate::default());
        let mut builder = ActorRegistry::builder();
        settings(&mut builder);
        let mut group = builder.group(strategy);
        let mut actors = Vec::new();
        for name in ["a", "b", "c"] {
            let (log, gate) = (log.clone(), gate.clone());
            let member = group
                .supervise(move || Probe::named(name, &log, &gate), policy(name))
                .stop_deadline(Duration::from_secs(3));
            actors.push(member.register().unwrap());
        }
        let registry = builder.start().await.unwrap();
        Self {
            log,
            gate,
            registry,
            actors,
        }
    }

    /// What has been logged since the start.
    fn events(&self) -> Vec<String> {
        self.log.entries().split_off(3)
    }

    async fn answers(&self) {
        for actor in &self.actors {
            assert_eq!(actor.ask(Note(7)).await.unwrap(), 7);
        }
    }

    /// An asker may have its answer before anyone else has seen the failure.
    async fn restarted(&self, restarts: [u64; 3]) {
        while self.restarts() != restarts {
            tokio::task::yield_now().await;
        }
    }

    fn restarts(&self) -> Vec<u64> {
        let restarts = self.actors.iter().map(|actor| actor.stats().restarts);
        restarts.collect()
    }
}

#[tokio::test]
async fn r13_one_for_all_ends_all_in_reverse_and_starts_them_in_order() {
    let trio = Trio::start(Strategy::OneForAll).await;
    assert!(trio.actors[1].ask(Crash("ill")).await.is_err());
    trio.restarted([1, 1, 1]).await;
    trio.answers().await;
    let events = trio.events();
    assert!(events[0].starts_with("b stopped: panicked"), "{events:?}");
    let because = "restarted with its group, because `b` failed";
    let expected = [
        format!("c stopped: {because}"),
        format!("a stopped: {because}"),
        "a started".into(),
        "b started".into(),
        "c started".into(),
    ];
    assert_eq!(events[1..6], expected);
    assert!(trio.registry.shutdown().await.is_balanced());
}

#[tokio::test]
async fn r13_rest_for_one_leaves_those_before_alone() {
    let trio = Trio::start(Strategy::RestForOne).await;
    assert!(trio.actors[1].ask(Crash("ill")).await.is_err());
    trio.restarted([0, 1, 1]).await;
    trio.answers().await;
    let events = trio.events();
    let events: Vec<_> = events
        .iter()
        .map(|it| it.split(':').next().unwrap())
        .collect();
    assert_eq!(
        events[..4],
        ["b stopped", "c stopped", "b started", "c started"]
    );
    trio.registry.shutdown().await;
}

#[tokio::test]
async fn r13_one_for_one_leaves_all_others_alone() {
    let trio = Trio::start(Strategy::OneForOne).await;
    assert!(trio.actors[1].ask(Crash("ill")).await.is_err());
    trio.restarted([0, 1, 0]).await;
    trio.answers().await;
    trio.registry.shutdown().await;
}

#[tokio::test]
async fn r13_a_sibling_finishes_its_handler_and_keeps_its_messages() {
    let trio = Trio::start(Strategy::OneForAll).await;
    let busy = &trio.actors[0];
    let mut running = busy.ask(Held(1));
    assert!(poll_once(&mut running).await.is_pending());
    trio.gate.wait_entered().await;
    let mut queued = busy.ask(Note(2));
    assert!(poll_once(&mut queued).await.is_pending());
    assert!(trio.actors[2].ask(Crash("ill")).await.is_err());
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(trio.restarts(), [0, 0, 0], "everyone waits for the handler");
    trio.gate.open();
    assert_eq!(running.await.unwrap(), 1);
    assert_eq!(queued.await.unwrap(), 2);
    trio.answers().await;
    assert_eq!(trio.restarts(), [1, 1, 1]);
    let account = busy.stats().account;
    assert_eq!((account.ok, account.cancelled), (3, 0));
    trio.registry.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn r13_a_siblings_handler_is_dropped_when_its_stop_deadline_has_passed() {
    let trio = Trio::start(Strategy::OneForAll).await;
    let before = tokio::time::Instant::now();
    let mut running = trio.actors[0].ask(Held(1));
    assert!(poll_once(&mut running).await.is_pending());
    trio.gate.wait_entered().await;
    assert!(trio.actors[2].ask(Crash("ill")).await.is_err());
    assert!(matches!(running.await, Err(AskError::Cancelled { .. })));
    trio.answers().await;
    assert_eq!(before.elapsed().as_secs(), 3);
    assert_eq!(trio.restarts(), [1, 1, 1]);
    trio.registry.shutdown().await;
}

#[tokio::test]
async fn r13_a_group_restart_counts_against_no_sibling() {
    let trio = Trio::with(
        Strategy::OneForAll,
        |name| match name {
            "b" => policy(),
            _ => policy().intensity(0, Duration::from_secs(1)),
        },
        |_| {},
    )
    .await;
    for round in 1..=20 {
        assert!(trio.actors[1].ask(Crash("ill")).await.is_err());
        trio.restarted([round; 3]).await;
        trio.answers().await;
    }
    trio.registry.shutdown().await;
}

#[tokio::test]
async fn r13_a_member_that_fails_for_good_takes_those_along_that_depend_on_it() {
    let limited = |_: &str| policy().intensity(0, Duration::from_secs(1));
    let trio = Trio::with(Strategy::RestForOne, limited, |_| {}).await;
    occupy(&trio.actors[2], &trio.gate).await;
    trio.actors[2].tell(Note(1)).await.unwrap();
    trio.gate.open();
    assert!(trio.actors[1].ask(Crash("ill")).await.is_err());
    let cause = trio.actors[1].closed().await;
    assert!(matches!(cause.reason, StopReason::IntensityExceeded { .. }));
    let along = trio.actors[2].closed().await;
    assert!(matches!(along.reason, StopReason::Stopped), "{along}");
    assert!(along.is_balanced());
    assert_eq!(trio.actors[0].ask(Note(1)).await.unwrap(), 1);
    let report = trio.registry.shutdown().await;
    assert!(report.cause.is_none());
    assert_eq!(report.actors.len(), 3);
}

#[tokio::test]
async fn r13_a_member_that_was_stopped_from_outside_is_not_started_again() {
    let trio = Trio::start(Strategy::OneForAll).await;
    trio.actors[0].stop();
    trio.actors[0].closed().await;
    assert!(trio.actors[1].ask(Crash("ill")).await.is_err());
    trio.restarted([0, 1, 1]).await;
    assert_eq!(trio.actors[2].ask(Note(1)).await.unwrap(), 1);
    assert!(trio.registry.shutdown().await.is_balanced());
}

#[tokio::test(start_paused = true)]
async fn r13_a_shutdown_in_the_middle_of_a_group_restart_ends_it() {
    let hour = Duration::from_hours(1);
    let slow = move |_: &str| policy().backoff(Backoff::exponential(hour, hour));
    let trio = Trio::with(Strategy::OneForAll, slow, |_| {}).await;
    assert!(trio.actors[1].ask(Crash("ill")).await.is_err());
    while trio.events().len() < 3 {
        tokio::task::yield_now().await;
    }
    let mut queued = trio.actors[0].ask(Note(1));
    assert!(poll_once(&mut queued).await.is_pending(), "all are down");
    let report = trio.registry.shutdown().await;
    assert!(report.is_balanced(), "{report}");
    // Those with nothing left end at once, and then nobody holds the first one back.
    assert_eq!(queued.await.unwrap(), 1);
    assert_eq!(names(&report.actors), ["c", "b", "a"]);
}

/// Starts when it may, and fails otherwise.
struct Moody {
    log: Log,
    may: Arc<AtomicBool>,
}

#[derive(Debug, thiserror::Error)]
#[error("not today")]
struct NotToday;

impl Actor for Moody {
    type Error = NotToday;

    async fn started(&mut self, _: &Context<Self>) -> Result<(), NotToday> {
        self.log.add("moody starts");
        if self.may.swap(true, Ordering::Relaxed) {
            Ok(())
        } else {
            Err(NotToday)
        }
    }
}

#[tokio::test]
async fn r13_a_start_that_fails_in_a_group_restart_begins_it_again() {
    let (log, may) = (Log::default(), Arc::new(AtomicBool::new(true)));
    let mut builder = ActorRegistry::builder();
    let mut group = builder.group(Strategy::OneForAll);
    let made = log.clone();
    let first = group
        .supervise(
            move || Probe::named("first", &made, &Gate::default()),
            policy(),
        )
        .register()
        .unwrap();
    let (made, mood) = (log.clone(), Arc::clone(&may));
    let moody = move || Moody {
        log: made.clone(),
        may: Arc::clone(&mood),
    };
    let moody = group.supervise(moody, policy()).register().unwrap();
    let registry = builder.start().await.unwrap();
    may.store(false, Ordering::Relaxed);
    assert!(first.ask(Crash("ill")).await.is_err());
    while moody.stats().restarts < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(first.ask(Note(1)).await.unwrap(), 1);
    let entries = log.entries();
    let entries: Vec<_> = entries
        .iter()
        .map(|it| it.split(':').next().unwrap())
        .collect();
    let expected = [
        "first started",
        "moody starts",
        "first stopped",
        "first started",
        "moody starts",
        "first stopped",
        "first started",
        "moody starts",
        "1",
    ];
    assert_eq!(entries, expected);
    registry.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_a_group_under_fire_loses_no_message_and_comes_back() {
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        let trio = Trio::start(strategy).await;
        let senders: Vec<_> = (0..3_usize)
            .map(|sender| {
                let actors = trio.actors.clone();
                tokio::spawn(async move {
                    for n in 0..300_u32 {
                        let actor = &actors[(sender + n as usize) % 3];
                        if n % 10 == 0 {
                            assert!(actor.ask(Crash("now and then")).await.is_err());
                        } else {
                            assert_eq!(actor.ask(Note(n)).await.unwrap(), n);
                        }
                    }
                })
            })
            .collect();
        for sender in senders {
            sender.await.unwrap();
        }
        trio.answers().await;
        let report = trio.registry.shutdown().await;
        assert!(report.is_balanced(), "{report}");
        let panicked: u64 = report
            .actors
            .iter()
            .map(|it| it.exit.account.panicked)
            .sum();
        let ok: u64 = report.actors.iter().map(|it| it.exit.account.ok).sum();
        assert_eq!((panicked, ok), (90, 810 + 3));
    }
}

#[tokio::test]
async fn r13_a_critical_member_that_fails_for_good_is_the_cause() {
    let mut builder = ActorRegistry::builder();
    let mut group = builder.group(Strategy::OneForAll);
    let limited = policy().intensity(0, Duration::from_secs(1));
    let probe = |name| move || Probe::named(name, &Log::default(), &Gate::default());
    group.supervise(probe("a"), limited).register().unwrap();
    let vital = group.supervise(probe("b"), limited).critical();
    let vital = vital.register().unwrap();
    let registry = builder.start().await.unwrap();
    assert!(vital.ask(Crash("ill")).await.is_err());
    let report = registry.closed().await;
    assert_eq!(&*report.cause.as_ref().unwrap().actor, "b");
}
