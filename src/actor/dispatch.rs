//! Where an asked handler runs: in the actor's task, or in its asker's.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Where the handler of an ask runs when the actor is idle and nothing waits: no message, no sender for room, and
/// nobody holds a [`Permit`](super::Permit).
///
/// Running it in the asker's own task spares two task switches, which is most of what an ask costs. The
/// actor is the same either way: one handler at a time, in the order of the messages, with its own identity,
/// panics, deadlines and counts. If the handler has to wait for something, the actor's task goes on with it.
///
/// What differs is parallelism. An asker that runs a handler does nothing else meanwhile: a task that asks
/// many actors at once runs one after the other what the actors' own tasks would run on all threads. So that others are
/// not kept waiting, a task gives way after 4 such asks in a row if other tasks of its thread make them too, and after
/// 128 if none does; an ask may therefore be pending once although the actor is idle.
///
/// A handler in its asker's task sees that task, up to the first thing that it waits for: its `tokio::task::id`, its
/// task-locals, and its `LocalSet`, in which `tokio` lets nobody `block_in_place`. Handlers that rely on one or the other
/// are for [`Queue`](Self::Queue).
///
/// Only askers on the actor's own runtime run its handlers. Which runtime a task is on is looked up anew at least once
/// in four handlers, and otherwise remembered. So a task that asks both outside and inside of another runtime's context,
/// entered by [`Handle::enter`](tokio::runtime::Handle::enter) or a wrapper like `tokio_util`'s `TokioContext`, or a task
/// of a `LocalSet` that goes from one runtime to another, may take that context along into a few handlers. If that
/// matters to them, such actors are for [`Queue`](Self::Queue). Whoever blocks on a future is looked up each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dispatch {
    /// Always in the actor's task.
    Queue,
    /// In the asker's task whenever that is possible.
    InPlace,
    /// In the asker's task as long as this actor's handlers are short: those that are measured, the second and then
    /// one in 64, take less than 2 us and do not wait for anything.
    #[default]
    Auto,
}

/// How long a handler may take to be run in its asker's task: about what two task switches cost.
const SHORT: Duration = Duration::from_micros(2);
/// One handler in this many is measured.
const SAMPLE: u8 = 64;
/// The first handler is not measured: it runs cold.
const FIRST_SAMPLE: u8 = 2;

/// What is known of how long an actor's handlers take. Written by whoever has the turn, but not with each message:
/// askers on other cores look at it.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    long: AtomicBool,
}

impl Gauge {
    /// Whether asks are to be queued.
    #[inline]
    pub(crate) fn is_long(&self) -> bool {
        self.long.load(Ordering::Relaxed)
    }

    /// The time, if the handler that starts now is to be measured. `started` counts the handlers, modulo 256.
    #[inline]
    pub(crate) fn begin(started: u8) -> Option<Instant> {
        (started % SAMPLE == FIRST_SAMPLE).then(Instant::now)
    }

    /// A handler was done at its first poll.
    #[inline]
    pub(crate) fn done(&self, begun: Option<Instant>) {
        if let Some(begun) = begun {
            self.long.store(begun.elapsed() >= SHORT, Ordering::Relaxed);
        }
    }

    /// A handler had to wait for something.
    #[inline]
    pub(crate) fn waits(&self) {
        if !self.is_long() {
            self.long.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Gauge;

    #[test]
    fn r23_the_second_handler_is_measured_and_then_one_in_64() {
        let measured: Vec<_> = (1..=200).filter(|n| Gauge::begin(*n).is_some()).collect();
        assert_eq!(measured, [2, 66, 130, 194]);
    }
}
