//! Where a handler runs: in the actor's task, or in its sender's.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

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
/// not kept waiting, a task gives way after 4 asks of this kind in a row if other tasks of its thread make them too, and
/// after 128 if none does; an ask may therefore be pending once although the actor is idle. An ask that meets another in
/// its handler, on another thread, gives way up to 8 times before it is queued. Tells take a unit of the task's cooperative
/// budget each, wherever their handlers run.
///
/// A handler in its sender's task sees that task, up to the first thing that it waits for: its `tokio::task::id`, its
/// task-locals, and its `LocalSet`, in which `tokio` lets nobody `block_in_place`. A blocking lock that the sender holds
/// across a tell is held while the handler runs, as it would be across an ask, or while a tell waits for room. Handlers that
/// rely on one or the other are for [`Queue`](Self::Queue). So are those that are brief but for a few, if whoever tells is
/// not to run these few.
///
/// Only senders on the actor's own runtime run its handlers. Which runtime a task is on is looked up anew at least once
/// in four handlers, and otherwise remembered. So a task that sends both outside and inside of another runtime's context,
/// entered by [`Handle::enter`](tokio::runtime::Handle::enter) or a wrapper like `tokio_util`'s `TokioContext`, or a task
/// of a `LocalSet` that goes from one runtime to another, may take that context along into a few handlers. If that
/// matters to them, such actors are for [`Queue`](Self::Queue). Whoever blocks on a future is looked up each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dispatch {
    /// Always in the actor's task.
    Queue,
    /// In the sender's task whenever that is possible, for asks and for tells.
    InPlace,
    /// In the sender's task as long as this actor's handlers are short: those that are measured, the second and then
    /// four in 256, do not wait for anything and take less than 2 us for asks to run them, less than 150 ns for tells.
    /// After one that waits, or takes 300 ns, tells leave them to the actor's task until 16 brief ones were measured.
    #[default]
    Auto,
}

/// How long a handler may take to be run in its asker's task: about what two task switches cost.
const SHORT: Duration = Duration::from_micros(2);
/// How long one may take to be run in the task of who only tells: about what it costs that task to have the actor's woken.
/// A measurement itself adds 20 to 50 ns.
const BRIEF: Duration = Duration::from_nanos(150);
/// How long one has to take to speak against it: what waits for the memory of another core is not what its sender would
/// have to wait for.
const NOT_BRIEF: Duration = Duration::from_nanos(300);
/// How many brief handlers have to be measured after one that was not.
const AGAIN: u8 = 16;
/// The first handler is not measured: it runs cold.
const FIRST_SAMPLE: u8 = 2;

/// What is known of how long an actor's handlers take. Written by whoever has the turn, but not with each message:
/// senders on other cores look at it.
#[derive(Debug)]
pub(crate) struct Gauge {
    /// How many measured handlers have to be brief before told ones run in their senders' tasks, or [`LONG`].
    doubts: AtomicU8,
}

/// The last one that was measured was not even short.
const LONG: u8 = u8::MAX;

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

    /// The time, if the handler that starts now is to be measured. `started` counts the handlers, modulo 256.
    #[inline]
    pub(crate) fn begin(started: u8) -> Option<Instant> {
        is_measured(started).then(Instant::now)
    }

    /// A handler was done at its first poll.
    #[inline]
    pub(crate) fn done(&self, begun: Option<Instant>) {
        if let Some(begun) = begun {
            self.took(begun.elapsed());
        }
    }

    #[cold]
    fn took(&self, time: Duration) {
        let before = self.doubts.load(Ordering::Relaxed);
        let doubts = if time >= SHORT {
            LONG
        } else if time >= NOT_BRIEF || before == LONG {
            AGAIN
        } else if time >= BRIEF {
            before
        } else {
            before.saturating_sub(1)
        };
        if doubts != before {
            self.doubts.store(doubts, Ordering::Relaxed);
        }
    }

    /// A handler had to wait for something.
    #[inline]
    pub(crate) fn waits(&self) {
        if !self.is_long() {
            self.doubts.store(LONG, Ordering::Relaxed);
        }
    }
}

/// Four in 256, 65 or 61 apart: each the next place of any four that repeat themselves.
#[inline]
const fn is_measured(started: u8) -> bool {
    // 193 * 65 is 1, modulo 256.
    started.wrapping_sub(FIRST_SAMPLE).wrapping_mul(193) < 4
}

#[cfg(test)]
mod tests {
    use super::{AGAIN, BRIEF, Gauge, NOT_BRIEF, SHORT, is_measured};
    use std::time::Duration;

    const NONE: Duration = Duration::ZERO;

    #[test]
    fn r23_the_second_handler_is_measured_and_then_four_in_256() {
        let measured: Vec<_> = (1..=255).filter(|n| is_measured(*n)).collect();
        assert_eq!(measured, [2, 67, 132, 197]);
    }

    #[test]
    fn r23_handlers_that_repeat_themselves_are_all_measured() {
        for period in 1..=4 {
            let mut seen = vec![false; period];
            // The count goes on from 255 to 0.
            for n in 0..256 * period {
                if is_measured(u8::try_from(n % 256).unwrap()) {
                    seen[n % period] = true;
                }
            }
            assert!(seen.iter().all(|seen| *seen), "{period}: {seen:?}");
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

    #[test]
    fn r23_after_one_that_was_not_brief_many_have_to_be() {
        let waits = |gauge: &Gauge| gauge.waits();
        let takes = |gauge: &Gauge| gauge.took(NOT_BRIEF);
        let is_long = |gauge: &Gauge| gauge.took(SHORT);
        for spoil in [waits, takes, is_long] {
            let gauge = Gauge::default();
            gauge.took(NONE);
            spoil(&gauge);
            gauge.took(BRIEF);
            for _ in 0..AGAIN {
                assert!(!gauge.is_brief());
                gauge.took(NONE);
            }
            assert!(gauge.is_brief());
            gauge.took(NONE);
            assert!(gauge.is_brief() && !gauge.is_long());
        }
    }
}
