//! How a mailbox behaves under load: full, waiting, cancelled, fair, draining.
//!
//! `Probe` handles a `Held` message only when the test opens its gate. So a test first occupies the
//! actor, and from then on every slot of the mailbox is under its control.

use crate::common::{Gate, Held, Log, Note, Probe, occupy, poll_once};
use postroom::actor::{AskError, Builder, Handle, SendError, SpawnError};
use std::task::Poll;
use std::time::Duration;

/// An actor with this many slots, whose handler is at the gate.
async fn occupied(capacity: usize) -> (Handle<Probe>, Log, Gate) {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Builder::new(Probe::new(&log, &gate))
        .capacity(capacity)
        .spawn()
        .unwrap();
    occupy(&probe, &gate).await;
    (probe, log, gate)
}

/// Lets everything through, ends the actor, and returns the numbers it handled after the first.
async fn finish(probe: &Handle<Probe>, log: &Log, gate: &Gate) -> Vec<u32> {
    gate.open_for_good();
    probe.drain();
    let exit = probe.closed().await;
    assert!(exit.is_balanced(), "{exit}");
    log.entries()
        .iter()
        .filter_map(|entry| entry.parse().ok())
        .skip(1)
        .collect()
}

// ---- full ----

#[tokio::test]
async fn r03_capacity_is_exact_and_the_running_message_takes_no_slot() {
    let (probe, log, gate) = occupied(3).await;
    for n in 1..=3 {
        probe.try_tell(Note(n)).unwrap();
    }
    assert_eq!(
        probe.try_tell(Note(4)),
        Err(SendError::Full(Note(4))),
        "three wait, one runs"
    );
    let stats = probe.stats();
    assert_eq!(
        (stats.depth, stats.high_water, stats.account.running),
        (3, 3, 1)
    );
    assert_eq!(finish(&probe, &log, &gate).await, [1, 2, 3]);
}

#[tokio::test]
async fn r03_a_slot_is_free_as_soon_as_the_handler_starts() {
    let (probe, log, gate) = occupied(1).await;
    probe.try_tell(Held(1)).unwrap();
    assert!(matches!(probe.try_tell(Note(2)), Err(SendError::Full(_))));
    gate.open();
    gate.wait_entered().await;
    probe.try_tell(Note(2)).unwrap();
    assert_eq!(finish(&probe, &log, &gate).await, [1, 2]);
}

#[tokio::test]
async fn r03_capacity_zero_is_an_error() {
    let error = Builder::new(Probe::default())
        .name("none")
        .capacity(0)
        .spawn()
        .unwrap_err();
    assert_eq!(
        error,
        SpawnError::ZeroCapacity {
            actor: "none".into()
        }
    );
    assert_eq!(
        error.to_string(),
        "actor `none` has capacity 0: give it at least 1"
    );
}

#[tokio::test]
async fn r04_try_tell_and_try_ask_give_the_message_back_when_full() {
    let (probe, log, gate) = occupied(1).await;
    probe.try_tell(Note(1)).unwrap();
    assert_eq!(probe.try_tell(Note(2)).unwrap_err().into_message(), Note(2));
    assert!(matches!(
        probe.try_ask(Note(3)).await,
        Err(AskError::Full(Note(3)))
    ));
    assert_eq!(finish(&probe, &log, &gate).await, [1]);
}

// ---- waiting ----

