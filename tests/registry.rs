//! Registries: wiring, ordered start, routes, and a shutdown that accounts for everything.

mod common;

use common::{Crash, Gate, Held, Log, Note, Probe, Refusal, occupy, poll_once};
use postroom::actor::{
    Actor, AskError, Context, Handle, Handler, Level, Message, SendError, StopReason,
};
use postroom::registry::{ActorRegistry, ActorReport, BuildError, Routes, StartError};
use postroom::supervision::{Backoff, RestartPolicy};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

fn names(reports: &[ActorReport]) -> Vec<&str> {
    reports.iter().map(ActorReport::name).collect()
}

fn probe(name: &'static str, log: &Log) -> Probe {
    Probe::named(name, log, &Gate::default())
}

// ---- building ----

#[tokio::test]
async fn r15_a_duplicate_name_or_route_and_capacity_zero_are_build_errors() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    builder
        .add(probe("one", &log))
        .handles::<Note>()
        .register()
        .unwrap();
    let same_name = builder.add(probe("one", &log)).register().unwrap_err();
    assert_eq!(same_name, BuildError::DuplicateName { name: "one".into() });
    let same_route = builder
        .add(probe("two", &log))
        .handles::<Note>()
        .register()
        .unwrap_err();
    let BuildError::DuplicateRoute {
        message,
        first,
        second,
    } = same_route
    else {
        panic!("{same_route}")
    };
    assert!(message.ends_with("Note"));
    assert_eq!((&*first, &*second), ("one", "two"));
    let no_room = builder
        .add(probe("three", &log))
        .capacity(0)
        .register()
        .unwrap_err();
    assert_eq!(
        no_room,
        BuildError::ZeroCapacity {
            actor: "three".into()
        }
    );
    let slot = builder.reserve::<Probe>("one");
    assert!(matches!(
        builder.fill(slot, probe("", &log)).register(),
        Err(BuildError::DuplicateName { .. })
    ));
}

#[tokio::test]
async fn r15_a_refused_registration_leaves_no_trace() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    let twice = builder
        .add(probe("one", &log))
        .handles::<Note>()
        .handles::<Note>()
        .register();
    assert!(
        matches!(twice, Err(BuildError::DuplicateRoute { first, second, .. }) if first == second)
    );
    builder
        .add(probe("one", &log))
        .capacity(0)
        .handles::<Note>()
        .register()
        .unwrap_err();
    builder
        .add(probe("one", &log))
        .handles::<Note>()
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    assert_eq!(registry.stats().len(), 1);
    assert_eq!(registry.ask(Note(1)).await.unwrap(), 1);
    registry.shutdown().await;
}

#[tokio::test]
async fn r15_declared_sends_are_checked_before_anything_starts() {
    let log = Log::default();

    let mut builder = ActorRegistry::builder();
    let slot = builder.reserve::<Probe>("late");
    let late = slot.handle();
    let early = builder
        .add(probe("early", &log))
        .sends_to(&late)
        .register()
        .unwrap();
    builder
        .fill(slot, probe("", &log))
        .sends_to(&early)
        .register()
        .unwrap();
    let error = builder.start().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the declared sends go in a circle: `early` -> `late` -> `early`"
    );

    let mut builder = ActorRegistry::builder();
    let slot = builder.reserve::<Probe>("late");
    builder
        .add(probe("early", &log))
        .sends_to(&slot.handle())
        .register()
        .unwrap();
    builder.fill(slot, probe("", &log)).register().unwrap();
    assert!(matches!(
        builder.start().await,
        Err(StartError::Build(BuildError::StartsTooEarly { .. }))
    ));

    let mut builder = ActorRegistry::builder();
    let stranger = probe("stranger", &log).spawn();
    stranger.ready().await.unwrap();
    builder
        .add(probe("early", &log))
        .sends_to(&stranger)
        .register()
        .unwrap();
    assert!(matches!(
        builder.start().await,
        Err(StartError::Build(BuildError::Stranger { .. }))
    ));

    let mut builder = ActorRegistry::builder();
    let slot = builder.reserve::<Probe>("empty");
    assert!(matches!(
        builder.start().await,
        Err(StartError::Build(BuildError::Unfilled { .. }))
    ));
    drop(slot);
    assert_eq!(log.entries(), ["stranger started"]);
}

/// Passes notes on, to an actor that is wired later.
struct Front(Handle<Probe>);

