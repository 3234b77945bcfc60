//! Bugs 13-19: asks that hang, leak, or run for nobody.

use crate::common::{Crash, Gate, Held, Log, Note, Probe, Refusal, occupy, poll_once};
use postroom::actor::{
    Actor, AskError, Batch, Builder, Context, Executed, Handle, Handler, Message, Receive,
    SendError, StopReason,
};
use postroom::registry::{ActorRegistry, StartError};
use postroom::supervision::{Backoff, RestartPolicy};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts how many of it there are.
struct Counted(Arc<AtomicU64>);

impl Counted {
    fn new(alive: &Arc<AtomicU64>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(alive))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Weigh(Counted);

impl Message for Weigh {
    type Response = Counted;
    type Error = Infallible;
}

impl Handler<Weigh> for Probe {
    async fn handle(&mut self, weigh: Weigh, _: &Context<Self>) -> Result<Counted, Infallible> {
        tokio::task::yield_now().await;
        Ok(weigh.0)
    }
}

#[tokio::test]
async fn b13_cancelled_asks_leave_nothing_behind() {
    let alive = Arc::new(AtomicU64::new(0));
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Builder::new(Probe::new(&log, &gate))
        .capacity(8)
        .spawn()
        .unwrap();
    occupy(&probe, &gate).await;
    // In the queue, in the line, and refused.
    for _ in 0..100_000 {
        let mut ask = probe.ask(Weigh(Counted::new(&alive)));
        assert!(poll_once(&mut ask).await.is_pending());
        drop(ask);
    }
    assert_eq!(alive.load(Ordering::Relaxed), 0);
    let stats = probe.stats();
    assert_eq!((stats.depth, stats.waiting, stats.reserved), (8, 0, 0));
    gate.open();
    assert_eq!(probe.ask(Note(1)).await.unwrap(), 1);
    assert_eq!(probe.stats().account.abandoned, 8);
    // While the handler runs.
    for _ in 0..10_000 {
        let mut ask = probe.ask(Weigh(Counted::new(&alive)));
        assert!(poll_once(&mut ask).await.is_pending());
        tokio::task::yield_now().await;
        drop(ask);
    }
    assert_eq!(probe.ask(Note(2)).await.unwrap(), 2);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
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

impl Handler<Note> for Broken {
    async fn handle(&mut self, Note(n): Note, _: &Context<Self>) -> Result<u32, Refusal> {
        Ok(n)
    }
}

#[tokio::test(start_paused = true)]
async fn b14_every_ask_ends_with_its_actor_whatever_the_phase() {
    // Queued and running.
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Builder::new(Probe::new(&log, &gate))
        .capacity(1)
        .spawn()
        .unwrap();
    let (mut running, mut queued, mut parked) =
        (probe.ask(Held(1)), probe.ask(Note(2)), probe.ask(Note(3)));
    assert!(poll_once(&mut running).await.is_pending());
    gate.wait_entered().await;
    assert!(poll_once(&mut queued).await.is_pending());
    assert!(poll_once(&mut parked).await.is_pending());
    probe.kill();
    let (running, queued, parked) = tokio::join!(running, queued, parked);
    assert!(matches!(running, Err(AskError::Cancelled { .. })));
    assert!(matches!(queued, Err(AskError::Stopped(Note(2)))));
    assert!(matches!(parked, Err(AskError::Closed(Note(3)))));
    assert!(matches!(probe.ask(Note(4)).await, Err(AskError::Closed(_))));

    // While it starts, and fails to.
    let gate = Gate::default();
    let broken = Broken(gate.clone()).spawn();
    let mut early = broken.ask(Note(1));
    assert!(poll_once(&mut early).await.is_pending());
    gate.open();
    assert!(matches!(early.await, Err(AskError::Stopped(_))));

    // Between two incarnations.
    let (log, gate) = (Log::default(), Gate::default());
    let pause = Duration::from_hours(1);
    let policy = RestartPolicy::permanent().backoff(Backoff::exponential(pause, pause));
    let probe = Builder::supervised(move || Probe::new(&log, &gate), policy)
        .spawn()
        .unwrap();
    assert!(probe.ask(Crash("ill")).await.is_err());
    let mut waiting = probe.ask(Note(1));
    assert!(poll_once(&mut waiting).await.is_pending());
    probe.stop();
    assert!(matches!(waiting.await, Err(AskError::Stopped(_))));
}

#[tokio::test]
async fn b15_a_start_that_fails_is_told_to_starter_registry_and_askers() {
    let gate = Gate::default();
    gate.open_for_good();
    let alone = Broken(gate.clone()).spawn();
    let mut asked = alone.ask(Note(1));
    assert!(poll_once(&mut asked).await.is_pending());
    let exit = alone.ready().await.unwrap_err();
    assert!(exit.to_string().contains("the port is taken"), "{exit}");
    assert!(matches!(asked.await, Err(AskError::Stopped(Note(1)))));

    let mut builder = ActorRegistry::builder();
    let registered = builder.add(Broken(gate)).register().unwrap();
    let mut asked = registered.ask(Note(2));
    assert!(poll_once(&mut asked).await.is_pending());
    let Err(StartError::Actor { cause, .. }) = builder.start().await else {
        panic!("it cannot start")
    };
    assert!(matches!(cause.reason, StopReason::StartFailed(_)));
    assert!(matches!(asked.await, Err(AskError::Stopped(Note(2)))));
}

struct Insists(u32);

impl Message for Insists {
    type Response = u32;
    type Error = Infallible;
    const RUN_IF_ABANDONED: bool = true;
}

impl Handler<Insists> for Probe {
    async fn handle(&mut self, Insists(n): Insists, _: &Context<Self>) -> Result<u32, Infallible> {
        self.log.add(format!("insists {n}"));
        Ok(n)
    }
}

#[tokio::test(start_paused = true)]
async fn b16_an_ask_that_timed_out_in_the_queue_is_not_executed() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Probe::new(&log, &gate).spawn();
    occupy(&probe, &gate).await;
    let late = probe.ask(Note(1)).timeout(Duration::from_millis(10)).await;
    assert!(matches!(&late, Err(error) if error.was_executed() == Executed::No));
    assert!(matches!(late, Err(AskError::Expired(Note(1)))));
    // Given up without a timeout: skipped, unless its type insists.
    let (mut plain, mut insists) = (probe.ask(Note(2)), probe.ask(Insists(3)));
    assert!(poll_once(&mut plain).await.is_pending());
    assert!(poll_once(&mut insists).await.is_pending());
    drop((plain, insists));
    gate.open();
    assert_eq!(probe.ask(Note(4)).await.unwrap(), 4);
    assert_eq!(log.entries()[1..], ["0", "insists 3", "4"]);
    let account = probe.stats().account;
    assert_eq!((account.expired, account.abandoned), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b17_any_number_may_wait_for_the_end_at_any_time() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Probe::new(&log, &gate).spawn();
    occupy(&probe, &gate).await;
    let mut waiters: Vec<_> = (0..100).map(|_| tokio::spawn(probe.closed())).collect();
    probe.stop();
    waiters.extend((0..100).map(|_| tokio::spawn(probe.closed())));
    gate.open();
    let first = probe.closed().await;
    waiters.extend((0..100).map(|_| tokio::spawn(probe.closed())));
    for waiter in waiters {
        assert!(Arc::ptr_eq(&first, &waiter.await.unwrap()));
    }
    for _ in 0..100 {
        assert!(Arc::ptr_eq(&first, &probe.closed().await));
    }
}

struct AskYourself;

impl Message for AskYourself {
    type Response = &'static str;
    type Error = Infallible;
}

impl Handler<AskYourself> for Probe {
    async fn handle(
        &mut self,
        _: AskYourself,
        ctx: &Context<Self>,
    ) -> Result<&'static str, Infallible> {
        let me = ctx.handle().unwrap();
        let direct = matches!(me.ask(Note(1)).await, Err(AskError::WouldDeadlock(Note(1))));
        let erased = me.recipient::<Note>().ask(Note(1)).await;
        let erased = matches!(erased, Err(AskError::WouldDeadlock(_)));
        Ok(if direct && erased {
            "both refused"
        } else {
            "asked itself"
        })
    }
}

/// Answers first, and then asks whoever asked it.
struct AnswersFirst(Handle<AsksFirst>);

/// Asks, and is asked back when it has its answer.
struct AsksFirst;

struct Begin(Handle<AnswersFirst>);
struct Question;
struct Back;

impl Message for Begin {
    type Response = &'static str;
    type Error = Infallible;
}

impl Message for Question {
    type Response = ();
    type Error = Infallible;
}

impl Message for Back {
    type Response = &'static str;
    type Error = Infallible;
}

impl Actor for AnswersFirst {
    type Error = Infallible;
}

impl Actor for AsksFirst {
    type Error = Infallible;
}

impl Handler<Begin> for AsksFirst {
    async fn handle(
        &mut self,
        begin: Begin,
        _: &Context<Self>,
    ) -> Result<&'static str, Infallible> {
        begin.0.ask(Question).await.unwrap();
        Ok("begun")
    }
}