#[tokio::test]
async fn r04_tell_waits_for_room() {
    let (probe, log, gate) = occupied(1).await;
    probe.try_tell(Held(1)).unwrap();
    let mut waiting = probe.tell(Note(2));
    assert!(poll_once(&mut waiting).await.is_pending());
    assert_eq!(probe.stats().waiting, 1);
    gate.open();
    waiting.await.unwrap();
    assert_eq!(finish(&probe, &log, &gate).await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn r04_a_timed_tell_gives_the_message_back() {
    let (probe, log, gate) = occupied(1).await;
    probe.try_tell(Note(1)).unwrap();
    let before = tokio::time::Instant::now();
    let expired = probe.tell(Note(2)).timeout(Duration::from_secs(3)).await;
    assert_eq!(expired, Err(SendError::Expired(Note(2))));
    assert_eq!(before.elapsed().as_secs(), 3);
    assert_eq!(probe.stats().waiting, 0, "nothing is left in line");
    assert_eq!(finish(&probe, &log, &gate).await, [1]);
}

#[tokio::test]
async fn r04_a_send_does_nothing_until_it_is_polled_and_then_enqueues_at_once() {
    let (probe, log, gate) = occupied(4).await;
    let mut tell = probe.tell(Note(1));
    let mut ask = probe.ask(Note(2));
    assert_eq!(probe.stats().account.accepted, 1);
    assert!(poll_once(&mut ask).await.is_pending());
    assert_eq!(
        poll_once(&mut tell).await,
        Poll::Ready(Ok(postroom::actor::Told::Accepted))
    );
    assert_eq!(probe.stats().account.accepted, 3);
    gate.open_for_good();
    assert_eq!(ask.await.unwrap(), 2);
    assert_eq!(finish(&probe, &log, &gate).await, [2, 1]);
}

// ---- permits ----

#[tokio::test]
async fn r03_an_unused_permit_takes_a_slot() {
    let (probe, log, gate) = occupied(2).await;
    let permit = probe.reserve().await.unwrap();
    probe.try_tell(Note(1)).unwrap();
    assert!(matches!(probe.try_tell(Note(9)), Err(SendError::Full(_))));
    permit.send(Note(2)).unwrap();
    assert_eq!(finish(&probe, &log, &gate).await, [1, 2]);
}

#[tokio::test]
async fn r03_a_dropped_permit_gives_its_slot_to_the_longest_waiter() {
    let (probe, log, gate) = occupied(1).await;
    let permit = probe.reserve().await.unwrap();
    let mut waiting = probe.tell(Note(1));
    assert!(poll_once(&mut waiting).await.is_pending());
    drop(permit);
    assert!(
        matches!(probe.try_tell(Note(9)), Err(SendError::Full(_))),
        "the slot is promised"
    );
    waiting.await.unwrap();
    assert_eq!(finish(&probe, &log, &gate).await, [1]);
}

#[tokio::test]
async fn r04_a_permit_is_closed_with_the_mailbox() {
    let (probe, log, gate) = occupied(1).await;
    let permit = probe.reserve().await.unwrap();
    probe.drain();
    assert_eq!(permit.send(Note(1)).unwrap_err().0, Note(1));
    assert_eq!(probe.reserve().await.unwrap_err(), SendError::Closed(()));
    assert_eq!(finish(&probe, &log, &gate).await, [0_u32; 0]);
}

// ---- cancelled ----

#[tokio::test]
async fn r03_a_dropped_wait_leaves_nothing_behind() {
    let (probe, log, gate) = occupied(1).await;
    probe.try_tell(Held(1)).unwrap();
    for n in 0..1000 {
        let mut waiting = probe.tell(Note(n));
        assert!(poll_once(&mut waiting).await.is_pending());
    }
    assert_eq!(probe.stats().waiting, 0);
    gate.open();
    gate.wait_entered().await;
    probe.try_tell(Note(2)).unwrap();
    assert_eq!(finish(&probe, &log, &gate).await, [1, 2]);
}

#[tokio::test]
async fn r03_a_dropped_wait_passes_its_promised_slot_on() {
    let (probe, log, gate) = occupied(1).await;
    probe.try_tell(Held(1)).unwrap();
    let (mut first, mut second) = (Box::pin(probe.tell(Note(2))), probe.tell(Note(3)));
    assert!(poll_once(&mut first).await.is_pending());
    assert!(poll_once(&mut second).await.is_pending());
    gate.open();
    gate.wait_entered().await;
    // The first has been promised the slot, and goes without having seen it.
    drop(first);
    second.await.unwrap();
    assert_eq!(finish(&probe, &log, &gate).await, [1, 3]);
}

#[tokio::test]
async fn r03_a_revoked_message_keeps_its_slot_until_its_turn() {
    let (probe, log, gate) = occupied(1).await;
    let mut ask = probe.ask(Note(1));
    assert!(poll_once(&mut ask).await.is_pending());
    drop(ask);
    assert!(matches!(probe.try_tell(Note(2)), Err(SendError::Full(_))));
    gate.open_for_good();
    probe.tell(Note(3)).await.unwrap();
    assert_eq!(finish(&probe, &log, &gate).await, [3]);
}

// ---- fair ----

#[tokio::test]
async fn r03_a_freed_slot_goes_to_the_longest_waiter() {
    let (probe, log, gate) = occupied(1).await;
    probe.try_tell(Held(1)).unwrap();
    let mut waiting: Vec<_> = (2..=9).map(|n| probe.tell(Note(n))).collect();
    for tell in &mut waiting {
        assert!(poll_once(tell).await.is_pending());
    }
    gate.open();
    gate.wait_entered().await;
    // They are polled in the opposite order, and still go in the order of waiting.
    assert!(poll_once(&mut waiting[7]).await.is_pending());
    assert!(poll_once(&mut waiting[0]).await.is_ready());
    gate.open_for_good();
    for tell in waiting.drain(1..) {
        tell.await.unwrap();
    }
    drop(waiting);
    assert_eq!(
        finish(&probe, &log, &gate).await,
        (1..=9).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn r03_try_tell_is_full_while_someone_waits() {
    let (probe, log, gate) = occupied(1).await;
    probe.try_tell(Held(1)).unwrap();
    let mut waiting = probe.tell(Note(2));
    assert!(poll_once(&mut waiting).await.is_pending());
    gate.open();
    gate.wait_entered().await;
    assert_eq!(probe.stats().depth, 0);
    assert_eq!(
        probe.try_tell(Note(9)),
        Err(SendError::Full(Note(9))),
        "nobody overtakes the line"
    );
    waiting.await.unwrap();
    assert_eq!(finish(&probe, &log, &gate).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r02_each_sender_is_handled_in_its_own_order() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Builder::new(Probe::new(&log, &gate))
        .capacity(2)
        .spawn()
        .unwrap();
    let senders: Vec<_> = (0..8_u32)
        .map(|sender| {
            let probe = probe.clone();
            tokio::spawn(async move {
                for n in 0..50 {
                    probe.tell(Note(sender * 1000 + n)).await.unwrap();
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    probe.drain();
    let exit = probe.closed().await;
    assert_eq!((exit.account.accepted, exit.account.ok), (400, 400));
    let handled: Vec<u32> = log
        .entries()
        .iter()
        .filter_map(|entry| entry.parse().ok())
        .collect();
    for sender in 0..8 {
        let own: Vec<_> = handled
            .iter()
            .filter(|n| *n / 1000 == sender)
            .map(|n| n % 1000)
            .collect();
        assert_eq!(own, (0..50).collect::<Vec<_>>());
    }
}

// ---- draining ----

#[tokio::test]
async fn r16_drain_handles_what_was_accepted_and_closes_to_the_rest() {
    let (probe, log, gate) = occupied(2).await;
    probe.try_tell(Note(1)).unwrap();
    probe.try_tell(Note(2)).unwrap();
    let mut waiting = probe.tell(Note(3));
    let mut asking = probe.ask(Note(4));
    assert!(poll_once(&mut waiting).await.is_pending());
    assert!(poll_once(&mut asking).await.is_pending());
    probe.drain();
    assert_eq!(waiting.await, Err(SendError::Closed(Note(3))));
    assert!(matches!(asking.await, Err(AskError::Closed(Note(4)))));
    assert_eq!(probe.try_tell(Note(5)), Err(SendError::Closed(Note(5))));
    assert_eq!(finish(&probe, &log, &gate).await, [1, 2]);
}

#[tokio::test]
async fn r16_stop_gives_back_what_is_queued() {
    let (probe, log, gate) = occupied(4).await;
    probe.try_tell(Note(1)).unwrap();
    probe.try_tell(Held(2)).unwrap();
    let mut queued = probe.ask(Note(3));
    assert!(poll_once(&mut queued).await.is_pending());
    probe.stop();
    gate.open_for_good();
    assert!(matches!(queued.await, Err(AskError::Stopped(Note(3)))));
    let exit = probe.closed().await;
    assert!(exit.is_balanced(), "{exit}");
    assert_eq!((exit.account.ok, exit.account.undelivered), (1, 3));
    let mut undelivered = exit.undelivered.clone();
    undelivered.sort_unstable();
    assert!(undelivered[0].0.ends_with("Held") && undelivered[0].1 == 1);
    assert!(undelivered[1].0.ends_with("Note") && undelivered[1].1 == 2);
    assert_eq!(
        log.entries().len(),
        3,
        "started, the running handler, stopped"
    );
}

#[tokio::test]
async fn r05_stop_needs_no_room_and_goes_before_messages() {
    let (probe, log, gate) = occupied(1).await;
    probe.try_tell(Note(1)).unwrap();
    probe.stop();
    gate.open();
    let exit = probe.closed().await;
    assert_eq!(exit.account.undelivered, 1);
    assert!(!log.entries().contains(&"1".to_owned()));
}
