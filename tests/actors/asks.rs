//! What an asker learns: whether its handler ran, and its message back if not.

use crate::common::{Crash, Fail, Gate, Held, Log, Note, Probe, Refusal, occupy, poll_once};
use postroom::actor::{
    Actor, AskError, AskFailure, Builder, Context, Executed, Handler, Message, SendError,
};
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test]
async fn r06_errors_say_whether_the_handler_ran() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Builder::new(Probe::new(&log, &gate))
        .capacity(1)
        .spawn()
        .unwrap();
    let failed = probe.ask(Fail).await.unwrap_err();
    assert_eq!(failed.was_executed(), Executed::Yes);
    occupy(&probe, &gate).await;
    let mut queued = probe.ask(Note(1));
    assert!(poll_once(&mut queued).await.is_pending());
    let full = probe.try_ask(Note(2)).await.unwrap_err();
    assert_eq!(
        (full.was_executed(), full.into_message()),
        (Executed::No, Some(Note(2)))
    );
    probe.stop();
    let closed = probe.ask(Note(3)).await.unwrap_err();
    assert_eq!(
        (closed.was_executed(), closed.into_message()),
        (Executed::No, Some(Note(3)))
    );
    gate.open();
    let stopped = queued.await.unwrap_err();
    assert_eq!(
        (stopped.was_executed(), stopped.into_message()),
        (Executed::No, Some(Note(1)))
    );
}

#[tokio::test]
async fn r06_a_kill_mid_way_is_cancelled() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Probe::new(&log, &gate).spawn();
    let mut ask = probe.ask(Held(1));
    assert!(poll_once(&mut ask).await.is_pending());
    gate.wait_entered().await;
    probe.kill();
    let error = ask.await.unwrap_err();
    assert_eq!(error.was_executed(), Executed::Yes);
    assert!(matches!(error, AskError::Cancelled { actor, .. } if &*actor == "probe"));
    assert_eq!(probe.closed().await.account.cancelled, 1);
}

#[tokio::test]
async fn r16_a_kill_goes_before_a_handler_that_could_go_on() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Probe::new(&log, &gate).spawn();
    let mut ask = probe.ask(Held(1));
    assert!(poll_once(&mut ask).await.is_pending());
    gate.wait_entered().await;
    probe.kill();
    gate.open();
    assert!(matches!(ask.await, Err(AskError::Cancelled { .. })));
    assert!(!log.entries().contains(&"1".to_owned()));
}

#[tokio::test]
async fn r06_errors_work_with_the_question_mark() {
    async fn ask(probe: &postroom::actor::Handle<Probe>) -> Result<u32, AskFailure<Refusal>> {
        Ok(probe.ask(Fail).await?)
    }
    let probe = Probe::default().spawn();
    assert_eq!(ask(&probe).await, Err(AskFailure::Handler(Refusal)));
    let boxed: Box<dyn std::error::Error> = probe.ask(Fail).await.unwrap_err().into();
    assert_eq!(boxed.to_string(), "asked to fail");
}

/// A message that is neither `Debug` nor `Display`.
struct Opaque;

impl Message for Opaque {
    type Response = ();
    type Error = Infallible;
}

impl Handler<Opaque> for Probe {
    async fn handle(&mut self, _: Opaque, _: &Context<Self>) -> Result<(), Infallible> {
        Ok(())
    }
}

#[tokio::test]
async fn r06_errors_are_readable_whatever_the_message() {
    let probe = Probe::named("writer", &Log::default(), &Gate::default()).spawn();
    let crashed = probe.ask(Crash("disk on fire")).await.unwrap_err();
    let text = crashed.to_string();
    assert!(
        text.contains("`writer`") && text.contains("Crash") && text.contains("disk on fire"),
        "{text}"
    );
    probe.closed().await;
    let error = probe.ask(Opaque).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`Opaque` was not handled: the actor accepts no more messages"
    );
    assert!(format!("{error:?}").starts_with("Closed("));
    let error = probe.try_tell(Opaque).unwrap_err();
    assert_eq!(error.without_message(), SendError::Closed(()));
}

