//! Messages that an actor is told later, or again and again.
//!
//! A timer neither floods an actor nor keeps it alive. It holds a weak handle. It makes a message only when
//! its time has come and the actor can take it: a tick is skipped while the one before it is still queued, or
//! while the mailbox is full, and ticks that were missed are not made up for. It ends with the actor, or when
//! the [`Timer`] is dropped.
//!
//! ```
//! use postroom::actor::{Actor, Context, Handler, Message};
//! use postroom::patterns::timer::{self, Timer};
//! use std::{convert::Infallible, time::Duration};
//!
//! #[derive(Default)]
//! struct Cache {
//!     sweeps: Option<Timer>,
//! }
//!
//! struct Sweep;
//! impl Message for Sweep {
//!     type Response = ();
//!     type Error = Infallible;
//! }
//!
//! impl Actor for Cache {
//!     type Error = Infallible;
//!
//!     async fn started(&mut self, ctx: &Context<Self>) -> Result<(), Infallible> {
//!         self.sweeps = Some(timer::interval(ctx.weak(), Duration::from_secs(60), || Sweep));
//!         Ok(())
//!     }
//! }
//!
//! impl Handler<Sweep> for Cache {
//!     async fn handle(&mut self, _: Sweep, _: &Context<Self>) -> Result<(), Infallible> {
//!         Ok(())
//!     }
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # Cache::default().spawn().ready().await.unwrap();
//! # }
//! ```

use crate::actor::{Actor, Level, Message, Receive, Told, WeakHandle};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::task::AbortOnDropHandle;

/// The longest period, about 30 years: what is longer, a clock may not be able to add to the time that it shows.
const LONGEST: Duration = Duration::from_hours(30 * 365 * 24);

/// Owns a timer. Dropping it ends the timer; a message that it has sent already stays sent.
#[derive(Debug)]
#[must_use = "a timer ends when this is dropped"]
pub struct Timer {
    task: AbortOnDropHandle<()>,
}

impl Timer {
    /// Whether it will send nothing more: it has sent its one message, or its actor accepts none.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Lets it go on without an owner: it then ends with its actor alone.
    pub fn detach(self) {
        drop(self.task.detach());
    }
}

/// Tells `actor` the message once, `delay` from now. If the mailbox is full then, the message waits for room in
/// line with others.
///
/// # Panics
/// Outside a tokio runtime with a clock.
pub fn once<A, M>(
    actor: WeakHandle<A>,
    delay: Duration,
    message: impl FnOnce() -> M + Send + 'static,
) -> Timer
where
    A: Receive<M>,
    M: Message,
{
    let elapsed = tokio::time::sleep(delay);
    spawn(while_it_lives(actor.clone(), async move {
        elapsed.await;
        let Some(actor) = actor.upgrade() else { return };
        let recipient = actor.recipient::<M>();
        drop(actor);
        // A send that waits keeps its actor alive, as any other. An end of the actor makes it an error, and
        // there is nobody to tell.
        let _ = recipient.tell(message()).await;
    }))
}

/// Tells `actor` a message every `period`, the first one `period` from now.
///
/// # Panics
/// Outside a tokio runtime with a clock, or if `period` is zero.
pub fn interval<A, M>(
    actor: WeakHandle<A>,
    period: Duration,
    mut message: impl FnMut() -> M + Send + 'static,
) -> Timer
where
    A: Receive<M>,
    M: Message,
{
    assert!(!period.is_zero(), "the period of a timer is zero");
    let period = period.min(LONGEST);
    let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    spawn(while_it_lives(actor.clone(), async move {
        // How many messages the actor had accepted when it had accepted the last tick.
        let mut last = 0;
        loop {
            ticks.tick().await;
            let Some(actor) = actor.upgrade() else { return };
            let stats = actor.stats();
            if stats.level > Level::Open {
                return;
            }
            // Messages leave the queue in the order in which they were accepted.
            let left_the_queue = stats.account.accepted - stats.account.queued;
            if left_the_queue < last || stats.depth >= stats.capacity {
                continue;
            }
            if matches!(actor.try_tell(message()), Ok(Told::Accepted)) {
                last = actor.stats().account.accepted;
            }
        }
    }))
}

fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Timer {
    Timer {
        task: AbortOnDropHandle::new(tokio::spawn(task)),
    }
}

/// Drops `work` as soon as the actor has ended.
async fn while_it_lives<A: Actor>(actor: WeakHandle<A>, work: impl Future<Output = ()> + Send) {
    let Some(ended) = actor.upgrade().map(|actor| actor.closed()) else {
        return;
    };
    tokio::select! {
        biased;
        _ = ended => {}
        () = work => {}
    }
}