impl Actor for Front {
    type Error = Infallible;
}

impl Handler<Note> for Front {
    async fn handle(&mut self, note: Note, _: &Context<Self>) -> Result<u32, Refusal> {
        self.0.ask(note).await.map(|n| n + 100).map_err(|_| Refusal)
    }
}

#[tokio::test]
async fn r15_handles_exist_before_their_actors() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    let slot = builder.reserve::<Probe>("back");
    let front = builder
        .add(Front(slot.handle()))
        .handles::<Note>()
        .register()
        .unwrap();
    let back = builder
        .fill(slot, probe("", &log))
        .capacity(2)
        .register()
        .unwrap();
    assert_eq!((back.name(), back.stats().capacity), ("back", 2));
    // Also messages may be sent ahead; they wait.
    let mut ahead = front.ask(Note(1));
    assert!(poll_once(&mut ahead).await.is_pending());
    let registry = builder.start().await.unwrap();
    assert_eq!(ahead.await.unwrap(), 101);
    assert_eq!(registry.ask(Note(2)).await.unwrap(), 102);
    registry.shutdown().await;
}

#[tokio::test]
async fn r15_a_builder_that_never_starts_gives_everything_back() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    let registered = builder.add(probe("registered", &log)).register().unwrap();
    let slot = builder.reserve::<Probe>("reserved");
    let reserved = slot.handle();
    let (mut one, mut two) = (registered.ask(Note(1)), reserved.ask(Note(2)));
    assert!(poll_once(&mut one).await.is_pending());
    assert!(poll_once(&mut two).await.is_pending());
    drop(builder);
    drop(slot);
    assert!(matches!(one.await, Err(AskError::Stopped(Note(1)))));
    assert!(matches!(two.await, Err(AskError::Stopped(Note(2)))));
    assert!(matches!(
        registered.closed().await.reason,
        StopReason::NeverStarted
    ));
    assert!(matches!(reserved.ready().await, Err(exit) if exit.is_balanced()));
}

// ---- starting ----

/// Starts slowly, or not at all.
struct Slow {
    name: &'static str,
    log: Log,
    works: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the port is taken")]
struct PortTaken;

impl Actor for Slow {
    type Error = PortTaken;

    async fn started(&mut self, _: &Context<Self>) -> Result<(), PortTaken> {
        self.log.add(format!("{} starting", self.name));
        tokio::task::yield_now().await;
        self.log.add(format!("{} ready", self.name));
        if self.works { Ok(()) } else { Err(PortTaken) }
    }

    async fn stopped(&mut self, _: &StopReason) -> Result<(), PortTaken> {
        self.log.add(format!("{} stopped", self.name));
        Ok(())
    }
}

#[tokio::test]
async fn r15_actors_start_in_order_and_each_is_ready_before_the_next() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    for name in ["one", "two", "three"] {
        builder
            .add(Slow {
                name,
                log: log.clone(),
                works: true,
            })
            .name(name)
            .register()
            .unwrap();
    }
    let registry = builder.start().await.unwrap();
    let started = [
        "one starting",
        "one ready",
        "two starting",
        "two ready",
        "three starting",
        "three ready",
    ];
    assert_eq!(log.entries(), started);
    let report = registry.shutdown().await;
    assert_eq!(
        log.entries()[6..],
        ["three stopped", "two stopped", "one stopped"]
    );
    assert_eq!(names(&report.actors), ["three", "two", "one"]);
}

#[tokio::test]
async fn r15_a_failed_start_rolls_back_in_reverse() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    for (name, works) in [
        ("one", true),
        ("two", true),
        ("three", false),
        ("four", true),
    ] {
        builder
            .add(Slow {
                name,
                log: log.clone(),
                works,
            })
            .name(name)
            .register()
            .unwrap();
    }
    let error = builder.start().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "actor `three` did not start, and the registry was rolled back"
    );
    let StartError::Actor {
        actor,
        cause,
        rolled_back,
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(&*actor, "three");
    assert!(cause.to_string().contains("the port is taken"), "{cause}");
    assert_eq!(names(&rolled_back), ["two", "one"]);
    assert_eq!(log.entries()[6..], ["two stopped", "one stopped"]);
}

/// Never becomes ready.
struct Stuck;

impl Actor for Stuck {
    type Error = Infallible;

