//! Supervision: what comes back after a failure, when, and with which messages.

use crate::common::{Crash, Gate, Held, Log, Note, Probe, Refusal, occupy, poll_once};
use postroom::actor::{Actor, AskError, Builder, Context, Handle, Handler, Message, StopReason};
use postroom::supervision::{Backoff, RestartPolicy};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::Instant;

fn at_once(policy: RestartPolicy) -> RestartPolicy {
    policy
        .backoff(Backoff::none())
        .intensity(1000, Duration::from_secs(10))
}

fn supervised(log: &Log, gate: &Gate, policy: RestartPolicy) -> Handle<Probe> {
    let (log, gate) = (log.clone(), gate.clone());
    Builder::supervised(move || Probe::new(&log, &gate), policy)
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn r13_a_failed_actor_comes_back() {
    let (log, gate) = (Log::default(), Gate::default());
    for policy in [RestartPolicy::permanent(), RestartPolicy::transient()] {
        let probe = supervised(&log, &gate, at_once(policy));
        assert!(matches!(
            probe.ask(Crash("oh")).await,
            Err(AskError::Panicked { .. })
        ));
        assert_eq!(probe.ask(Note(1)).await.unwrap(), 1);
        assert_eq!(probe.stats().restarts, 1);
        probe.stop();
        assert!(matches!(probe.closed().await.reason, StopReason::Stopped));
    }
}

#[tokio::test]
async fn r13_a_plain_value_is_temporary() {
    let probe = Probe::default().spawn();
    probe.tell(Crash("oh")).await.unwrap();
    let exit = probe.closed().await;
    assert_eq!(exit.restarts, 0);
    assert!(matches!(probe.ask(Note(1)).await, Err(AskError::Closed(_))));
}

struct Leave;

impl Message for Leave {
    type Response = ();
    type Error = Infallible;
}

impl Handler<Leave> for Probe {
    async fn handle(&mut self, _: Leave, ctx: &Context<Self>) -> Result<(), Infallible> {
        ctx.stop();
        Ok(())
    }
}

#[tokio::test]
async fn r13_only_a_permanent_actor_comes_back_after_stopping_itself() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = supervised(&log, &gate, at_once(RestartPolicy::permanent()));
    probe.ask(Leave).await.unwrap();
    assert_eq!(probe.ask(Note(1)).await.unwrap(), 1);
    assert_eq!(probe.stats().restarts, 1);

    let probe = supervised(&log, &gate, at_once(RestartPolicy::transient()));
    probe.ask(Leave).await.unwrap();
    assert!(matches!(probe.closed().await.reason, StopReason::Stopped));
}

