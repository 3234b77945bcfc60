//! The conservation equation: where every accepted message is.

use super::Level;
use super::cell::Revocation;
use super::outlet::Outlet;
use super::slots::{Look, Slots};
use super::sync::{AtomicU64, Late, Ordering};
use std::fmt;

/// Where the messages are that an actor ever accepted.
///
/// `accepted = ok + failed + panicked + cancelled + forwarded + unanswered + expired + abandoned +
/// evicted + undelivered + queued + running` holds for every account that is read, and its terms are those of one
/// instant. In the final report of an actor `queued` is 0, and so
/// is `running` unless a handler never yielded (see
/// [`Exit::abandoned_handler`](crate::actor::Exit)).
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
    Evicted,
    Undelivered,
}

impl From<Revocation> for Outcome {
    fn from(revocation: Revocation) -> Self {
        match revocation {
            Revocation::Expired => Self::Expired,
            Revocation::Abandoned => Self::Abandoned,
        }
    }
}

/// How often an account is read before it is taken as it is.
const MAX_READS: u32 = 10_000;

/// How many outcomes there are besides `Ok`.
const OTHERS: usize = 9;

/// What has become of messages. Counters only rise.
///
/// The holder of the turn alone writes `in_place` and `ok`, so they cost it no locked instruction;
/// the others are rare, or written by anybody, and have a place of their own when the first of them is needed.
#[derive(Debug, Default)]
pub(super) struct Counters {
    in_place: AtomicU64,
    ok: AtomicU64,
    rare: Late<Rare>,
}

#[derive(Debug, Default)]
struct Rare {
    /// Answered `Ok` by a token, wherever that was.
    ok: AtomicU64,
    others: [AtomicU64; OTHERS],
    /// Accepted in the place of another.
    replaced: AtomicU64,
    /// Never accepted, and dropped.
    dropped: AtomicU64,
}

impl Rare {
    #[cold]
    fn add_to(&self, account: &mut Account) {
        let other = |outcome: Outcome| self.others[outcome as usize - 1].load(Ordering::Acquire);
        account.ok += self.ok.load(Ordering::Acquire);
        account.failed = other(Outcome::Failed);
        account.panicked = other(Outcome::Panicked);
        account.cancelled = other(Outcome::Cancelled);
        account.forwarded = other(Outcome::Forwarded);
        account.unanswered = other(Outcome::Unanswered);
        account.expired = other(Outcome::Expired);
        account.abandoned = other(Outcome::Abandoned);
        account.evicted = other(Outcome::Evicted);
        account.undelivered = other(Outcome::Undelivered);
    }
}

fn add_alone(counter: &AtomicU64) {
    let n = counter.load(Ordering::Relaxed);
    counter.store(n + 1, Ordering::Release);
}

impl Counters {
    /// A message is handled that never was in the queue. Only the holder of the turn says so.
    #[inline]
    pub(super) fn begin_in_place(&self) {
        add_alone(&self.in_place);
    }

    /// A message ended well. Only the holder of the turn says so.
    #[inline]
    pub(super) fn ok(&self) {
        add_alone(&self.ok);
    }

    /// A message ended. Anybody may say so.
    pub(super) fn settle(&self, outcome: Outcome) {
        let rare = self.rare.make();
        let counter = match outcome {
            Outcome::Ok => &rare.ok,
            other => &rare.others[other as usize - 1],
        };
        counter.fetch_add(1, Ordering::AcqRel);
    }

    /// A message was accepted in the place of one that has ended so. Both at once, or a final report might fall in
    /// between: said by whoever keeps the mailbox from being closed meanwhile.
    pub(super) fn replaced(&self, outcome: Outcome) {
        self.rare.make().replaced.fetch_add(1, Ordering::AcqRel);
        self.settle(outcome);
    }

    /// A message was dropped that was not accepted. Anybody may say so.
    pub(super) fn dropped(&self) {
        self.rare.make().dropped.fetch_add(1, Ordering::AcqRel);
    }

    /// How many messages were dropped that were not accepted.
    pub(super) fn all_dropped(&self) -> u64 {
        self.rare
            .get()
            .map_or(0, |rare| rare.dropped.load(Ordering::Acquire))
    }

    /// Everything at one instant: read again and again until nothing has changed meanwhile. If that does not
    /// happen for very long, what was read last.
    #[inline]
    pub(super) fn account(&self, slots: &Slots, outlet: &Outlet) -> (Account, Look) {
        self.all_ok(slots, outlet)
            .unwrap_or_else(|| self.read_twice(slots, outlet))
    }

    /// Everything, if all messages that were ever accepted have ended well and did nothing rare.
    #[inline]
    fn all_ok(&self, slots: &Slots, outlet: &Outlet) -> Option<(Account, Look)> {
        let ok = self.ok.load(Ordering::Acquire);
        // After `ok`: whoever made room for a message that has ended well by evicting another is seen here.
        if self.rare.get().is_some() {
            return None;
        }
        let in_place = self.in_place.load(Ordering::Acquire);
        let (left, look) = outlet.left(slots);
        let accepted = look.accepted(left) + in_place;
        // As in `read_twice`: then no other count had begun to rise.
        let account = Account {
            accepted,
            ok,
            ..Account::default()
        };
        (accepted == ok).then_some((account, look))
    }

    #[inline(never)]
    fn read_twice(&self, slots: &Slots, outlet: &Outlet) -> (Account, Look) {
        let mut last = self.read(slots, outlet);
        // Counts only rise, and what was accepted was read last: if as many were settled, no count had changed by then.
        if last.0.accepted == last.0.settled() {
            return last;
        }
        for _ in 0..MAX_READS {
            let now = self.read(slots, outlet);
            if now == last {
                break;
            }
            last = now;
        }
        last
    }

    /// Everything, read from the end of a message's way to its beginning.
    fn read(&self, slots: &Slots, outlet: &Outlet) -> (Account, Look) {
        let mut account = Account {
            ok: self.ok.load(Ordering::Acquire),
            ..Account::default()
        };
        let rare = self.rare.get();
        if let Some(rare) = rare {
            rare.add_to(&mut account);
        }
        // Neither of these was counted as one that was sent, and has left the queue.
        let others = self.in_place.load(Ordering::Acquire)
            + rare.map_or(0, |rare| rare.replaced.load(Ordering::Acquire));
        let (left, look) = outlet.left(slots);
        let accepted = look.accepted(left);
        account.accepted = accepted + others;
        account.queued = accepted - left;
        account.running = (left + others).saturating_sub(account.settled());
        (account, look)
    }
}

/// A mailbox at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailboxStats {
    /// How many messages may wait.
    pub capacity: usize,
    /// Messages waiting now.
    pub depth: usize,
    /// The most slots that were ever taken at once, by messages and permits together: or one more, if a message left just
    /// as the last of them was taken. Never more than the capacity, also of a [`Slot`](crate::registry::Slot) that had more
    /// room before it was filled.
    pub high_water: usize,
    /// Slots held by permits, and by waiting sends that were given a slot and have not used it yet.
    pub reserved: usize,
    /// Sends that wait for room.
    pub waiting: usize,
    /// What the actor has been told about its end.
    pub level: Level,
    /// How often the actor has been restarted.
    pub restarts: u64,
    /// Told messages that were never accepted, because the mailbox was full and drops its newest.
    pub dropped: u64,
    /// Where every accepted message is.
    pub account: Account,
}