    async fn started(&mut self, _: &Context<Self>) -> Result<(), Infallible> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn r15_a_start_that_is_dropped_stops_what_has_started() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    let first = builder.add(probe("first", &log)).register().unwrap();
    builder.add(Stuck).register().unwrap();
    let mut start = Box::pin(builder.start());
    while log.entries().is_empty() {
        assert!(poll_once(&mut start).await.is_pending());
        tokio::task::yield_now().await;
    }
    first.ready().await.unwrap();
    drop(start);
    assert!(matches!(first.closed().await.reason, StopReason::Stopped));
}

#[test]
fn r15_outside_a_runtime_is_an_error() {
    let mut builder = ActorRegistry::builder();
    builder
        .add(Probe::default())
        .name("probe")
        .register()
        .unwrap();
    let mut start = std::pin::pin!(builder.start());
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let started = start.as_mut().poll(&mut cx);
    assert!(matches!(
        started,
        std::task::Poll::Ready(Err(StartError::NoRuntime))
    ));
}

// ---- routes ----

#[tokio::test]
async fn r15_routes_lead_to_whoever_declared_the_message() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    let routes: Routes = builder.routes();
    assert!(
        matches!(routes.ask(Note(1)).await, Err(AskError::Unrouted(Note(1)))),
        "nothing before the start"
    );
    builder
        .add(probe("notes", &log))
        .handles::<Note>()
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    assert_eq!(routes.ask(Note(1)).await.unwrap(), 1);
    assert_eq!(registry.recipient::<Note>().unwrap().name(), "notes");
    routes.tell(Note(2)).await.unwrap();
    routes.try_tell(Note(3)).unwrap();
    assert!(matches!(
        routes.try_ask(Held(1)).await,
        Err(AskError::Unrouted(Held(1)))
    ));
    assert_eq!(
        registry.try_tell(Held(1)),
        Err(SendError::Unrouted(Held(1)))
    );
    let unrouted = routes.recipient::<Held>().unwrap_err();
    assert!(unrouted.to_string().contains("Held"));
    let stats = registry.stats();
    assert_eq!((&*stats[0].0, stats[0].1.account.accepted), ("notes", 3));
    registry.shutdown().await;
}

/// Asks itself through the routes.
struct Circular(Routes);

impl Actor for Circular {
    type Error = Infallible;
}

impl Handler<Note> for Circular {
    async fn handle(&mut self, note: Note, _: &Context<Self>) -> Result<u32, Refusal> {
        match self.0.ask(note).await {
            Err(AskError::WouldDeadlock(_)) => Ok(8),
            _ => Err(Refusal),
        }
    }
}

#[tokio::test]
async fn r08_asking_oneself_through_a_route_is_an_error() {
    let mut builder = ActorRegistry::builder();
    let routes = builder.routes();
    builder
        .add(Circular(routes))
        .handles::<Note>()
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    assert_eq!(registry.ask(Note(1)).await.unwrap(), 8);
    registry.shutdown().await;
}

// ---- shutting down ----

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r16_a_shutdown_under_load_accounts_for_every_message() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    let back = builder
        .add(probe("back", &log))
        .capacity(4)
        .register()
        .unwrap();
    let front = builder
        .add(Front(back.clone()))
        .capacity(4)
        .handles::<Note>()
        .sends_to(&back)
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(0_u64);
    let stop = Arc::new(stop);
    let senders: Vec<_> = (0..8_u32)
        .map(|sender| {
            let (front, stop) = (front.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let (mut told, mut answered) = (0_u64, 0_u64);
                loop {
                    if sender % 2 == 0 {
                        match front.tell(Note(sender)).await {
                            Ok(()) => told += 1,
                            Err(_) => return (told, answered),
                        }
                    } else {
                        match front.ask(Note(sender)).await {
                            Ok(_) => answered += 1,
                            Err(error) => {
                                assert!(
                                    matches!(error, AskError::Closed(_)),
                                    "a drain answers all: {error:?}"
                                );
                                return (told, answered);
                            }
                        }
                    }
                    stop.send_modify(|sent| *sent += 1);
                }
            })
        })
        .collect();
    stopped.clone().wait_for(|sent| *sent > 500).await.unwrap();
    let report = registry.shutdown().await;
    assert!(report.is_balanced(), "{report}");
    let (mut told, mut answered) = (0, 0);
    for sender in senders {
        let (t, a) = sender.await.unwrap();
        told += t;
        answered += a;
    }
    let front = &report.actor("Front").unwrap().exit.account;
    assert_eq!(
        front.accepted,
        told + answered,
        "no send that returned Ok is unaccounted for"
    );
    assert_eq!(front.ok, front.accepted);
    assert_eq!(report.actor("back").unwrap().exit.account.ok, front.ok);
    assert_eq!(names(&report.actors), ["Front", "back"]);
}

