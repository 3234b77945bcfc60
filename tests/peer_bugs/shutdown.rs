//! Bugs 1-5, 10-12 and 42-44: messages lost at the end, and ends that never come.

use crate::common::{Block, Crash, Gate, Held, Log, Note, Probe, Refusal, occupy, poll_once};
use postroom::actor::{
    Actor, AskError, Builder, Closed, Context, Executed, Handle, Handler, Level, Message,
    SendError, StopReason,
};
use postroom::registry::ActorRegistry;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Parks `senders` on a full mailbox, ends the actor, and looks for every single message.
async fn storm(capacity: usize, senders: u64, end: impl FnOnce(&Handle<Probe>)) {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Builder::new(Probe::new(&log, &gate))
        .capacity(capacity)
        .spawn()
        .unwrap();
    occupy(&probe, &gate).await;
    let told = Arc::new(AtomicU64::new(1));
    let sends: Vec<_> = (0..senders)
        .map(|n| {
            let (probe, told) = (probe.clone(), Arc::clone(&told));
            tokio::spawn(async move {
                let n = u32::try_from(n).unwrap();
                match probe.tell(Held(n)).await {
                    Ok(_) => told.fetch_add(1, Ordering::Relaxed),
                    Err(SendError::Closed(Held(m))) if m == n => 0,
                    Err(error) => panic!("{error}"),
                };
            })
        })
        .collect();
    gate.open_for_good();
    end(&probe);
    for send in sends {
        send.await.unwrap();
    }
    let exit = probe.closed().await;
    assert!(exit.is_balanced(), "{exit}");
    let account = exit.account;
    assert_eq!(account.accepted, told.load(Ordering::Relaxed));
    assert_eq!(
        account.ok + account.undelivered + account.cancelled,
        account.accepted
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b01_parked_senders_race_with_the_end_and_none_is_lost() {
    for _ in 0..20 {
        storm(1, 1000, Handle::drain).await;
        storm(16, 1000, Handle::stop).await;
        storm(16, 1000, Handle::kill).await;
    }
    for _ in 0..3000 {
        storm(1, 4, Handle::drain).await;
        storm(1, 4, Handle::stop).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b02_a_permit_from_before_the_drain_is_used_or_comes_back() {
    for n in 0..2000 {
        let probe = Builder::new(Probe::default()).capacity(2).spawn().unwrap();
        let permit_holder = probe.clone();
        let sent = tokio::spawn(async move {
            let permit = permit_holder.reserve().await.ok()?;
            tokio::task::yield_now().await;
            match permit.send(Note(n)) {
                Ok(()) => Some(()),
                Err(Closed(Note(m))) => {
                    assert_eq!(m, n);
                    None
                }
            }
        });
        probe.drain();
        let exit = probe.closed().await;
        let sent = sent.await.unwrap();
        assert_eq!(exit.account.accepted, u64::from(sent.is_some()));
        assert_eq!(exit.account.ok, exit.account.accepted);
    }
}

/// Waits at the gate in `stopped`.
struct SlowEnd(Gate);

impl Actor for SlowEnd {
    type Error = Infallible;

    async fn stopped(&mut self, _: &StopReason) -> Result<(), Infallible> {
        self.0.pass().await;
        Ok(())
    }
}

impl Handler<Note> for SlowEnd {
    async fn handle(&mut self, Note(n): Note, _: &Context<Self>) -> Result<u32, Refusal> {
        Ok(n)
    }
}

#[tokio::test]
async fn b03_what_is_sent_while_stopped_runs_comes_back() {
    for end in [Handle::kill, Handle::stop, Handle::drain] {
        let gate = Gate::default();
        let actor = SlowEnd(gate.clone()).spawn();
        actor.ready().await.unwrap();
        end(&actor);
        gate.wait_entered().await;
        assert_eq!(actor.tell(Note(7)).await, Err(SendError::Closed(Note(7))));
        assert!(matches!(
            actor.ask(Note(8)).await,
            Err(AskError::Closed(Note(8)))
        ));
        gate.open();
        assert_eq!(actor.closed().await.account.accepted, 0);
    }
}

#[tokio::test]
async fn b04_a_backlog_that_is_not_handled_is_reported_by_type() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Probe::new(&log, &gate).spawn();
    occupy(&probe, &gate).await;
    for n in 1..=3 {
        probe.tell(Note(n)).await.unwrap();
    }
    let mut asks = [probe.ask(Held(4)), probe.ask(Held(5))];
    for ask in &mut asks {
        assert!(poll_once(ask).await.is_pending());
    }
    probe.kill();
    let exit = probe.closed().await;
    let mut undelivered = exit.undelivered.clone();
    undelivered.sort_unstable();
    let by_type: Vec<_> = undelivered
        .iter()
        .map(|(name, count)| (name.rsplit("::").next().unwrap(), *count))
        .collect();
    assert_eq!(by_type, [("Held", 2), ("Note", 3)]);
    assert_eq!(exit.account.undelivered, 5);
    for (ask, n) in asks.into_iter().zip(4..) {
        let error = ask.await.unwrap_err();
        assert_eq!(error.was_executed(), Executed::No);
        assert!(
            matches!(error, AskError::Stopped(Held(m)) if m == n),
            "{error:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn b05_the_death_of_a_child_needs_no_room_in_a_full_mailbox() {
    let (log, gate) = (Log::default(), Gate::default());
    let mut builder = ActorRegistry::builder();
    let parent = builder
        .add(Probe::named("parent", &log, &gate))
        .capacity(1)
        .register()
        .unwrap();
    let children: Vec<_> = ["one", "two", "three"]
        .map(|name| {
            let child = Probe::named(name, &log, &gate);
            let child = builder.add(child).critical().sends_to(&parent);
            child.register().unwrap()
        })
        .into();
    let registry = builder.start().await.unwrap();
    occupy(&parent, &gate).await;
    parent.tell(Held(1)).await.unwrap();
    assert!(matches!(parent.try_tell(Held(2)), Err(SendError::Full(_))));
    // Nobody lets the parent's handler through: its deadline must.
    assert!(children[1].ask(Crash("ill")).await.is_err());
    let report = registry.closed().await;
    assert!(report.is_balanced(), "{report}");
    assert_eq!(&*report.cause.as_ref().unwrap().actor, "two");
    assert_eq!(report.actor("parent").unwrap().level, Level::Kill);
}

struct LeaveFull;

impl Message for LeaveFull {
    type Response = bool;
    type Error = Infallible;
}

impl Handler<LeaveFull> for Probe {
    async fn handle(&mut self, _: LeaveFull, ctx: &Context<Self>) -> Result<bool, Infallible> {
        let me = ctx.handle().unwrap();
        while me.try_tell(Note(0)).is_ok() {}
        ctx.stop();
        Ok(ctx.is_stopping())
    }
}

#[tokio::test]
async fn b10_a_stop_does_not_wait_behind_a_full_mailbox() {
    let (log, gate) = (Log::default(), Gate::default());
    let full = async || {
        let probe = Builder::new(Probe::new(&log, &gate))
            .capacity(1)
            .spawn()
            .unwrap();
        occupy(&probe, &gate).await;
        probe.tell(Held(1)).await.unwrap();
        probe
    };
    let stopped = full().await;
    stopped.stop();
    assert_eq!(stopped.stats().level, Level::Stop);
    gate.open();
    let account = stopped.closed().await.account;
    assert_eq!((account.ok, account.undelivered), (1, 1));

    let killed = full().await;
    killed.kill();
    let account = killed.closed().await.account;
    assert_eq!((account.cancelled, account.undelivered), (1, 1));

    let own = Builder::new(Probe::new(&log, &gate))
        .capacity(1)
        .spawn()
        .unwrap();
    assert!(own.ask(LeaveFull).await.unwrap());
    assert_eq!(own.closed().await.account.undelivered, 1);
}

/// Does not get ready.
struct Stuck;

impl Actor for Stuck {
    type Error = Infallible;

    async fn started(&mut self, _: &Context<Self>) -> Result<(), Infallible> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn b11_a_start_that_is_cancelled_leaves_nothing_running_and_no_one_waiting() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    let first = Probe::named("first", &log, &Gate::default());
    let first = builder.add(first).register().unwrap();
    let stuck = builder.add(Stuck).register().unwrap();
    let never = Probe::named("never", &log, &Gate::default());
    let never = builder.add(never).register().unwrap();
    let waiter = tokio::spawn(stuck.closed());
    let mut start = Box::pin(builder.start());
    while log.entries().is_empty() {
        assert!(poll_once(&mut start).await.is_pending());
        tokio::task::yield_now().await;
    }
    first.ready().await.unwrap();
    let mut queued = never.ask(Note(1));
    assert!(poll_once(&mut queued).await.is_pending());
    drop(start);
    assert!(matches!(first.closed().await.reason, StopReason::Stopped));
    stuck.kill();
    waiter.await.unwrap();
    assert!(matches!(queued.await, Err(AskError::Stopped(Note(1)))));
    assert!(matches!(
        never.closed().await.reason,
        StopReason::NeverStarted
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b12_who_sees_the_end_of_a_registry_sees_the_end_of_each_actor() {
    for _ in 0..200 {
        let (log, gate) = (Log::default(), Gate::default());
        let mut builder = ActorRegistry::builder();
        let other = builder.add(Probe::named("other", &log, &gate));
        let other = other.register().unwrap();
        let vital = builder.add(Probe::named("vital", &log, &gate)).critical();
        let vital = vital.register().unwrap();
        let registry = builder.start().await.unwrap();
        vital.tell(Crash("ill")).await.unwrap();
        let report = registry.closed().await;
        assert!(vital.is_closed() && other.is_closed());
        let cause = report.cause.as_ref().unwrap();
        assert!(Arc::ptr_eq(cause, &vital.closed().await));
        assert!(cause.is_balanced());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b42_a_handler_that_never_yields_is_reported_and_its_backlog_given_back() {
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
    blocked.tell(Note(1)).await.unwrap();
    let report = registry.shutdown().await;
    let exit = &report.actor("blocked").unwrap().exit;
    assert!(exit.abandoned_handler);
    assert_eq!((exit.account.running, exit.account.undelivered), (1, 1));
    assert!(report.to_string().contains("never yielded"), "{report}");
    release.send(()).unwrap();
}

#[tokio::test]
async fn b43_ends_may_be_asked_for_twice_late_and_early() {
    let probe = Probe::default().spawn();
    for _ in 0..2 {
        probe.stop();
        probe.kill();
        probe.drain();
    }
    let first = probe.closed().await;
    probe.stop();
    probe.kill();
    assert!(Arc::ptr_eq(&first, &probe.closed().await));

    let mut builder = ActorRegistry::builder();
    let log = Log::default();
    let early = Probe::named("early", &log, &Gate::default());
    let early = builder.add(early).register().unwrap();
    early.kill();
    assert!(
        builder.start().await.is_err(),
        "it was killed before the start"
    );
    assert_eq!(log.entries(), Vec::<String>::new());

    let registry = ActorRegistry::builder().start().await.unwrap();
    let once = registry.shutdown().await;
    assert!(Arc::ptr_eq(&once, &registry.shutdown().await));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn b44_a_runtime_that_goes_away_under_actors_hangs_nothing() {
    let (log, gate) = (Log::default(), Gate::default());
    let gone = runtime();
    let (registry, probe) = gone.block_on(async {
        let mut builder = ActorRegistry::builder();
        let probe = builder.add(Probe::new(&log, &gate)).register().unwrap();
        let registry = builder.start().await.unwrap();
        occupy(&probe, &gate).await;
        probe.tell(Note(1)).await.unwrap();
        (registry, probe)
    });
    let other = runtime();
    let asker = probe.clone();
    let queued = other.spawn(async move { asker.ask(Note(2)).await.map_err(|e| e.was_executed()) });
    while probe.stats().depth < 2 {
        std::thread::yield_now();
    }
    drop(gone);
    other.block_on(async {
        assert_eq!(queued.await.unwrap(), Err(Executed::No));
        let exit = probe.closed().await;
        assert!(matches!(exit.reason, StopReason::RuntimeGone));
        assert!(exit.is_balanced(), "{exit}");
        assert!(matches!(probe.ask(Note(3)).await, Err(AskError::Closed(_))));
        assert!(registry.shutdown().await.is_balanced());
    });
    drop(registry);
}

#[tokio::test]
async fn b11_an_addition_that_is_cancelled_frees_its_name_and_its_routes() {
    let registry = ActorRegistry::builder().start().await.unwrap();
    let mut adding = Box::pin(registry.add(Stuck).name("x").start());
    assert!(poll_once(&mut adding).await.is_pending());
    drop(adding);
    // Its start is over at its deadline, or at once if it is killed; here its start had not begun.
    while !registry.stats().is_empty() {
        tokio::task::yield_now().await;
    }
    let log = Log::default();
    let again = Probe::named("x", &log, &Gate::default());
    registry.add(again).handles::<Note>().start().await.unwrap();
    assert_eq!(registry.ask(Note(1)).await.unwrap(), 1);
    registry.shutdown().await;
}
