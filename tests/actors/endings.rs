//! Ends that go wrong: what is closed, given back and reported, and what never hangs.

use crate::common::{Block, Crash, Gate, Held, Log, Note, Probe, occupy, poll_once};
use postroom::actor::{
    Actor, AskError, Batch, Builder, Context, Dispatch, Handler, Message, Receive, SendError,
    StopReason,
};
use postroom::registry::ActorRegistry;
use postroom::supervision::{Backoff, RestartPolicy};
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

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
    async fn handle(
        &mut self,
        Note(n): Note,
        _: &Context<Self>,
    ) -> Result<u32, crate::common::Refusal> {
        Ok(n)
    }
}

impl Handler<Crash> for SlowEnd {
    async fn handle(&mut self, Crash(text): Crash, _: &Context<Self>) -> Result<(), Infallible> {
        panic!("{text}")
    }
}

#[tokio::test]
async fn r16_an_actor_that_failed_for_good_accepts_nothing_while_it_stops() {
    let policy = RestartPolicy::permanent().intensity(0, Duration::from_secs(1));
    let gates = [Gate::default(), Gate::default()];
    let (first, second) = (gates[0].clone(), gates[1].clone());
    let temporary = SlowEnd(first).spawn();
    let exceeded = Builder::supervised(move || SlowEnd(second.clone()), policy)
        .spawn()
        .unwrap();
    for (actor, gate) in [temporary, exceeded].iter().zip(&gates) {
        actor.tell(Crash("broken")).await.unwrap();
        gate.wait_entered().await;
        assert!(matches!(
            actor.try_tell(Note(1)),
            Err(SendError::Closed(Note(1)))
        ));
        gate.open();
        let exit = actor.closed().await;
        assert_eq!((exit.account.accepted, exit.account.undelivered), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn r14_a_drain_ends_the_backoff_of_an_actor_with_nothing_left() {
    let (log, gate) = (Log::default(), Gate::default());
    let (made, pause) = (log.clone(), Duration::from_hours(1));
    let policy = RestartPolicy::permanent().backoff(Backoff::exponential(pause, pause));
    let probe = Builder::supervised(move || Probe::new(&made, &gate), policy)
        .start_deadline(Duration::from_secs(1))
        .spawn()
        .unwrap();
    assert!(probe.ask(Crash("broken")).await.is_err());
    tokio::task::yield_now().await;
    let before = Instant::now();
    probe.drain();
    let exit = probe.closed().await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert!(matches!(exit.reason, StopReason::Drained), "{exit}");
    assert_eq!(exit.restarts, 0);
    assert_eq!(log.entries().len(), 2, "{:?}", log.entries());
}

#[tokio::test(start_paused = true)]
async fn r13_a_restart_that_a_stop_prevents_is_not_counted() {
    let (log, gate) = (Log::default(), Gate::default());
    let pause = Duration::from_hours(1);
    let policy = RestartPolicy::permanent().backoff(Backoff::exponential(pause, pause));
    let probe = Builder::supervised(move || Probe::new(&log, &gate), policy)
        .spawn()
        .unwrap();
    assert!(probe.ask(Crash("broken")).await.is_err());
    tokio::task::yield_now().await;
    probe.stop();
    assert_eq!(probe.closed().await.restarts, 0);
}

/// Has a task that works for it until it ends.
#[derive(Default)]
struct Employer(Option<tokio::sync::oneshot::Sender<()>>);

impl Actor for Employer {
    type Error = Infallible;

    async fn started(&mut self, ctx: &Context<Self>) -> Result<(), Infallible> {
        let (stopping, done) = (ctx.stopping(), self.0.take());
        tokio::spawn(async move {
            stopping.await;
            done.map(|done| done.send(()))
        });
        Ok(())
    }
}

impl Handler<Crash> for Employer {
    async fn handle(&mut self, Crash(text): Crash, _: &Context<Self>) -> Result<(), Infallible> {
        panic!("{text}")
    }
}

#[tokio::test]
async fn r16_tasks_of_an_actor_end_after_it_has_failed() {
    let (done, ended) = tokio::sync::oneshot::channel();
    let employer = Employer(Some(done)).spawn();
    assert!(employer.ask(Crash("broken")).await.is_err());
    employer.closed().await;
    ended.await.unwrap();
}

/// An error that cannot even be shown.
#[derive(Debug)]
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("there are no words")
    }
}

impl std::error::Error for Unspeakable {}

struct Unstartable;

impl Actor for Unstartable {
    type Error = Unspeakable;

    async fn started(&mut self, _: &Context<Self>) -> Result<(), Unspeakable> {
        Err(Unspeakable)
    }
}

/// Formats whatever is logged.
struct Reader;

impl tracing::Subscriber for Reader {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Format;
        impl tracing::field::Visit for Format {
            fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn fmt::Debug) {
                let _ = format!("{value:?}");
            }
        }
        event.record(&mut Format);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn r12_a_report_that_cannot_be_logged_is_published_all_the_same() {
    let _reading = tracing::subscriber::set_default(Reader);
    let exit = Unstartable.spawn().closed().await;
    assert!(matches!(exit.reason, StopReason::StartFailed(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r16_messages_behind_a_handler_that_never_yields_are_given_back() {
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
    let mut queued = blocked.ask(Note(1));
    assert!(poll_once(&mut queued).await.is_pending());
    let report = registry.shutdown().await;
    assert!(matches!(queued.await, Err(AskError::Stopped(Note(1)))));
    let exit = Arc::clone(&report.actor("blocked").unwrap().exit);
    assert!(report.is_balanced(), "{report}");
    assert_eq!((exit.account.running, exit.account.undelivered), (1, 1));
    assert_eq!(exit.undelivered.len(), 1);
    release.send(()).unwrap();
    let last = blocked.closed().await;
    assert_eq!((last.account.ok, last.account.undelivered), (1, 1));
    assert_eq!(last.undelivered, exit.undelivered);
}

#[tokio::test(start_paused = true)]
async fn r16_the_report_says_who_had_to_be_stopped() {
    let (log, gate) = (Log::default(), Gate::default());
    let mut builder = ActorRegistry::builder();
    builder.shutdown_deadline(Duration::from_secs(1));
    let mut handles = Vec::new();
    for name in ["early", "idle", "idle too", "stuck"] {
        let probe = Probe::named(name, &log, &gate);
        handles.push(builder.add(probe).register().unwrap());
    }
    let registry = builder.start().await.unwrap();
    handles[0].drain();
    handles[0].closed().await;
    occupy(&handles[3], &gate).await;
    let report = registry.shutdown().await;
    let level = |name| report.actor(name).unwrap().level;
    assert_eq!(level("stuck"), postroom::actor::Level::Kill);
    assert_eq!(level("idle too"), postroom::actor::Level::Stop);
    assert_eq!(level("idle"), postroom::actor::Level::Stop);
    assert_eq!(level("early"), postroom::actor::Level::Drain);
}

/// A message that is not dropped before it is allowed to be.
struct Clinging(std::sync::mpsc::Sender<()>, std::sync::mpsc::Receiver<()>);

impl Drop for Clinging {
    fn drop(&mut self) {
        let _ = self.0.send(());
        let _ = self.1.recv();
    }
}

impl Message for Clinging {
    type Response = ();
    type Error = Infallible;
}

/// An actor that says when its state is dropped.
struct Announcing(std::sync::mpsc::Sender<()>);

impl Drop for Announcing {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

impl Actor for Announcing {
    type Error = Infallible;
}

impl Handler<Clinging> for Announcing {
    async fn handle(&mut self, _: Clinging, _: &Context<Self>) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Occupies its thread.
struct Occupy(std::sync::mpsc::Sender<()>, std::sync::mpsc::Receiver<()>);

impl Message for Occupy {
    type Response = ();
    type Error = Infallible;
}

impl Handler<Occupy> for Announcing {
    async fn handle(&mut self, occupy: Occupy, _: &Context<Self>) -> Result<(), Infallible> {
        let _ = occupy.0.send(());
        let _ = occupy.1.recv();
        Ok(())
    }
}

#[test]
fn r16_an_actor_that_ends_while_its_messages_are_given_back_reports_them_all() {
    use std::sync::mpsc::channel;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let (dropped, is_dropped) = channel();
    let (handle, registry) = runtime.block_on(async {
        let mut builder = ActorRegistry::builder();
        builder.drain_deadline(Duration::from_millis(10));
        let handle = builder
            .add(Announcing(dropped))
            .stop_deadline(Duration::from_millis(10))
            .register()
            .unwrap();
        (handle, builder.start().await.unwrap())
    });
    let ((busy, is_busy), (release, until)) = (channel(), channel());
    handle.try_tell(Occupy(busy, until)).unwrap();
    is_busy.recv().unwrap();
    let ((first, is_given_back), (let_go, may_go)) = (channel(), channel());
    handle.try_tell(Clinging(first, may_go)).unwrap();
    let (second, free) = (channel().0, channel().1);
    handle.try_tell(Clinging(second, free)).unwrap();
    let shutdown = runtime.spawn(async move { registry.shutdown().await });
    // The registry gives up, and is in the middle of giving the messages back when the handler yields after all.
    is_given_back.recv().unwrap();
    release.send(()).unwrap();
    is_dropped.recv().unwrap();
    // Whatever the actor does at its end it may do now.
    for _ in 0..10_000 {
        std::thread::yield_now();
    }
    let_go.send(()).unwrap();
    let (report, exit) = runtime.block_on(async {
        let report = shutdown.await.unwrap();
        (report, handle.closed().await)
    });
    assert!(exit.is_balanced(), "{exit}");
    assert_eq!((exit.account.queued, exit.account.undelivered), (0, 2));
    let undelivered: u64 = exit.undelivered.iter().map(|(_, times)| times).sum();
    assert_eq!(undelivered, 2, "{exit}");
    assert!(report.is_balanced(), "{report}");
}

#[test]
fn r07_a_wait_that_panics_leaves_no_place_in_the_line() {
    let (log, gate) = (Log::default(), Gate::default());
    // A runtime without a clock cannot wait with a timeout, and says so by a panic.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let probe = Builder::new(Probe::new(&log, &gate))
            .capacity(1)
            .spawn()
            .unwrap();
        occupy(&probe, &gate).await;
        probe.try_tell(Held(1)).unwrap();
        let other = probe.clone();
        let waits = async move { other.tell(Note(2)).timeout(Duration::from_secs(1)).await };
        assert!(tokio::spawn(waits).await.unwrap_err().is_panic());
        assert_eq!(probe.stats().waiting, 0);
        gate.open_for_good();
        probe.ask(Note(3)).await.unwrap();
    });
    assert_eq!(log.entries()[1..], ["0", "1", "3"]);
}

#[test]
fn r11_a_hook_that_waits_without_a_clock_says_so() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let gate = Gate::default();
        let actor = SlowEnd(gate.clone()).spawn();
        actor.ready().await.unwrap();
        actor.stop();
        let exit = actor.closed().await;
        assert!(
            exit.problems[0].to_string().contains("enable_time"),
            "{exit}"
        );
        assert!(matches!(exit.reason, StopReason::Stopped), "{exit}");
    });
}

/// A task that looks at an actor when it is dropped.
struct Onlooker(postroom::actor::Handle<Probe>);

impl std::task::Wake for Onlooker {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Onlooker {
    fn drop(&mut self) {
        let _ = self.0.stats();
    }
}

#[tokio::test]
async fn r07_a_waker_may_use_the_actor_when_it_is_dropped() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Builder::new(Probe::new(&log, &gate))
        .capacity(1)
        .spawn()
        .unwrap();
    occupy(&probe, &gate).await;
    probe.try_tell(Note(1)).unwrap();
    let mut waits = probe.tell(Note(2));
    for _ in 0..2 {
        let waker = std::task::Waker::from(Arc::new(Onlooker(probe.clone())));
        let mut cx = std::task::Context::from_waker(&waker);
        assert!(std::pin::Pin::new(&mut waits).poll(&mut cx).is_pending());
    }
    drop(waits);
    assert_eq!(probe.stats().waiting, 0);
    gate.open();
}

#[tokio::test]
async fn r07_an_ask_that_is_polled_again_panics_and_does_not_hang() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Probe::new(&log, &gate).spawn();
    let again = tokio::spawn(async move {
        let mut ask = probe.ask(Note(1));
        (&mut ask).await.unwrap();
        let _ = poll_once(&mut ask).await;
    });
    assert!(again.await.unwrap_err().is_panic());
}

/// Panics when it is dropped.
struct Brittle(Option<postroom::actor::Reply<Note>>);

impl Actor for Brittle {
    type Error = Infallible;
}

impl Receive<Note> for Brittle {
    async fn receive(&mut self, batch: Batch<Note>, _: &Context<Self>) {
        self.0 = batch.map(|(_, reply)| reply).last();
    }
}

impl Drop for Brittle {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "brittle");
    }
}

