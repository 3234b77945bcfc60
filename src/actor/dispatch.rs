//! Where a handler runs: in the actor's task, or in its sender's.

use crate::mailbox::Hold;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};
use tokio::task::coop::has_budget_remaining;

/// Where a handler runs when the actor is idle and nothing waits: no message, no sender for room, and nobody holds a
/// [`Permit`](super::Permit).
///
/// Running it in the sender's own task spares two task switches for an ask, which is most of what an ask costs, and for a
/// tell the waking of the actor's. The actor is the same either way: one handler at a time, in the order of the messages,
/// with its own identity, panics, deadlines and counts. If the handler has to wait for something, the actor's task goes on
/// with it: a tell never waits for that.
///
/// What differs is parallelism. A sender that runs a handler does nothing else meanwhile: a task that asks
/// many actors at once runs one after the other what the actors' own tasks would run on all threads. So that others are
/// not kept waiting, a task gives way after 4 asks of this kind in a row if other tasks of its thread send so, too, and
/// after 128 if none does; an ask may therefore be pending once although the actor is idle. An ask that meets a sender
/// in a handler, on another thread, gives way up to 8 times before it is queued. Tells take a unit of the task's cooperative
/// budget each, wherever their handlers run; of those that a thread tells, about one in 1,024 is left to the actor's task,
/// and with it what is told before that has run.
///
/// A handler in its sender's task sees that task, up to the first thing that it waits for: its `tokio::task::id`, its
/// task-locals, and its `LocalSet`, in which `tokio` lets nobody `block_in_place`. A blocking lock that the sender holds
/// across a tell is held while the handler runs, as it would be across an ask, or while a tell waits for room. Handlers that
/// rely on one or the other are for [`Queue`](Self::Queue). So are those that are brief but for a few, or for a time, if
/// whoever tells is not to run these few: that a handler takes long is noticed once one is measured, which is one in 16
/// where told ones run in their senders' tasks, and at most the 24th.
///
/// Only senders on the actor's own runtime run its handlers. Which runtime a task is on is looked up anew at least once
/// in four asks and once in four tells, and otherwise remembered. So a task that sends both outside and inside of another
/// runtime's context, entered by [`Handle::enter`](tokio::runtime::Handle::enter) or a wrapper like `tokio_util`'s
/// `TokioContext`, or a task of a `LocalSet` that goes from one runtime to another, may take that context along into a
/// few handlers. If that matters to them, such actors are for [`Queue`](Self::Queue). Whoever blocks on a future is looked
/// up each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dispatch {
    /// Always in the actor's task.
    Queue,
    /// In the sender's task whenever that is possible, for asks and for tells.
    InPlace,
    /// In the sender's task as long as this actor's handlers are short: they do not wait for anything, and those that are
    /// measured, the second and then about one in 64, take less than 2 us for asks to run them, less than 150 ns for
    /// tells. After one that waits or, while tells run them, one that is measured at 300 ns, tells leave them to the
    /// actor's task until 16 brief ones were measured.
    #[default]
    Auto,
}

/// How long a handler may take to be run in its asker's task: about what two task switches cost.
const SHORT: Duration = Duration::from_micros(2);
/// How long one may take to be run in the task of who only tells: about what it costs that task to have the actor's woken.
/// A measurement itself adds 20 to 50 ns.
const BRIEF: Duration = Duration::from_nanos(150);
/// How long one has to take to speak against it, while told ones run in their senders' tasks. What takes a little less, or
/// before they do, may have waited for the memory of another core.
const NOT_BRIEF: Duration = Duration::from_nanos(300);
/// How many brief handlers have to be measured after that, or after one that was not even short.
const AGAIN: u8 = 16;
/// The last one that was measured was not even short.
const LONG: u8 = u8::MAX;

/// What is known of how long an actor's handlers take. Written by whoever has the turn, but not with each message:
/// senders on other cores look at it.
#[derive(Debug)]
pub(crate) struct Gauge {
    /// How many measured handlers have to be brief before told ones run in their senders' tasks, or [`LONG`].
    doubts: AtomicU8,
}

impl Default for Gauge {
    fn default() -> Self {
        Self {
            doubts: AtomicU8::new(1),
        }
    }
}

impl Gauge {
    /// Whether asks are to be queued.
    #[inline]
    pub(crate) fn is_long(&self) -> bool {
        self.doubts.load(Ordering::Relaxed) == LONG
    }

    /// Whether tells are not to be queued either.
    #[inline]
    pub(crate) fn is_brief(&self) -> bool {
        self.doubts.load(Ordering::Relaxed) == 0
    }

    /// A handler was done at its first poll.
    #[inline]
    pub(crate) fn done(&self, begun: Option<Instant>) {
        if let Some(begun) = begun {
            self.took(begun.elapsed());
        }
    }

    /// How long a measured handler took that was done at its first poll.
    #[cold]
    pub(crate) fn took(&self, time: Duration) {
        let before = self.doubts.load(Ordering::Relaxed);
        let doubts = match before {
            _ if time >= SHORT => LONG,
            LONG => AGAIN - u8::from(time < BRIEF),
            0 if time >= NOT_BRIEF => AGAIN,
            _ if time >= BRIEF => before,
            _ => before.saturating_sub(1),
        };
        if doubts != before {
            self.doubts.store(doubts, Ordering::Relaxed);
        }
    }

