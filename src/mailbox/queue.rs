//! The queue: capacity, order and control in one place.
//!
//! One mutex guards everything, is held for a few instructions, never across an await, and never
//! while user code runs: wakers are called after it is released. Two rules make the rest follow:
//!
//! - `queue.len() + reserved <= capacity`, where `reserved` are slots promised to someone;
//! - whoever frees a slot promises it to the longest waiter in the same critical section, so as long
//!   as anyone waits no slot is free, and nobody can overtake the line.

use super::waiting::Line;
use super::{Account, Level, MailboxStats, Outcome, Ticket, lock, renew};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};

/// Why an envelope was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Every slot is taken, or someone waits for one.
    Full,
    /// The mailbox accepts nothing more.
    Closed,
}

/// What the receiver has to do next.
#[derive(Debug)]
pub(crate) enum Next<T> {
    /// Handle this one. It counts as running until it is settled.
    Message(T),
    /// The level is `Stop` or `Kill`.
    Stop,
    /// The mailbox is closed and empty.
    Drained,
}

/// A bounded queue of envelopes with its control state and its account.
pub(crate) struct Mailbox<T> {
    state: Mutex<State<T>>,
    /// Raised under the lock, read without it: a running handler looks at it at every poll.
    level: AtomicU8,
}

struct State<T> {
    queue: VecDeque<T>,
    capacity: usize,
    reserved: usize,
    line: Line,
    closed: bool,
    /// The receiving task; it stays registered while a handler runs, for control alone.
    receiver: Option<Waker>,
    /// Whether the receiver waits for a message too.
    idle: bool,
    account: Account,
    high_water: usize,
}