#[tokio::test]
async fn r16_routes_close_at_once_and_mailboxes_in_their_turn() {
    let (log, gate) = (Log::default(), Gate::default());
    let mut builder = ActorRegistry::builder();
    let back = builder
        .add(probe("back", &log))
        .handles::<Note>()
        .register()
        .unwrap();
    let front = builder
        .add(Probe::named("front", &log, &gate))
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    occupy(&front, &gate).await;
    let mut shutdown = Box::pin(registry.shutdown());
    assert!(poll_once(&mut shutdown).await.is_pending());
    tokio::task::yield_now().await;
    assert!(matches!(
        registry.ask(Note(1)).await,
        Err(AskError::Closed(Note(1)))
    ));
    assert!(matches!(
        front.ask(Note(2)).await,
        Err(AskError::Closed(Note(2)))
    ));
    assert_eq!(back.ask(Note(3)).await.unwrap(), 3, "its turn has not come");
    gate.open();
    assert!(shutdown.await.is_balanced());
    assert!(matches!(back.ask(Note(4)).await, Err(AskError::Closed(_))));
}

#[tokio::test]
async fn r16_every_caller_gets_the_same_report_and_may_go_away() {
    let (log, gate) = (Log::default(), Gate::default());
    let mut builder = ActorRegistry::builder();
    let held = builder
        .add(Probe::named("held", &log, &gate))
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    occupy(&held, &gate).await;
    let mut first = Box::pin(registry.shutdown());
    assert!(poll_once(&mut first).await.is_pending());
    drop(first);
    gate.open();
    let (second, third) = tokio::join!(registry.shutdown(), registry.closed());
    assert!(Arc::ptr_eq(&second, &third));
    assert!(Arc::ptr_eq(&second, &registry.shutdown().await));
    assert!(second.to_string().contains("held"), "{second}");
}

#[tokio::test(start_paused = true)]
async fn r16_an_actor_that_does_not_drain_in_time_is_stopped_and_then_killed() {
    let (log, gate) = (Log::default(), Gate::default());
    let mut builder = ActorRegistry::builder();
    let back = builder.add(probe("back", &log)).register().unwrap();
    let stuck = builder
        .add(Probe::named("stuck", &log, &gate))
        .drain_deadline(Duration::from_secs(5))
        .sends_to(&back)
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    occupy(&stuck, &gate).await;
    stuck.tell(Note(1)).await.unwrap();
    let before = Instant::now();
    let report = registry.shutdown().await;
    assert_eq!(before.elapsed().as_secs(), 6);
    assert!(report.is_balanced(), "{report}");
    let stuck = report.actor("stuck").unwrap();
    assert_eq!(stuck.level, Level::Kill);
    assert_eq!(
        (stuck.exit.account.cancelled, stuck.exit.account.undelivered),
        (1, 1)
    );
    assert_eq!(report.actor("back").unwrap().level, Level::Drain);
}

#[tokio::test(start_paused = true)]
async fn r16_when_the_total_is_spent_the_rest_are_stopped() {
    let (log, gate, last_gate) = (Log::default(), Gate::default(), Gate::default());
    let mut builder = ActorRegistry::builder();
    builder
        .shutdown_deadline(Duration::from_secs(12))
        .drain_deadline(Duration::from_secs(10));
    let last = builder
        .add(Probe::named("last", &log, &last_gate))
        .register()
        .unwrap();
    let mut handles = Vec::new();
    for name in ["one", "two", "three"] {
        handles.push(
            builder
                .add(Probe::named(name, &log, &gate))
                .register()
                .unwrap(),
        );
    }
    let registry = builder.start().await.unwrap();
    for handle in &handles {
        occupy(handle, &gate).await;
    }
    occupy(&last, &last_gate).await;
    last.tell(Note(1)).await.unwrap();
    let before = Instant::now();
    // Half a second after the total is spent, the last one's handler comes to its end.
    let let_through = async {
        tokio::time::sleep(Duration::from_millis(12_500)).await;
        last_gate.open();
    };
    let (report, ()) = tokio::join!(registry.shutdown(), let_through);
    assert!(report.is_balanced(), "{report}");
    assert_eq!(before.elapsed().as_secs(), 13, "they share one grace");
    let account = |name| report.actor(name).unwrap().exit.account;
    assert!(
        ["one", "two", "three"]
            .iter()
            .all(|name| account(name).cancelled == 1)
    );
    assert_eq!(
        (account("last").ok, account("last").undelivered),
        (1, 1),
        "stopped, and no longer drained"
    );
}