impl Handler<Back> for AsksFirst {
    async fn handle(&mut self, _: Back, _: &Context<Self>) -> Result<&'static str, Infallible> {
        Ok("back")
    }
}

impl Receive<Question> for AnswersFirst {
    async fn receive(&mut self, questions: Batch<Question>, _: &Context<Self>) {
        for (Question, reply) in questions {
            reply.ok(());
            assert_eq!(self.0.ask(Back).await.unwrap(), "back");
        }
    }
}

#[tokio::test]
async fn b18_asking_oneself_is_an_error_and_asking_back_after_the_answer_is_none() {
    assert_eq!(
        Probe::default().spawn().ask(AskYourself).await.unwrap(),
        "both refused"
    );
    let asks = AsksFirst.spawn();
    let answers = AnswersFirst(asks.clone()).spawn();
    assert_eq!(asks.ask(Begin(answers.clone())).await.unwrap(), "begun");
    answers.drain();
    assert_eq!(answers.closed().await.account.ok, 1, "it was asked back");
}

struct FillYourself;

impl Message for FillYourself {
    type Response = bool;
    type Error = Infallible;
}

impl Handler<FillYourself> for Probe {
    async fn handle(&mut self, _: FillYourself, ctx: &Context<Self>) -> Result<bool, Infallible> {
        let me = ctx.handle().unwrap();
        while me.try_tell(Note(1)).is_ok() {}
        let full = matches!(me.try_tell(Note(2)), Err(SendError::Full(Note(2))));
        let told = me.tell(Note(2)).await;
        let reserved = me.reserve().await.map(drop);
        Ok(full
            && told == Err(SendError::WouldDeadlock(Note(2)))
            && reserved == Err(SendError::WouldDeadlock(())))
    }
}

#[tokio::test]
async fn b19_telling_oneself_never_waits_for_room() {
    let probe = Builder::new(Probe::default()).capacity(2).spawn().unwrap();
    assert!(probe.ask(FillYourself).await.unwrap());
    probe.drain();
    assert_eq!(probe.closed().await.account.ok, 3);
}