impl<T> Mailbox<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                capacity,
                reserved: 0,
                line: Line::default(),
                closed: false,
                receiver: None,
                idle: false,
                account: Account::default(),
                high_water: 0,
            }),
            level: AtomicU8::new(Level::Open.as_u8()),
        }
    }

    /// Changes the capacity. Only before the actor starts, when nobody can be waiting for long.
    pub(crate) fn set_capacity(&self, capacity: usize) {
        let mut state = lock(&self.state);
        state.capacity = capacity;
        let mut granted = Vec::new();
        while state.has_slot() && !state.line.is_empty() {
            granted.extend(state.promise());
        }
        drop(state);
        wake_all(granted);
    }

    /// Accepts an envelope if a slot is free and nobody waits for one.
    pub(crate) fn try_push(&self, envelope: T) -> Result<(), (T, Refused)> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err((envelope, Refused::Closed));
        }
        if !state.has_room() {
            return Err((envelope, Refused::Full));
        }
        let wake = state.push(envelope);
        drop(state);
        wake_all(wake);
        Ok(())
    }

    /// Waits in line for a slot, which then belongs to the caller until [`push_reserved`] or
    /// [`release`]. A caller that gives up while `ticket` is set calls [`leave`].
    ///
    /// [`push_reserved`]: Self::push_reserved
    /// [`release`]: Self::release
    /// [`leave`]: Self::leave
    pub(crate) fn poll_reserve(
        &self,
        ticket: &mut Option<Ticket>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), Refused>> {
        // Declared before the lock is taken, so that it is dropped after.
        let mut replaced = None;
        let mut state = lock(&self.state);
        if state.closed {
            // Closing dissolved the line and every promise with it.
            *ticket = None;
            return Poll::Ready(Err(Refused::Closed));
        }
        match *ticket {
            None if state.has_room() => {
                state.reserved += 1;
                Poll::Ready(Ok(()))
            }
            None => {
                *ticket = Some(state.line.join(cx));
                Poll::Pending
            }
            Some(mine) if state.line.still_waits(mine, cx, &mut replaced) => Poll::Pending,
            Some(_) => {
                *ticket = None;
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Fills a slot that was reserved; refused if the mailbox has closed since.
    pub(crate) fn push_reserved(&self, envelope: T) -> Result<(), T> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(envelope);
        }
        state.reserved -= 1;
        let wake = state.push(envelope);
        drop(state);
        wake_all(wake);
        Ok(())
    }

    /// Gives a reserved slot back, to the longest waiter if there is one.
    pub(crate) fn release(&self) {
        let mut state = lock(&self.state);
        if state.closed {
            return;
        }
        state.reserved -= 1;
        let wake = state.promise();
        drop(state);
        wake_all(wake);
    }

    /// Gives up waiting, whether or not a slot was promised meanwhile.
    pub(crate) fn leave(&self, ticket: Ticket) {
        let mut replaced = None;
        let promised = {
            let mut state = lock(&self.state);
            !state.closed && !state.line.leave(ticket, &mut replaced)
        };
        if promised {
            self.release();
        }
    }

    /// What to do next: control goes before messages.
    pub(crate) fn poll_next(&self, cx: &Context<'_>) -> Poll<Next<T>> {
        let _replaced;
        let mut state = lock(&self.state);
        if self.level() >= Level::Stop {
            return Poll::Ready(Next::Stop);
        }
        match state.pop() {
            Some((envelope, granted)) => {
                drop(state);
                wake_all(granted);
                Poll::Ready(Next::Message(envelope))
            }
            None if state.closed => Poll::Ready(Next::Drained),
            None => {
                _replaced = renew(&mut state.receiver, cx);
                state.idle = true;
                Poll::Pending
            }
        }
    }

    /// Takes the head of the queue if it is of the wanted kind, as part of the batch being formed.
    pub(crate) fn pop_if(&self, wanted: impl FnOnce(&T) -> bool) -> Option<T> {
        let mut state = lock(&self.state);
        if !state.queue.front().is_some_and(wanted) {
            return None;
        }
        let (envelope, granted) = state.pop()?;
        drop(state);
        wake_all(granted);
        Some(envelope)
    }

    /// Takes the head of the queue whatever the level: for giving back what will not be handled.
    pub(crate) fn pop(&self) -> Option<T> {
        self.pop_if(|_| true)
    }

    /// Has the receiving task woken when the level rises, and returns the level as it is now.
    pub(crate) fn watch_level(&self, cx: &Context<'_>) -> Level {
        let _replaced;
        let mut state = lock(&self.state);
        _replaced = renew(&mut state.receiver, cx);
        state.idle = false;
        self.level()
    }

    /// The level now.
    pub(crate) fn level(&self) -> Level {
        Level::from_u8(self.level.load(Ordering::Acquire))
    }

    /// Raises the level and closes the mailbox; false if it was there already.
    pub(crate) fn raise(&self, level: Level) -> bool {
        let mut state = lock(&self.state);
        if self.level() >= level {
            return false;
        }
        self.level.store(level.as_u8(), Ordering::Release);
        let mut wakers = state.close();
        wakers.extend(state.receiver.clone());
        state.idle = false;
        drop(state);
        wake_all(wakers);
        true
    }

    /// Accepts nothing more: waiting sends and unused permits end with `Closed`.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        let wakers = state.close();
        drop(state);
        wake_all(wakers);
    }

    /// Records how a message that was running ended.
    pub(crate) fn settle(&self, outcome: Outcome) {
        lock(&self.state).account.settle(outcome);
    }

    /// Where every message is, all read at one instant.
    pub(crate) fn account(&self) -> Account {
        lock(&self.state).account()
    }

    /// The mailbox at this instant.
    pub(crate) fn stats(&self, restarts: u64) -> MailboxStats {
        let state = lock(&self.state);
        MailboxStats {
            capacity: state.capacity,
            depth: state.queue.len(),
            high_water: state.high_water,
            reserved: state.reserved,
            waiting: state.line.len(),
            level: self.level(),
            restarts,
            account: state.account(),
        }
    }
}

impl<T> State<T> {
    fn has_slot(&self) -> bool {
        self.queue.len() + self.reserved < self.capacity
    }

    fn has_room(&self) -> bool {
        self.has_slot() && self.line.is_empty()
    }

    fn push(&mut self, envelope: T) -> Option<Waker> {
        self.queue.push_back(envelope);
        self.account.accepted += 1;
        self.high_water = self.high_water.max(self.queue.len());
        if std::mem::take(&mut self.idle) {
            self.receiver.clone()
        } else {
            None
        }
    }

    fn pop(&mut self) -> Option<(T, Option<Waker>)> {
        let envelope = self.queue.pop_front()?;
        self.account.running += 1;
        Some((envelope, self.promise()))
    }

    /// Promises a free slot to the longest waiter, if there is one.
    fn promise(&mut self) -> Option<Waker> {
        if !self.has_slot() {
            return None;
        }
        let waker = self.line.grant()?;
        self.reserved += 1;
        Some(waker)
    }

    /// Whoever waits is woken and finds the mailbox closed; promises are void.
    fn close(&mut self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        if !std::mem::replace(&mut self.closed, true) {
            self.reserved = 0;
            while let Some(waker) = self.line.grant() {
                wakers.push(waker);
            }
        }
        wakers
    }

    fn account(&self) -> Account {
        Account {
            queued: self.queue.len() as u64,
            ..self.account
        }
    }
}

fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}
