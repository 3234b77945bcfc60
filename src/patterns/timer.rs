//! Messages that an actor is told later, or again and again.
//!
//! A timer neither floods nor keeps an actor alive: it holds a weak handle, a tick that finds the mailbox full
//! is skipped, and missed ticks are not made up for. It ends with the actor, or when the [`Timer`] is dropped.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::task::AbortOnDropHandle;

use crate::actor::{Message, Receive, SendError, WeakHandle};

/// Owns a timer; dropping it ends the timer.
#[derive(Debug)]
#[must_use = "a timer ends when this is dropped"]
pub struct Timer {
    _task: AbortOnDropHandle<()>,
}

/// Tells `actor` the message once, `delay` from now.
///
/// # Panics
///
/// Outside a tokio runtime.
pub fn once<A, M>(
    actor: WeakHandle<A>,
    delay: Duration,
    message: impl FnOnce() -> M + Send + 'static,
) -> Timer
where
    A: Receive<M>,
    M: Message,
{
    spawn(async move {
        tokio::time::sleep(delay).await;
        tick(&actor, message());
    })
}

/// Tells `actor` a message every `period`, the first one `period` from now.
///
/// # Panics
///
/// Outside a tokio runtime, or if `period` is zero.
pub fn interval<A, M>(
    actor: WeakHandle<A>,
    period: Duration,
    mut message: impl FnMut() -> M + Send + 'static,
) -> Timer
where
    A: Receive<M>,
    M: Message,
{
    let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    spawn(async move {
        loop {
            ticks.tick().await;
            if !tick(&actor, message()) {
                return;
            }
        }
    })
}

fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Timer {
    Timer {
        _task: AbortOnDropHandle::new(tokio::spawn(task)),
    }
}

/// Returns whether the actor may take another message later.
fn tick<A, M>(actor: &WeakHandle<A>, message: M) -> bool
where
    A: Receive<M>,
    M: Message,
{
    match actor.upgrade() {
        None => false,
        Some(actor) => !matches!(actor.try_tell(message), Err(SendError::Closed(_))),
    }
}