struct Block(std::sync::mpsc::Receiver<()>);

impl Message for Block {
    type Response = ();
    type Error = Infallible;
}

impl Handler<Block> for Probe {
    async fn handle(&mut self, Block(until): Block, _: &Context<Self>) -> Result<(), Infallible> {
        self.gate.open();
        let _ = until.recv();
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r16_a_handler_that_never_yields_is_named_and_left_behind() {
    let (log, gate) = (Log::default(), Gate::default());
    let mut builder = ActorRegistry::builder();
    builder.drain_deadline(Duration::from_millis(10));
    let blocked = builder
        .add(Probe::named("blocked", &log, &gate))
        .stop_deadline(Duration::from_millis(10))
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    let (release, until) = std::sync::mpsc::channel();
    blocked.tell(Block(until)).await.unwrap();
    gate.pass().await;
    let report = registry.shutdown().await;
    let exit = &report.actor("blocked").unwrap().exit;
    assert!(exit.abandoned_handler);
    assert_eq!(exit.account.running, 1);
    assert!(report.is_balanced(), "{report}");
    release.send(()).unwrap();
}

#[tokio::test]
async fn r15_a_registry_that_is_dropped_stops_its_actors() {
    let (log, gate) = (Log::default(), Gate::default());
    let mut builder = ActorRegistry::builder();
    let held = builder
        .add(Probe::named("held", &log, &gate))
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    occupy(&held, &gate).await;
    held.tell(Note(1)).await.unwrap();
    drop(registry);
    gate.open();
    let exit = held.closed().await;
    assert!(matches!(exit.reason, StopReason::Stopped));
    assert_eq!(exit.account.undelivered, 1);
}

#[tokio::test]
async fn r17_the_registry_holds_its_actors() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    let weak = builder
        .add(probe("kept", &log))
        .register()
        .unwrap()
        .downgrade();
    let registry = builder.start().await.unwrap();
    let handle = weak.upgrade().expect("the registry holds it");
    assert_eq!(handle.ask(Note(1)).await.unwrap(), 1);
    registry.shutdown().await;
}

// ---- failing ----

#[tokio::test]
async fn r13_a_critical_actor_that_fails_for_good_shuts_the_registry_down() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    builder.add(probe("other", &log)).register().unwrap();
    let make = {
        let log = log.clone();
        move || probe("vital", &log)
    };
    let policy = RestartPolicy::permanent()
        .intensity(1, Duration::from_mins(1))
        .backoff(Backoff::none());
    let vital = builder
        .supervise(make, policy)
        .handles::<Crash>()
        .critical()
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    assert!(registry.ask(Crash("one")).await.is_err());
    assert_eq!(
        vital.ask(Note(1)).await.unwrap(),
        1,
        "the first failure is within its intensity"
    );
    assert!(registry.ask(Crash("two")).await.is_err());
    let report = registry.closed().await;
    let cause = report.cause.as_ref().expect("the cause is named");
    assert_eq!(&*cause.actor, "vital");
    assert!(matches!(cause.reason, StopReason::IntensityExceeded { .. }));
    assert!(report.is_balanced());
    assert_eq!(names(&report.actors), ["vital", "other"]);
}

#[tokio::test]
async fn r13_any_other_actor_stays_down_and_the_registry_goes_on() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    let frail = builder
        .add(probe("frail", &log))
        .handles::<Crash>()
        .register()
        .unwrap();
    builder
        .add(probe("other", &log))
        .handles::<Note>()
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    assert!(registry.ask(Crash("oh")).await.is_err());
    frail.closed().await;
    assert_eq!(registry.ask(Note(1)).await.unwrap(), 1);
    assert!(matches!(
        registry.ask(Crash("oh")).await,
        Err(AskError::Closed(_))
    ));
    let report = registry.shutdown().await;
    assert!(report.cause.is_none());
    assert_eq!(
        names(&report.actors),
        ["frail", "other"],
        "in the order in which they ended"
    );
}