#[test]
fn r17_a_runtime_that_goes_away_survives_a_state_that_panics() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let brittle = runtime.block_on(async { Brittle(None).spawn() });
    let asker = brittle.clone();
    let mut ask = Box::pin(async move { asker.ask(Note(1)).await });
    runtime.block_on(async {
        assert!(poll_once(&mut ask).await.is_pending());
        while brittle.stats().account.forwarded == 0 {
            tokio::task::yield_now().await;
        }
    });
    drop(runtime);
    let other = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    other.block_on(async {
        assert!(matches!(ask.await, Err(AskError::NoReply { .. })));
        let exit = brittle.closed().await;
        assert!(matches!(exit.reason, StopReason::RuntimeGone));
        assert!(exit.is_balanced());
    });
}

/// A message whose response panics when it is dropped.
struct Fragile(Gate);

struct Shard(bool);

impl Drop for Shard {
    fn drop(&mut self) {
        assert!(!self.0, "a shard was dropped");
    }
}

impl Message for Fragile {
    type Response = Shard;
    type Error = Infallible;
}

struct Glazier;

impl Actor for Glazier {
    type Error = Infallible;
}

impl Handler<Fragile> for Glazier {
    async fn handle(&mut self, work: Fragile, _: &Context<Self>) -> Result<Shard, Infallible> {
        work.0.pass().await;
        Ok(Shard(true))
    }
}

