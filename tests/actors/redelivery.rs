//! Messages that are handled again after a panic, and those that are given up (R14).

use crate::common::{Crash, Gate, Held, Log, Note, Probe, poll_once};
use postroom::actor::{
    Actor, AskError, Builder, Context, Executed, Handle, Handler, Message, Redelivery, StopReason,
};
use postroom::supervision::{Backoff, RestartPolicy};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Panics until it has been handled often enough.
#[derive(Clone)]
struct Stubborn {
    n: u32,
    panics_left: Arc<AtomicU32>,
}

impl Stubborn {
    fn new(n: u32, panics: u32) -> Self {
        Self {
            n,
            panics_left: Arc::new(AtomicU32::new(panics)),
        }
    }
}

impl Message for Stubborn {
    type Response = u32;
    type Error = Infallible;
    const REDELIVERY: Redelivery<Self> = Redelivery::up_to(2);
}

impl Handler<Stubborn> for Probe {
    async fn handle(&mut self, message: Stubborn, _: &Context<Self>) -> Result<u32, Infallible> {
        self.log.add(format!("try {}", message.n));
        tokio::task::yield_now().await;
        let left = message.panics_left.load(Ordering::Relaxed);
        if left > 0 {
            message.panics_left.store(left - 1, Ordering::Relaxed);
            std::panic::panic_any("stubborn");
        }
        Ok(message.n)
    }
}

fn policy() -> RestartPolicy {
    RestartPolicy::permanent()
        .backoff(Backoff::none())
        .intensity(1000, Duration::from_secs(1))
}

fn supervised(log: &Log, gate: &Gate, policy: RestartPolicy) -> Handle<Probe> {
    let (log, gate) = (log.clone(), gate.clone());
    let factory = move || Probe::new(&log, &gate);
    Builder::supervised(factory, policy).spawn().unwrap()
}

/// What was handled, without the hooks.
fn handled(log: &Log) -> Vec<String> {
    let mut entries = log.entries();
    entries.retain(|entry| !entry.starts_with("probe"));
    entries
}

#[tokio::test]
async fn r14_a_message_may_be_handled_again_before_all_others() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = supervised(&log, &gate, policy());
    let (mut first, mut second) = (probe.ask(Stubborn::new(1, 2)), probe.ask(Note(2)));
    assert!(poll_once(&mut first).await.is_pending());
    assert!(poll_once(&mut second).await.is_pending());
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (1, 2));
    assert_eq!(handled(&log), ["try 1", "try 1", "try 1", "2"]);
    probe.drain();
    let exit = probe.closed().await;
    assert_eq!(
        (exit.account.ok, exit.account.panicked, exit.restarts),
        (2, 0, 2)
    );
    assert!(exit.set_aside.is_empty());
    let [(message, 2)] = exit.panics[..] else {
        panic!("{:?}", exit.panics)
    };
    assert!(message.ends_with("Stubborn"));
}

#[tokio::test]
async fn r14_a_message_that_panics_too_often_is_set_aside_and_reported() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = supervised(&log, &gate, policy());
    let error = probe.ask(Stubborn::new(1, 3)).await.unwrap_err();
    assert!(matches!(&error, AskError::Panicked { text, .. } if &**text == "stubborn"));
    assert_eq!(error.was_executed(), Executed::Yes);
    probe.tell(Stubborn::new(2, 3)).await.unwrap();
    assert_eq!(probe.ask(Note(3)).await.unwrap(), 3);
    assert_eq!(handled(&log).len(), 7);
    probe.drain();
    let exit = probe.closed().await;
    assert_eq!((exit.account.panicked, exit.account.ok), (2, 1));
    let [(message, 2)] = exit.set_aside[..] else {
        panic!("{:?}", exit.set_aside)
    };
    assert!(message.ends_with("Stubborn"));
    assert!(exit.is_balanced());
}