    /// A handler has to wait. Without budget it waits for that, and for nothing that it will wait for next time.
    #[inline]
    pub(crate) fn waits(&self) {
        if !self.is_long() && has_budget_remaining() {
            self.doubts.store(LONG, Ordering::Relaxed);
        }
    }
}

/// Whose task runs a handler that may be measured.
#[derive(Clone, Copy)]
pub(crate) enum Runs {
    /// The actor's own, or its asker's.
    Other = 1,
    /// That of who only tells: should it take long, the sender is to find that out soon.
    Told = 4,
}

/// The time, if the handler that starts now is to be measured: the second, and then one in 64 on average, or one in 16.
/// Not at fixed distances, so that what repeats itself is seen at all its places.
#[inline]
pub(crate) fn measure<S: Send + 'static>(hold: &mut Hold<'_, S>, runs: Runs) -> Option<Instant> {
    let mut tally = hold.tally();
    let is_measured = is_measured(&mut tally, runs);
    hold.set_tally(tally);
    is_measured.then(Instant::now)
}

/// In the tally, how far it is to the next that is measured, and the number from which the distance after that follows.
#[inline]
fn is_measured(tally: &mut u16, runs: Runs) -> bool {
    let [left, seed] = tally.to_le_bytes();
    let step = runs as u8;
    if left > step {
        *tally = u16::from_le_bytes([left - step, seed]);
        return false;
    }
    reload(tally, left, seed)
}

#[cold]
fn reload(tally: &mut u16, left: u8, seed: u8) -> bool {
    if left == 0 {
        // The first handler is not measured: it runs cold.
        *tally = u16::from_le_bytes([1, seed]);
        return false;
    }
    // A linear congruential generator that goes through all 256 numbers. These distances meet every place of what repeats
    // itself after up to 256 messages: see the test.
    let seed = seed.wrapping_mul(205).wrapping_add(57);
    *tally = u16::from_le_bytes([33 + seed % 63, seed]);
    true
}

#[cfg(test)]
mod tests {
    use super::{AGAIN, BRIEF, Gauge, NOT_BRIEF, Runs, SHORT, is_measured};
    use std::time::Duration;

    const NONE: Duration = Duration::ZERO;

    #[test]
    fn r23_the_second_handler_is_measured_and_then_one_in_64_or_in_16() {
        for (runs, most, each) in [(Runs::Other, 95, 64), (Runs::Told, 24, 16)] {
            let mut tally = 0;
            let measured = (1..=100_000).filter(|_| is_measured(&mut tally, runs));
            let measured: Vec<u32> = measured.collect();
            assert_eq!(measured[0], 2);
            let distances = measured.windows(2).map(|two| two[1] - two[0]);
            assert!(distances.max().unwrap() <= most);
            let count = u32::try_from(measured.len()).unwrap();
            assert!((100_000 / count).abs_diff(each) <= 1, "{count}");
        }
    }

    #[test]
    fn r23_handlers_that_repeat_themselves_are_all_measured() {
        for runs in [Runs::Other, Runs::Told] {
            for period in 1..=256 {
                let mut seen = vec![false; period];
                let mut tally = 0;
                for n in 0..period * 1_000 {
                    if is_measured(&mut tally, runs) {
                        seen[n % period] = true;
                    }
                }
                assert!(seen.iter().all(|seen| *seen), "one in {period}");
            }
        }
    }

    #[test]
    fn r23_tells_are_queued_until_a_handler_was_brief_and_asks_until_one_was_long() {
        let gauge = Gauge::default();
        assert!(!gauge.is_brief() && !gauge.is_long());
        gauge.took(NONE);
        assert!(gauge.is_brief() && !gauge.is_long());
        gauge.took(NOT_BRIEF);
        assert!(!gauge.is_brief() && !gauge.is_long());
        gauge.took(SHORT);
        assert!(!gauge.is_brief() && gauge.is_long());
        gauge.took(BRIEF);
        assert!(!gauge.is_long(), "asks believe the last");
    }

    #[test]
    fn r23_a_time_in_between_changes_nothing_for_tells() {
        let gauge = Gauge::default();
        gauge.took(BRIEF);
        assert!(!gauge.is_brief());
        gauge.took(NONE);
        gauge.took(BRIEF);
        assert!(gauge.is_brief());
    }

    /// How many brief handlers it takes until tells are not queued.
    fn needed(gauge: &Gauge) -> u8 {
        let mut needed = 0;
        while !gauge.is_brief() {
            gauge.took(NONE);
            needed += 1;
        }
        needed
    }

    #[test]
    fn r23_after_one_that_was_not_brief_many_have_to_be() {
        let waits = |gauge: &Gauge| gauge.waits();
        let takes = |gauge: &Gauge| gauge.took(NOT_BRIEF);
        let is_long = |gauge: &Gauge| gauge.took(SHORT);
        for spoil in [waits, takes, is_long] {
            let gauge = Gauge::default();
            gauge.took(NONE);
            spoil(&gauge);
            assert_eq!(needed(&gauge), AGAIN);
            assert!(!gauge.is_long());
        }
        let fresh = Gauge::default();
        fresh.took(NOT_BRIEF);
        assert_eq!(needed(&fresh), 1, "it may have run cold");
    }
}
