//! Clauses proved step by step, with the kit for testing actors.

use crate::common::{Crash, Fail, Gate, Held, Log, Note, Probe};
use postroom::actor::{AskError, Builder, Overflow, StopReason};
use postroom::supervision::{Backoff, RestartPolicy};
use postroom::testing::{Step, Stepper};

fn short(name: &str) -> &str {
    name.rsplit("::").next().unwrap()
}

fn queued(steps: &mut Stepper<Probe>) -> Vec<&'static str> {
    let names = steps.queued().into_iter();
    names.map(short).collect()
}

fn probe() -> (Log, Builder<Probe>) {
    let (log, gate) = (Log::default(), Gate::default());
    let builder = Builder::new(Probe::new(&log, &gate));
    (log, builder)
}

#[tokio::test]
async fn r02_the_mailbox_keeps_the_order_of_the_sends() {
    let (log, builder) = probe();
    let (handle, mut steps) = builder.stepped().unwrap();
    let (other, recipient) = (handle.clone(), handle.recipient::<Note>());
    recipient.tell(Note(1)).await.unwrap();
    let failing = other.ask(Fail).enqueue().await.unwrap();
    let permit = handle.reserve().await.unwrap();
    handle.tell(Note(2)).await.unwrap();
    permit.send(Note(3)).unwrap();
    assert_eq!(queued(&mut steps), ["Note", "Fail", "Note", "Note"]);
    assert_eq!(steps.run().await, 4);
    assert!(matches!(failing.await, Err(AskError::Handler(_))));
    assert_eq!(log.entries()[1..], ["1", "2", "3"]);
}

#[tokio::test]
async fn r04_the_oldest_is_evicted_and_the_rest_moves_up() {
    let (log, builder) = probe();
    let builder = builder.capacity(2).overflow(Overflow::EvictOldest);
    let (handle, mut steps) = builder.stepped().unwrap();
    let evicted = handle.ask(Fail).enqueue().await.unwrap();
    handle.tell(Note(1)).await.unwrap();
    handle.tell(Held(2)).await.unwrap();
    assert!(matches!(evicted.await, Err(AskError::Evicted(Fail))));
    assert_eq!(queued(&mut steps), ["Note", "Held"]);
    handle.tell(Note(3)).await.unwrap();
    assert_eq!(queued(&mut steps), ["Held", "Note"]);
    handle.tell(Note(4)).await.unwrap();
    assert_eq!(steps.run().await, 2);
    assert_eq!(log.entries()[1..], ["3", "4"]);
    let account = handle.stats().account;
    assert_eq!((account.evicted, account.ok), (3, 2));
}

#[tokio::test]
async fn r07_those_that_nobody_waits_for_are_skipped_wherever_they_stand() {
    let (log, builder) = probe();
    let (handle, mut steps) = builder.stepped().unwrap();
    let mut asks = Vec::new();
    for n in 0..6 {
        asks.push(Some(handle.ask(Note(n)).enqueue().await.unwrap()));
    }
    for gone in [0, 1, 3, 5] {
        asks[gone] = None;
    }
    assert!(matches!(steps.step().await, Step::Handled(_)));
    assert_eq!(log.entries()[1..], ["2"]);
    assert_eq!(handle.stats().account.abandoned, 2);
    assert_eq!(steps.run().await, 1);
    assert_eq!(log.entries()[1..], ["2", "4"]);
    assert_eq!(handle.stats().account.abandoned, 4);
    assert!(matches!(steps.step().await, Step::Idle));
}

#[tokio::test]
async fn r14_a_restart_keeps_what_is_queued_and_nothing_of_the_state() {
    let (log, gate) = (Log::default(), Gate::default());
    let made = (log.clone(), gate.clone());
    let policy = RestartPolicy::permanent().backoff(Backoff::none());
    let builder = Builder::supervised(move || Probe::new(&made.0, &made.1), policy);
    let (handle, mut steps) = builder.stepped().unwrap();
    handle.tell(Crash("once")).await.unwrap();
    handle.tell(Note(1)).await.unwrap();
    handle.tell(Note(2)).await.unwrap();
    assert!(matches!(steps.step().await, Step::Handled(message) if short(message) == "Crash"));
    assert_eq!(
        queued(&mut steps),
        ["Note", "Note"],
        "and none was handled on the way"
    );
    assert_eq!(handle.stats().restarts, 1);
    assert_eq!(log.entries()[2..], ["probe started"]);
    assert_eq!(steps.run().await, 2);
    assert_eq!(log.entries()[3..], ["1", "2"]);
}

#[tokio::test]
async fn r16_a_stop_gives_back_what_a_drain_handles() {
    let (log, builder) = probe();
    let (handle, mut steps) = builder.stepped().unwrap();
    let mut left = Vec::new();
    for n in 0..3 {
        left.push(handle.ask(Note(n)).enqueue().await.unwrap());
    }
    assert!(matches!(steps.step().await, Step::Handled(_)));
    handle.drain();
    assert!(handle.tell(Note(9)).await.is_err(), "it takes no more");
    assert!(matches!(steps.step().await, Step::Handled(_)));
    handle.stop();
    let Step::Ended(exit) = steps.step().await else {
        panic!("it is asked to stop");
    };
    assert!(matches!(exit.reason, StopReason::Stopped), "{exit}");
    assert_eq!((exit.account.ok, exit.account.undelivered), (2, 1));
    let last = left.pop().unwrap().await;
    assert!(matches!(last, Err(AskError::Stopped(Note(2)))), "{last:?}");
    assert_eq!(log.entries()[1..3], ["0", "1"]);
}

#[tokio::test]
async fn r21_more_steps_than_a_task_may_take_in_one_turn() {
    let (_, builder) = probe();
    let (handle, mut steps) = builder.stepped().unwrap();
    for n in 0..1_000 {
        handle.tell(Note(n)).await.unwrap();
    }
    let other = tokio::spawn(async {});
    assert_eq!(steps.run().await, 1_000);
    assert!(other.is_finished(), "others had their turn meanwhile");
}