#[tokio::test]
async fn r14_a_drain_handles_again_what_panicked() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = supervised(&log, &gate, policy());
    let mut asked = probe.ask(Stubborn::new(1, 2));
    assert!(poll_once(&mut asked).await.is_pending());
    probe.drain();
    assert_eq!(asked.await.unwrap(), 1);
    let exit = probe.closed().await;
    assert!(matches!(exit.reason, StopReason::Drained));
    assert_eq!((exit.account.ok, exit.restarts), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn r14_without_a_next_incarnation_a_message_is_set_aside() {
    let (log, gate) = (Log::default(), Gate::default());
    // The intensity is exceeded.
    let probe = supervised(&log, &gate, policy().intensity(1, Duration::from_secs(1)));
    let asked = probe.ask(Stubborn::new(1, 5)).await;
    assert!(matches!(asked, Err(AskError::Panicked { .. })));
    let exit = probe.closed().await;
    assert!(matches!(exit.reason, StopReason::IntensityExceeded { .. }));
    assert_eq!((exit.account.panicked, exit.set_aside.len()), (1, 1));
    assert!(exit.is_balanced());

    // It is stopped while it pauses.
    let hour = Duration::from_hours(1);
    let slow = policy().backoff(Backoff::exponential(hour, hour));
    let probe = supervised(&log, &gate, slow);
    let mut asked = probe.ask(Stubborn::new(1, 5));
    assert!(poll_once(&mut asked).await.is_pending());
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(probe.stats().account.running, 1, "it counts as running");
    probe.stop();
    assert!(matches!(asked.await, Err(AskError::Panicked { .. })));
    let exit = probe.closed().await;
    assert_eq!((exit.account.panicked, exit.set_aside.len()), (1, 1));
    assert!(exit.is_balanced());

    // It is a plain value.
    let probe = Probe::new(&log, &gate).spawn();
    let asked = probe.ask(Stubborn::new(1, 5)).await;
    assert!(matches!(asked, Err(AskError::Panicked { .. })));
    let exit = probe.closed().await;
    assert_eq!((exit.account.panicked, exit.set_aside.len()), (1, 1));
    assert!(exit.is_balanced());
}

#[tokio::test(start_paused = true)]
async fn r14_a_message_whose_asker_has_gone_is_not_handled_again() {
    let (log, gate) = (Log::default(), Gate::default());
    let second = Duration::from_secs(1);
    let slow = policy().backoff(Backoff::exponential(second * 3600, second * 3600));
    let probe = supervised(&log, &gate, slow);
    let asked = probe.ask(Stubborn::new(1, 1)).timeout(second).await;
    // The pause is drawn at random, and is not likely to be over so soon.
    match asked {
        Err(error) => assert_eq!(error.was_executed(), Executed::Unknown),
        Ok(n) => return assert_eq!(n, 1),
    }
    assert_eq!(probe.ask(Note(2)).await.unwrap(), 2);
    assert_eq!(handled(&log), ["try 1", "2"]);
    let account = probe.stats().account;
    assert_eq!((account.panicked, account.ok), (1, 1));
}

/// Panics when it is cloned.
struct Unclonable;

impl Clone for Unclonable {
    fn clone(&self) -> Self {
        std::panic::panic_any("not to be cloned")
    }
}

impl Message for Unclonable {
    type Response = ();
    type Error = Infallible;
    const REDELIVERY: Redelivery<Self> = Redelivery::up_to(2);
}

impl Handler<Unclonable> for Probe {
    async fn handle(&mut self, _: Unclonable, _: &Context<Self>) -> Result<(), Infallible> {
        Ok(())
    }
}

#[tokio::test]
async fn r14_a_clone_that_panics_is_a_panic_of_the_handler() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = supervised(&log, &gate, policy());
    let asked = probe.ask(Unclonable).await;
    assert!(matches!(asked, Err(AskError::Panicked { text, .. }) if text.contains("cloned")));
    assert_eq!(probe.ask(Note(1)).await.unwrap(), 1);
}

