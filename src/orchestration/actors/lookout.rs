//! When an event actor looks at the database: when a hint says so, and otherwise now and then, the more rarely the
//! longer there was nothing to see.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::actor::{Actor, Message, Receive, SendError, WeakHandle};
use crate::orchestration::context::SystemContext;
use crate::orchestration::store::Hints;
use crate::patterns::timer::{self, Timer};

/// Tells an actor of every hint, until the actor accepts nothing more or this is dropped.
pub(super) fn listen<A, M>(
    actor: WeakHandle<A>,
    mut hints: Hints,
    message: fn() -> M,
) -> AbortOnDropHandle<()>
where
    A: Receive<M>,
    M: Message,
{
    /// However many hints there are, the database is not asked more often.
    const LEAST: Duration = Duration::from_millis(2);
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            hints.next().await;
            let Some(told) = actor.upgrade().map(|actor| actor.try_tell(message())) else {
                return;
            };
            if matches!(told, Err(SendError::Closed(_))) {
                return;
            }
            // A full mailbox holds enough of them.
            sleep(LEAST).await;
        }
    }))
}

/// Whether the database has nothing to do for anybody. Asking is one statement, where a claim and a sweep are a
/// transaction each. If it cannot be told, it is not quiet.
pub(super) async fn is_quiet(context: &SystemContext) -> bool {
    let counted = context.store().census().await;
    counted.is_ok_and(|census| census.is_quiet())
}

/// The fallback: one look after another, with pauses that double while there is nothing to see.
#[derive(Debug)]
pub(super) struct Poller {
    shortest: Duration,
    longest: Duration,
    /// However long looks take, no pause is longer.
    most: Duration,
    /// So long the last look took.
    took: Duration,
    pause: Duration,
    next: Option<Timer>,
}

impl Poller {
    /// A pause is at least this many times as long as the look before it.
    const SHARE: u32 = 10;

    /// Pauses grow from the shortest to the longest while there is nothing to see.
    pub(super) fn new(shortest: Duration, longest: Duration) -> Self {
        let longest = longest.max(shortest);
        Self {
            shortest,
            longest,
            most: longest,
            took: Duration::ZERO,
            pause: shortest,
            next: None,
        }
    }

    /// And up to the most where looks take long.
    pub(super) fn slowing_down_to(mut self, most: Duration) -> Self {
        self.most = self.most.max(most);
        self
    }

    /// Whether the last looks have found nothing.
    pub(super) fn rests(&self) -> bool {
        self.pause == self.longest && self.longest > self.shortest
    }

    /// After a look that has found something, or nothing: has the actor told when to look again. The longer looks take,
    /// as they do where dead rows are in their way, the more rarely too.
    pub(super) fn pause<A, M>(
        &mut self,
        actor: WeakHandle<A>,
        quiet: bool,
        took: Duration,
        message: fn() -> M,
    ) where
        A: Actor + Receive<M>,
        M: Message,
    {
        let pause = self.after(quiet, took);
        self.next = Some(timer::once(actor, pause, message));
    }

    fn after(&mut self, quiet: bool, took: Duration) -> Duration {
        self.pause = if quiet {
            (self.pause * 2).min(self.longest)
        } else {
            self.shortest
        };
        // One alone may have waited for a server that was away.
        let usual = took.min(std::mem::replace(&mut self.took, took));
        self.pause.max((usual * Self::SHARE).min(self.most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_while_nothing_is_seen_and_grow_with_what_looks_take() {
        let mut poller = Poller::new(SECOND, 5 * SECOND).slowing_down_to(15 * SECOND);
        let quiet: Vec<_> = (0..4).map(|_| poller.after(true, Duration::ZERO)).collect();
        assert_eq!(quiet, [2 * SECOND, 4 * SECOND, 5 * SECOND, 5 * SECOND]);
        assert!(poller.rests());
        assert_eq!(poller.after(false, SECOND), SECOND, "one that was slow");
        assert!(!poller.rests());
        assert_eq!(poller.after(false, 2 * SECOND), 10 * SECOND, "two");
        assert_eq!(poller.after(false, 2 * SECOND), 15 * SECOND, "the most");
        assert_eq!(poller.after(false, Duration::ZERO), SECOND);
    }
}