#[tokio::test]
async fn r12_a_panic_while_dropping_an_unwanted_answer_is_counted_once() {
    for asked in [false, true] {
        let gate = Gate::default();
        let glazier = Builder::new(Glazier).spawn().unwrap();
        if asked {
            let mut ask = glazier.ask(Fragile(gate.clone()));
            assert!(poll_once(&mut ask).await.is_pending());
            gate.wait_entered().await;
            drop(ask);
        } else {
            glazier.tell(Fragile(gate.clone())).await.unwrap();
        }
        gate.open();
        let exit = glazier.closed().await;
        assert!(exit.is_balanced(), "{exit}");
        assert_eq!((exit.account.ok, exit.account.panicked), (1, 0), "{exit}");
        assert!(matches!(exit.reason, StopReason::Panicked { .. }), "{exit}");
    }
}

/// Leaves its context with somebody else.
struct Generous(Option<tokio::sync::oneshot::Sender<Context<Self>>>);

impl Actor for Generous {
    type Error = Infallible;

    async fn started(&mut self, ctx: &Context<Self>) -> Result<(), Infallible> {
        if let Some(to) = self.0.take() {
            drop(to.send(ctx.clone()));
        }
        Ok(())
    }
}

#[tokio::test]
async fn r16_a_context_ends_its_actor_from_outside_while_it_is_idle() {
    let (give, take) = tokio::sync::oneshot::channel();
    let generous = Generous(Some(give)).spawn();
    generous.ready().await.unwrap();
    let ctx = take.await.unwrap();
    // The actor has nothing to do and rests.
    tokio::task::yield_now().await;
    ctx.stop();
    let exit = generous.closed().await;
    assert!(matches!(exit.reason, StopReason::Stopped), "{exit}");
}

