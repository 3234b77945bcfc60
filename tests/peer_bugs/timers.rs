//! Bugs 36 and 37: timers that keep an actor alive, or flood it.

use crate::common::{Gate, Held, Log, Note, Probe, occupy};
use postroom::actor::{Actor, Builder, StopReason};
use postroom::patterns::timer;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn b36_a_timer_neither_keeps_its_actor_alive_nor_outlives_it() {
    let made = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&made);
    let probe = Probe::default().spawn();
    let _interval = timer::interval(probe.downgrade(), SECOND, move || {
        Note(count.fetch_add(1, Ordering::Relaxed))
    });
    let _once = timer::once(probe.downgrade(), SECOND * 100, || Note(0));
    tokio::time::sleep(SECOND * 5 / 2).await;
    assert_eq!(probe.stats().account.accepted, 2);
    let closed = probe.closed();
    drop(probe);
    let exit = closed.await;
    assert!(matches!(exit.reason, StopReason::HandlesDropped));
    tokio::time::sleep(SECOND * 10).await;
    assert_eq!(
        made.load(Ordering::Relaxed),
        2,
        "it makes no message for nobody"
    );
}

#[tokio::test(start_paused = true)]
async fn b37_an_interval_does_not_flood_a_slow_actor() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Builder::new(Probe::new(&log, &gate)).spawn().unwrap();
    occupy(&probe, &gate).await;
    let _interval = timer::interval(probe.downgrade(), SECOND, || Held(1));
    tokio::time::sleep(SECOND * 1000).await;
    assert_eq!(
        probe.stats().depth,
        1,
        "one tick waits, and the others were skipped"
    );
    gate.open();
    gate.wait_entered().await;
    tokio::time::sleep(SECOND * 1000).await;
    assert_eq!(probe.stats().depth, 1);
}

#[tokio::test(start_paused = true)]
async fn b37_ticks_that_find_no_room_are_skipped_and_a_single_message_waits() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Builder::new(Probe::new(&log, &gate))
        .capacity(1)
        .spawn()
        .unwrap();
    occupy(&probe, &gate).await;
    probe.tell(Note(1)).await.unwrap();
    let made = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&made);
    let interval = timer::interval(probe.downgrade(), SECOND, move || {
        Note(100 + count.fetch_add(1, Ordering::Relaxed))
    });
    let once = timer::once(probe.downgrade(), SECOND, || Note(2));
    tokio::time::sleep(SECOND * 9 / 2).await;
    assert_eq!(
        (made.load(Ordering::Relaxed), probe.stats().waiting),
        (0, 1)
    );
    assert!(!once.is_finished());
    gate.open();
    tokio::time::sleep(SECOND).await;
    assert!(once.is_finished() && !interval.is_finished());
    drop(interval);
    tokio::time::sleep(SECOND * 10).await;
    probe.stop();
    probe.closed().await;
    assert_eq!(log.entries()[1..5], ["0", "1", "2", "100"]);
    assert_eq!(
        log.entries().len(),
        6,
        "the interval ended when it was dropped"
    );
}

#[tokio::test(start_paused = true)]
async fn b36_timers_end_at_once_with_their_actor() {
    let probe = Probe::default().spawn();
    let hour = Duration::from_hours(1);
    let timers = [
        timer::interval(probe.downgrade(), hour, || Note(1)),
        timer::once(probe.downgrade(), hour, || Note(1)),
    ];
    probe.stop();
    probe.closed().await;
    let before = tokio::time::Instant::now();
    while !timers.iter().all(timer::Timer::is_finished) {
        tokio::task::yield_now().await;
    }
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn b36_no_period_is_too_long() {
    let probe = Probe::default().spawn();
    let timers = [
        timer::interval(probe.downgrade(), Duration::MAX, || Note(1)),
        timer::once(probe.downgrade(), Duration::MAX, || Note(1)),
    ];
    tokio::time::sleep(SECOND).await;
    assert!(!timers.iter().any(timer::Timer::is_finished));
    drop(timers);
    assert_eq!(probe.stats().account.accepted, 0);
}