#[tokio::test]
async fn r13_an_outside_stop_is_final_under_every_policy() {
    let (log, gate) = (Log::default(), Gate::default());
    for policy in [RestartPolicy::permanent(), RestartPolicy::transient()] {
        for level in 0..3 {
            let probe = supervised(&log, &gate, at_once(policy));
            probe.ready().await.unwrap();
            match level {
                0 => probe.drain(),
                1 => probe.stop(),
                _ => probe.kill(),
            }
            let exit = probe.closed().await;
            assert_eq!(exit.restarts, 0, "{exit}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r13_an_exceeded_intensity_keeps_the_actor_down_and_reports_its_queue() {
    let (log, gate) = (Log::default(), Gate::default());
    let policy = RestartPolicy::permanent()
        .intensity(2, Duration::from_secs(10))
        .backoff(Backoff::none());
    let probe = supervised(&log, &gate, policy);
    occupy(&probe, &gate).await;
    for _ in 0..3 {
        probe.tell(Crash("again")).await.unwrap();
    }
    let mut queued = probe.ask(Note(1));
    assert!(poll_once(&mut queued).await.is_pending());
    probe.tell(Note(2)).await.unwrap();
    gate.open();
    assert!(matches!(queued.await, Err(AskError::Stopped(Note(1)))));
    let exit = probe.closed().await;
    let StopReason::IntensityExceeded { limit: 2, last, .. } = &exit.reason else {
        panic!("{exit}")
    };
    assert!(matches!(**last, StopReason::Panicked { .. }));
    assert_eq!(
        (
            exit.restarts,
            exit.account.panicked,
            exit.account.undelivered
        ),
        (2, 3, 2)
    );
    assert!(exit.is_balanced());
    assert!(matches!(probe.ask(Note(3)).await, Err(AskError::Closed(_))));
}

#[tokio::test(start_paused = true)]
async fn r13_restarts_wait_for_their_backoff() {
    let (log, gate) = (Log::default(), Gate::default());
    let hour = Duration::from_hours(1);
    let policy = RestartPolicy::permanent()
        .intensity(1000, hour * 1000)
        .backoff(Backoff::exponential(hour, hour));
    let probe = supervised(&log, &gate, policy);
    let before = Instant::now();
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        let crashed = Instant::now();
        probe.tell(Crash("oh")).await.unwrap();
        probe.ask(Note(1)).await.unwrap();
        longest = longest.max(crashed.elapsed());
        assert!(crashed.elapsed() <= hour + Duration::from_millis(1));
    }
    assert!(
        longest > hour / 4,
        "twenty draws from an hour, and the longest is {longest:?}"
    );
    assert!(before.elapsed() > hour);
}

#[tokio::test(start_paused = true)]
async fn r13_a_stop_ends_the_backoff() {
    let (log, gate) = (Log::default(), Gate::default());
    let hour = Duration::from_hours(1);
    let policy = RestartPolicy::permanent().backoff(Backoff::exponential(hour, hour));
    let probe = supervised(&log, &gate, policy);
    let before = Instant::now();
    assert!(probe.ask(Crash("oh")).await.is_err());
    probe.stop();
    probe.closed().await;
    assert!(before.elapsed() < Duration::from_secs(1));
    assert_eq!(
        log.entries().len(),
        2,
        "no second incarnation: {:?}",
        log.entries()
    );
}

#[tokio::test]
async fn r14_mailbox_messages_and_handles_survive_a_restart() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = supervised(&log, &gate, at_once(RestartPolicy::permanent()));
    let (recipient, weak) = (probe.recipient::<Note>(), probe.downgrade());
    occupy(&probe, &gate).await;
    probe.tell(Crash("oh")).await.unwrap();
    probe.tell(Note(1)).await.unwrap();
    let mut ask = recipient.ask(Note(2));
    assert!(poll_once(&mut ask).await.is_pending());
    gate.open();
    assert_eq!(ask.await.unwrap(), 2);
    assert_eq!(weak.upgrade().unwrap(), probe);
    assert_eq!(recipient.ask(Note(3)).await.unwrap(), 3);
    let account = probe.stats().account;
    assert_eq!(
        (account.panicked, account.ok),
        (1, 4),
        "the message that panicked is consumed"
    );
    probe.kill();
    assert!(
        matches!(probe.closed().await.reason, StopReason::Killed),
        "an old handle rules the new incarnation"
    );
}

#[tokio::test]
async fn r14_senders_that_wait_for_room_survive_a_restart() {
    let (log, gate) = (Log::default(), Gate::default());
    let make = {
        let (log, gate) = (log.clone(), gate.clone());
        move || Probe::new(&log, &gate)
    };
    let probe = Builder::supervised(make, at_once(RestartPolicy::permanent()))
        .capacity(1)
        .spawn()
        .unwrap();
    occupy(&probe, &gate).await;
    probe.tell(Crash("oh")).await.unwrap();
    let mut waiting = probe.tell(Note(1));
    assert!(poll_once(&mut waiting).await.is_pending());
    gate.open();
    waiting.await.unwrap();
    assert_eq!(probe.ask(Note(2)).await.unwrap(), 2);
}

#[tokio::test]
async fn r14_a_drain_goes_on_across_restarts() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = supervised(&log, &gate, at_once(RestartPolicy::transient()));
    occupy(&probe, &gate).await;
    probe.tell(Note(1)).await.unwrap();
    probe.tell(Crash("oh")).await.unwrap();
    probe.tell(Note(2)).await.unwrap();
    probe.drain();
    gate.open();
    let exit = probe.closed().await;
    assert!(matches!(exit.reason, StopReason::Drained));
    assert_eq!(
        (
            exit.account.ok,
            exit.account.panicked,
            exit.account.undelivered
        ),
        (3, 1, 0)
    );
}

#[tokio::test]
async fn r14_a_drain_with_nothing_left_restarts_nothing() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = supervised(&log, &gate, at_once(RestartPolicy::permanent()));
    occupy(&probe, &gate).await;
    probe.tell(Crash("last")).await.unwrap();
    probe.drain();
    gate.open();
    let exit = probe.closed().await;
    assert!(matches!(exit.reason, StopReason::Panicked { .. }));
    assert_eq!(exit.restarts, 0);
}

