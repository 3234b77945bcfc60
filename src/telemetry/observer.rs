//! How long the handlers that run now have been running.

use crate::actor::{Actor, ActorId, ActorName, Handle, MailboxStats};
use crate::registry::ActorRegistry;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// Looks at actors from time to time, and knows for how long each has been at the same message.
///
/// Actors do not look at a clock when they take a message, so what an observer knows is a lower bound: the time since
/// it first saw the message being handled. Looking every second, it is off by a second at most.
///
/// ```
/// use postroom::telemetry::Observer;
/// # use postroom::registry::ActorRegistry;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let registry = ActorRegistry::builder().start().await?;
/// let mut observer = Observer::new();
/// for actor in observer.look(&registry) {
///     println!("{}: {} queued, at most {}, at this message for {:?}",
///         actor.name, actor.stats.depth, actor.stats.high_water, actor.handler_age);
/// }
/// # registry.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Observer {
    /// Of a registry, as it was at the last look.
    members: Seen,
    /// Of actors that were looked at by their handles, while they run something.
    others: Seen,
}

/// Which message was being handled, by its number, and when that was seen for the first time.
type Seen = HashMap<ActorId, (u64, Instant)>;

/// An actor at one instant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its name.
    pub name: ActorName,
    /// Its number.
    pub id: ActorId,
    /// Its mailbox, its account and its restarts.
    pub stats: MailboxStats,
    /// How long the handler that runs has been running at least; `None` if none runs.
    pub handler_age: Option<Duration>,
}

impl Observer {
    /// An observer that has seen nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at all actors of a registry, in the order of start. It remembers those of one registry at a time.
    pub fn look(&mut self, registry: &ActorRegistry) -> Vec<Snapshot> {
        let before = std::mem::take(&mut self.members);
        let members = registry.observe();
        let now = Instant::now();
        let snapshot = |(name, id, stats)| {
            let handler_age = age(&before, &mut self.members, id, &stats, now);
            Snapshot {
                name,
                id,
                stats,
                handler_age,
            }
        };
        members.into_iter().map(snapshot).collect()
    }

    /// Looks at one actor.
    pub fn look_at<A: Actor>(&mut self, actor: &Handle<A>) -> Snapshot {
        let (id, stats) = (actor.id(), actor.stats());
        let before = self.others.remove_entry(&id).into_iter().collect();
        let handler_age = age(&before, &mut self.others, id, &stats, Instant::now());
        Snapshot {
            name: actor.name().clone(),
            id,
            stats,
            handler_age,
        }
    }
}

/// How long the handler has been running, which is remembered.
fn age(
    before: &Seen,
    seen: &mut Seen,
    id: ActorId,
    stats: &MailboxStats,
    now: Instant,
) -> Option<Duration> {
    if stats.account.running == 0 {
        return None;
    }
    // How many messages have been taken: another number, another handler.
    let taken = stats.account.accepted - stats.account.queued;
    let since = match before.get(&id) {
        Some((number, since)) if *number == taken => *since,
        _ => now,
    };
    seen.insert(id, (taken, since));
    Some(now.saturating_duration_since(since))
}