#[tokio::test]
async fn r14_a_kill_cancels_a_message_that_is_handled_again() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = supervised(&log, &gate, policy());
    let mut asked = probe.ask(Stubborn::new(1, 1));
    assert!(poll_once(&mut asked).await.is_pending());
    while handled(&log).len() < 2 {
        tokio::task::yield_now().await;
    }
    probe.kill();
    assert!(matches!(asked.await, Err(AskError::Cancelled { .. })));
    let exit = probe.closed().await;
    assert_eq!((exit.account.cancelled, exit.account.panicked), (1, 0));
    assert!(exit.is_balanced());
}

#[tokio::test]
async fn r14_repeated_panics_of_one_type_are_in_the_report() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = supervised(&log, &gate, policy());
    for _ in 0..3 {
        assert!(probe.ask(Crash("again")).await.is_err());
    }
    gate.open();
    assert_eq!(probe.ask(Held(1)).await.unwrap(), 1);
    probe.drain();
    let exit = probe.closed().await;
    let [(message, 3)] = exit.panics[..] else {
        panic!("{:?}", exit.panics)
    };
    assert!(message.ends_with("Crash"));
    assert_eq!(exit.account.panicked, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r14_messages_that_are_handled_again_are_all_accounted_for() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = supervised(
        &log,
        &gate,
        policy().intensity(u32::MAX, Duration::from_secs(1)),
    );
    let askers: Vec<_> = (0..4)
        .map(|asker| {
            let probe = probe.clone();
            tokio::spawn(async move {
                let mut answered = 0;
                for n in 0..200 {
                    let panics = (n + asker) % 5;
                    answered += u64::from(probe.ask(Stubborn::new(n, panics)).await.is_ok());
                }
                answered
            })
        })
        .collect();
    let mut answered = 0;
    for asker in askers {
        answered += asker.await.unwrap();
    }
    probe.drain();
    let exit = probe.closed().await;
    assert!(exit.is_balanced(), "{exit}");
    assert_eq!((answered, exit.account.ok), (480, 480));
    assert_eq!(exit.account.panicked, 320);
    assert_eq!(exit.set_aside[0].1, 320);
}

/// Panics whenever it is handled, and once more when it is given up: dropped with no other panic going on.
#[derive(Clone)]
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "a grenade was dropped");
    }
}

impl Message for Grenade {
    type Response = ();
    type Error = Infallible;
    const REDELIVERY: Redelivery<Self> = Redelivery::up_to(1);
}

impl Handler<Grenade> for Probe {
    async fn handle(&mut self, _message: Grenade, _: &Context<Self>) -> Result<(), Infallible> {
        self.gate.pass().await;
        panic!("a grenade was handled");
    }
}

#[tokio::test]
async fn r14_a_message_that_panics_when_it_is_given_up_changes_nothing_else() {
    // By an actor that does not come back.
    let (log, gate) = (Log::default(), Gate::default());
    gate.open_for_good();
    let plain = Probe::new(&log, &gate).spawn();
    let asked = plain.ask(Grenade).await;
    assert!(matches!(asked, Err(AskError::Panicked { .. })), "{asked:?}");
    let exit = plain.closed().await;
    assert!(matches!(exit.reason, StopReason::Panicked { .. }), "{exit}");
    assert!(exit.is_balanced(), "{exit}");

    // By the next incarnation, because its asker has gone.
    let gate = Gate::default();
    let probe = supervised(&log, &gate, policy());
    let mut asked = Box::pin(probe.ask(Grenade));
    assert!(poll_once(&mut asked).await.is_pending());
    gate.wait_entered().await;
    drop(asked);
    gate.open_for_good();
    assert_eq!(probe.ask(Note(1)).await.unwrap(), 1);
    probe.drain();
    let exit = probe.closed().await;
    assert!(matches!(exit.reason, StopReason::Drained), "{exit}");
    assert!(exit.is_balanced(), "{exit}");
    assert_eq!((exit.account.ok, exit.account.panicked), (1, 1), "{exit}");
}