#[tokio::test]
async fn r11_incarnations_never_overlap() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = supervised(&log, &gate, at_once(RestartPolicy::permanent()));
    for _ in 0..100 {
        assert!(probe.ask(Crash("oh")).await.is_err());
    }
    probe.stop();
    probe.closed().await;
    let entries = log.entries();
    for (at, entry) in entries.iter().enumerate() {
        let expected = if at % 2 == 0 {
            "probe started"
        } else {
            "probe stopped"
        };
        assert!(entry.starts_with(expected), "{at}: {entry}");
    }
    assert!(entries.len() >= 200);
}

/// Starts only the first `n` times.
struct Flaky(u32);

#[derive(Debug, thiserror::Error)]
#[error("not today")]
struct NotToday;

impl Actor for Flaky {
    type Error = NotToday;

    async fn started(&mut self, _: &Context<Self>) -> Result<(), NotToday> {
        if self.0 == 1 { Err(NotToday) } else { Ok(()) }
    }
}

impl Handler<Crash> for Flaky {
    async fn handle(&mut self, Crash(text): Crash, _: &Context<Self>) -> Result<(), Infallible> {
        panic!("{text}")
    }
}

impl Handler<Note> for Flaky {
    async fn handle(&mut self, _: Note, _: &Context<Self>) -> Result<u32, crate::common::Refusal> {
        Ok(self.0)
    }
}

#[tokio::test]
async fn r13_a_later_start_that_fails_is_tried_again() {
    let made = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&made);
    let factory = move || Flaky(counter.fetch_add(1, Ordering::Relaxed));
    let flaky = Builder::supervised(factory, at_once(RestartPolicy::transient()))
        .spawn()
        .unwrap();
    assert!(flaky.ask(Crash("oh")).await.is_err());
    assert_eq!(
        flaky.ask(Note(0)).await.unwrap(),
        2,
        "the second incarnation did not start"
    );
    assert_eq!(made.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn r13_a_factory_that_panics_is_tried_again() {
    let made = AtomicU32::new(0);
    let factory = move || {
        let n = made.fetch_add(1, Ordering::Relaxed);
        assert!(n != 1, "the factory is on strike");
        Flaky(n)
    };
    let flaky = Builder::supervised(factory, at_once(RestartPolicy::transient()))
        .spawn()
        .unwrap();
    assert!(flaky.ask(Crash("oh")).await.is_err());
    assert_eq!(flaky.ask(Note(0)).await.unwrap(), 2);
}

#[tokio::test]
async fn r13_the_first_start_that_fails_is_final() {
    let flaky = Builder::supervised(|| Flaky(1), at_once(RestartPolicy::permanent()))
        .spawn()
        .unwrap();
    let exit = flaky.ready().await.unwrap_err();
    assert!(matches!(exit.reason, StopReason::StartFailed(_)));
    assert_eq!(exit.restarts, 0);
}

#[tokio::test]
async fn r13_a_kill_mid_way_is_final_and_cancels() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = supervised(&log, &gate, at_once(RestartPolicy::permanent()));
    let mut ask = probe.ask(Held(1));
    assert!(poll_once(&mut ask).await.is_pending());
    gate.wait_entered().await;
    probe.kill();
    assert!(matches!(ask.await, Err(AskError::Cancelled { .. })));
    assert_eq!(probe.closed().await.restarts, 0);
}

/// Wants its end once more when it ends.
struct Eager(Option<Context<Eager>>);

impl Actor for Eager {
    type Error = Infallible;

    async fn started(&mut self, ctx: &Context<Self>) -> Result<(), Infallible> {
        self.0 = Some(ctx.clone());
        Ok(())
    }

    async fn stopped(&mut self, _: &StopReason) -> Result<(), Infallible> {
        if let Some(ctx) = &self.0 {
            ctx.stop();
        }
        Ok(())
    }
}

impl Handler<Crash> for Eager {
    async fn handle(&mut self, Crash(text): Crash, _: &Context<Self>) -> Result<(), Infallible> {
        std::panic::panic_any(text)
    }
}

impl Handler<Note> for Eager {
    async fn handle(&mut self, Note(n): Note, _: &Context<Self>) -> Result<u32, Refusal> {
        Ok(n)
    }
}

#[tokio::test]
async fn r13_a_wish_to_end_is_over_with_its_incarnation() {
    let eager = Builder::supervised(|| Eager(None), at_once(RestartPolicy::transient()))
        .spawn()
        .unwrap();
    let crashed = eager.ask(Crash("oh")).await;
    assert!(matches!(crashed, Err(AskError::Panicked { .. })));
    assert_eq!(eager.ask(Note(1)).await.unwrap(), 1);
    assert_eq!(eager.stats().restarts, 1);
}