#[tokio::test(start_paused = true)]
async fn r06_a_timeout_revokes_what_is_still_queued() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Probe::new(&log, &gate).spawn();
    occupy(&probe, &gate).await;
    let error = probe
        .ask(Note(1))
        .timeout(Duration::from_secs(2))
        .await
        .unwrap_err();
    assert!(matches!(error, AskError::Expired(Note(1))), "{error:?}");
    gate.open();
    assert_eq!(probe.ask(Note(2)).await.unwrap(), 2);
    probe.drain();
    let exit = probe.closed().await;
    assert_eq!((exit.account.expired, exit.account.ok), (1, 2));
    assert!(
        !log.entries().contains(&"1".to_owned()),
        "a revoked message is skipped"
    );
}

#[tokio::test(start_paused = true)]
async fn r06_a_timeout_while_the_handler_runs_is_timed_out() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Probe::new(&log, &gate).spawn();
    let error = probe
        .ask(Held(1))
        .deadline(Instant::now() + Duration::from_secs(1))
        .await
        .unwrap_err();
    assert_eq!(error.was_executed(), Executed::Unknown);
    assert!(matches!(error, AskError::TimedOut { .. }));
    gate.open();
    probe.drain();
    let exit = probe.closed().await;
    assert_eq!(exit.account.ok, 1, "the handler ran to its end");
}

#[tokio::test(start_paused = true)]
async fn r07_a_timeout_covers_the_wait_for_room() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Builder::new(Probe::new(&log, &gate))
        .capacity(1)
        .spawn()
        .unwrap();
    occupy(&probe, &gate).await;
    probe.try_tell(Note(1)).unwrap();
    let before = Instant::now();
    let error = probe
        .ask(Note(2))
        .timeout(Duration::from_secs(5))
        .await
        .unwrap_err();
    assert!(matches!(error, AskError::Expired(Note(2))));
    assert_eq!(before.elapsed().as_secs(), 5);
    assert_eq!(probe.stats().account.accepted, 2, "it was never accepted");
}

#[tokio::test]
async fn r07_abandoned_ask_is_skipped() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Probe::new(&log, &gate).spawn();
    occupy(&probe, &gate).await;
    let mut ask = probe.ask(Note(1));
    assert!(poll_once(&mut ask).await.is_pending());
    drop(ask);
    gate.open();
    assert_eq!(probe.ask(Note(2)).await.unwrap(), 2);
    let account = probe.stats().account;
    assert_eq!((account.abandoned, account.ok), (1, 2));
    assert!(!log.entries().contains(&"1".to_owned()));
}

#[test]
fn r07_no_clock_is_touched_without_a_timeout() {
    // A runtime without timers: using one panics.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (log, gate) = (Log::default(), Gate::default());
        let probe = Builder::new(Probe::new(&log, &gate))
            .capacity(1)
            .spawn()
            .unwrap();
        occupy(&probe, &gate).await;
        probe.tell(Note(1)).await.unwrap();
        let mut waiting = probe.ask(Note(2));
        assert!(poll_once(&mut waiting).await.is_pending());
        gate.open();
        assert_eq!(waiting.await.unwrap(), 2);
        probe.stop();
        assert!(probe.closed().await.problems.is_empty());
    });
}

/// Tells when it is dropped.
struct Tracked(#[expect(dead_code)] std::sync::Arc<()>);

impl Message for Tracked {
    type Response = ();
    type Error = Infallible;
}

impl Handler<Tracked> for Probe {
    async fn handle(&mut self, _: Tracked, _: &Context<Self>) -> Result<(), Infallible> {
        Ok(())
    }
}

#[tokio::test]
async fn r07_a_revoked_message_is_dropped_at_once() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Probe::new(&log, &gate).spawn();
    occupy(&probe, &gate).await;
    let witness = std::sync::Arc::new(());
    let mut ask = probe.ask(Tracked(witness.clone()));
    assert!(poll_once(&mut ask).await.is_pending());
    drop(ask);
    assert_eq!(std::sync::Arc::strong_count(&witness), 1);
    assert_eq!(probe.stats().depth, 1, "its place is kept until its turn");
}

