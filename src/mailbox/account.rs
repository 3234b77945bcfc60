//! The conservation equation: where every accepted message is.

use super::Level;
use std::fmt;

/// Where the messages are that an actor ever accepted.
///
/// `accepted = ok + failed + panicked + cancelled + forwarded + unanswered + expired + abandoned +
/// evicted + undelivered + queued + running` holds at every instant: all terms are read under one
/// lock. In the final report of an actor `queued` is 0, and so is `running` unless a handler never
/// yielded (see [`Exit::abandoned_handler`](crate::actor::Exit)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Account {
    /// Sends that returned `Ok`, and asks that entered the mailbox.
    pub accepted: u64,
    /// The handler returned, or the token was given, `Ok`.
    pub ok: u64,
    /// The handler returned, or the token was given, `Err`.
    pub failed: u64,
    /// The handler panicked before it had answered.
    pub panicked: u64,
    /// The handler was dropped by a kill before it had answered.
    pub cancelled: u64,
    /// The handler returned while its reply token lived on elsewhere, to answer later.
    pub forwarded: u64,
    /// The reply token was dropped without an answer.
    pub unanswered: u64,
    /// Revoked by its asker's timeout while it was still queued.
    pub expired: u64,
    /// Skipped because its asker was gone.
    pub abandoned: u64,
    /// Pushed out of a full mailbox by a later message.
    pub evicted: u64,
    /// Given back or dropped when the actor ended.
    pub undelivered: u64,
    /// Accepted, and its handler has not started.
    pub queued: u64,
    /// Its handler is running.
    pub running: u64,
}

impl Account {
    /// Messages that are neither queued nor running any more.
    #[must_use]
    pub const fn settled(&self) -> u64 {
        self.ok
            + self.failed
            + self.panicked
            + self.cancelled
            + self.forwarded
            + self.unanswered
            + self.expired
            + self.abandoned
            + self.evicted
            + self.undelivered
    }

    /// Whether every accepted message is accounted for.
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.accepted == self.settled() + self.queued + self.running
    }

    pub(super) const fn settle(&mut self, outcome: Outcome) {
        self.running -= 1;
        match outcome {
            Outcome::Ok => self.ok += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::Panicked => self.panicked += 1,
            Outcome::Cancelled => self.cancelled += 1,
            Outcome::Forwarded => self.forwarded += 1,
            Outcome::Unanswered => self.unanswered += 1,
            Outcome::Expired => self.expired += 1,
            Outcome::Abandoned => self.abandoned += 1,
            Outcome::Undelivered => self.undelivered += 1,
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} accepted", self.accepted)?;
        let terms = [
            (self.ok, "ok"),
            (self.failed, "failed"),
            (self.panicked, "panicked"),
            (self.cancelled, "cancelled"),
            (self.forwarded, "forwarded"),
            (self.unanswered, "unanswered"),
            (self.expired, "expired"),
            (self.abandoned, "abandoned"),
            (self.evicted, "evicted"),
            (self.undelivered, "undelivered"),
            (self.queued, "queued"),
            (self.running, "running"),
        ];
        let mut separator = ": ";
        for (count, name) in terms {
            if count > 0 {
                write!(f, "{separator}{count} {name}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

/// How a message that left the queue ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    Failed,
    Panicked,
    Cancelled,
    Forwarded,
    Unanswered,
    Expired,
    Abandoned,
    Undelivered,
}

/// A mailbox at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailboxStats {
    /// How many messages may wait.
    pub capacity: usize,
    /// Messages waiting now.
    pub depth: usize,
    /// The largest depth there has been.
    pub high_water: usize,
    /// Slots held by permits, and by waiting sends that were given a slot and have not used it yet.
    pub reserved: usize,
    /// Sends that wait for room.
    pub waiting: usize,
    /// What the actor has been told about its end.
    pub level: Level,
    /// How often the actor has been restarted.
    pub restarts: u64,
    /// Where every accepted message is.
    pub account: Account,
}