/// A waker that panics whenever it is called.
struct Broken;

impl std::task::Wake for Broken {
    fn wake(self: Arc<Self>) {
        panic!("a broken waker");
    }
}

#[tokio::test]
async fn r03_a_waker_that_panics_at_the_answer_is_not_the_handlers_fault() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Builder::new(Probe::new(&log, &gate))
        .dispatch(Dispatch::Queue)
        .spawn()
        .unwrap();
    let waker = std::task::Waker::from(Arc::new(Broken));
    let mut cx = std::task::Context::from_waker(&waker);
    let mut broken = Box::pin(probe.ask(Note(1)));
    assert!(broken.as_mut().poll(&mut cx).is_pending());
    assert_eq!(probe.ask(Note(2)).await.unwrap(), 2);
    assert!(matches!(
        broken.as_mut().poll(&mut cx),
        std::task::Poll::Ready(Ok(1))
    ));
    probe.drain();
    let exit = probe.closed().await;
    assert!(matches!(exit.reason, StopReason::Drained), "{exit}");
    assert_eq!((exit.account.ok, exit.account.panicked), (2, 0), "{exit}");
}

#[tokio::test]
async fn r03_a_waker_that_panics_harms_neither_the_actor_nor_who_waits_behind() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Builder::new(Probe::new(&log, &gate))
        .capacity(1)
        .spawn()
        .unwrap();
    occupy(&probe, &gate).await;
    probe.try_tell(Held(1)).unwrap();
    let waker = std::task::Waker::from(Arc::new(Broken));
    let mut cx = std::task::Context::from_waker(&waker);
    let mut broken = Box::pin(probe.tell(Note(2)));
    assert!(broken.as_mut().poll(&mut cx).is_pending());
    let mut behind = probe.tell(Note(3));
    assert!(poll_once(&mut behind).await.is_pending());
    gate.open_for_good();
    // The slot was promised to the broken one, which goes away.
    gate.wait_entered().await;
    drop(broken);
    behind.await.unwrap();
    probe.drain();
    let exit = probe.closed().await;
    assert!(exit.is_balanced(), "{exit}");
    assert_eq!((exit.account.accepted, exit.account.ok), (3, 3), "{exit}");
    assert!(matches!(exit.reason, StopReason::Drained), "{exit}");
}