struct Important(u32);

impl Message for Important {
    type Response = ();
    type Error = Infallible;
    const RUN_IF_ABANDONED: bool = true;
}

impl Handler<Important> for Probe {
    async fn handle(
        &mut self,
        Important(n): Important,
        _: &Context<Self>,
    ) -> Result<(), Infallible> {
        self.log.add(format!("important {n}"));
        Ok(())
    }
}

#[tokio::test]
async fn r07_a_message_may_insist_on_being_handled() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Probe::new(&log, &gate).spawn();
    occupy(&probe, &gate).await;
    let mut ask = probe.ask(Important(1));
    assert!(poll_once(&mut ask).await.is_pending());
    drop(ask);
    gate.open();
    probe.drain();
    let exit = probe.closed().await;
    assert!(log.entries().contains(&"important 1".to_owned()));
    assert_eq!((exit.account.ok, exit.account.abandoned), (2, 0));
}

#[tokio::test]
async fn r07_a_running_handler_is_never_cancelled_by_its_asker() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Probe::new(&log, &gate).spawn();
    let mut ask = probe.ask(Held(1));
    assert!(poll_once(&mut ask).await.is_pending());
    gate.wait_entered().await;
    drop(ask);
    gate.open();
    probe.drain();
    assert_eq!(probe.closed().await.account.ok, 1);
    assert!(log.entries().contains(&"1".to_owned()));
}

/// Sends to itself in every way.
struct Narcissus;

impl Actor for Narcissus {
    type Error = Infallible;
}

struct Look;

impl Message for Look {
    type Response = Vec<&'static str>;
    type Error = Infallible;
}

impl Handler<Look> for Narcissus {
    async fn handle(
        &mut self,
        _: Look,
        ctx: &Context<Self>,
    ) -> Result<Vec<&'static str>, Infallible> {
        let me = ctx.handle().expect("the test holds a handle");
        let mut seen = Vec::new();
        if let Err(AskError::WouldDeadlock(Look)) = me.ask(Look).await {
            seen.push("ask");
        }
        if let Err(AskError::WouldDeadlock(Look)) = me.recipient::<Look>().ask(Look).await {
            seen.push("recipient");
        }
        // The mailbox holds one message.
        if me.tell(Look).await.is_ok() {
            seen.push("tell");
        }
        if let Err(SendError::WouldDeadlock(Look)) = me.tell(Look).await {
            seen.push("full");
        }
        if let Err(SendError::Full(Look)) = me.try_tell(Look) {
            seen.push("try");
        }
        if let Err(SendError::WouldDeadlock(())) = me.reserve().await {
            seen.push("reserve");
        }
        ctx.stop();
        Ok(seen)
    }
}

#[tokio::test]
async fn r08_waiting_for_oneself_is_an_error() {
    let narcissus = Builder::new(Narcissus).capacity(1).spawn().unwrap();
    let seen = narcissus.ask(Look).await.unwrap();
    assert_eq!(seen, ["ask", "recipient", "tell", "full", "try", "reserve"]);
    let exit = narcissus.closed().await;
    assert_eq!((exit.account.accepted, exit.account.undelivered), (2, 1));
}

struct Relay(postroom::actor::Handle<Probe>);

impl Actor for Relay {
    type Error = Infallible;
}

impl Handler<Note> for Relay {
    async fn handle(&mut self, note: Note, _: &Context<Self>) -> Result<u32, Refusal> {
        self.0.ask(note).await.map_err(|_| Refusal)
    }
}

#[tokio::test]
async fn r08_asking_another_actor_is_no_deadlock() {
    let probe = Probe::default().spawn();
    let relay = Relay(probe.clone()).spawn();
    assert_eq!(relay.ask(Note(3)).await.unwrap(), 3);
    // The identity of the last handler does not linger on this thread.
    assert_eq!(probe.ask(Note(4)).await.unwrap(), 4);
}
