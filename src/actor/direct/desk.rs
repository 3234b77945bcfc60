//! Where the run loop of a directly called actor lies between two calls, and whose turn it is.

use crate::actor::giving_way::spend;
use crate::actor::run::Runner;
use crate::actor::shared::Shared;
use crate::actor::{Actor, Level};
use crate::mailbox::{Ticket, let_go, lock, wake};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use tokio::task::coop::poll_proceed;

/// What all clones share. When the last is dropped, the actor ends.
pub(crate) struct Desk<A: Actor> {
    pub(super) shared: Arc<Shared<A>>,
    runtime: tokio::runtime::Handle,
    place: Mutex<Place<A>>,
}

struct Place<A: Actor> {
    /// The run loop, unless somebody has the turn or the actor has ended.
    runner: Option<Box<Runner<A>>>,
    /// Of whoever has the turn and waits for its handler.
    waker: Option<Waker>,
    /// Whether something was asked of whoever has the turn, who may not have seen it.
    asked: bool,
}

impl<A: Actor> Place<A> {
    /// Has whoever has the turn look again, if anybody has it. The waker is to be called without the lock.
    fn ask(&mut self) -> Option<Waker> {
        self.asked = self.runner.is_none();
        self.waker.take()
    }
}

impl<A: Actor> Desk<A> {
    pub(super) fn new(
        shared: Arc<Shared<A>>,
        runner: Runner<A>,
        runtime: tokio::runtime::Handle,
    ) -> Arc<Self> {
        let place = Mutex::new(Place {
            runner: Some(Box::new(runner)),
            waker: None,
            asked: false,
        });
        Arc::new_cyclic(|desk| {
            shared.settle_at(desk.clone());
            Self {
                shared,
                runtime,
                place,
            }
        })
    }

    /// Makes something of the runtime that the actor is on, whatever its caller is on.
    pub(in super::super) fn at_home<T>(&self, make: impl FnOnce() -> T) -> T {
        let _inside = self.runtime.enter();
        make()
    }

    /// The level was raised: whoever has the turn looks, and if nobody has it a task does.
    #[cold]
    pub(in super::super) fn attend(&self) {
        let (runner, waker) = {
            let mut place = lock(&self.place);
            let waker = place.ask();
            (place.runner.take(), waker)
        };
        if let Some(waker) = waker {
            wake(waker);
        }
        if let Some(runner) = runner {
            // Nobody will wait for the slot any more: the mailbox is closed.
            drop(self.runtime.spawn(*runner));
        }
    }

    /// The incarnation is to end: whoever has the turn looks, and if nobody has it a task takes one.
    #[cold]
    pub(in super::super) fn attend_to_let_out(self: &Arc<Self>) {
        let (is_free, waker) = {
            let mut place = lock(&self.place);
            let waker = place.ask();
            (place.runner.is_some(), waker)
        };
        if let Some(waker) = waker {
            wake(waker);
        }
        if is_free {
            let mut ender = Ender {
                desk: Arc::clone(self),
                is_done: false,
            };
            drop(self.runtime.spawn(async move { ender.end().await }));
        }
    }

    /// Goes on until the actor can take a message (true), or has ended (false).
    fn poll_idle(&self, runner: &mut Runner<A>, cx: &mut Context<'_>) -> Poll<bool> {
        let polled = runner.poll_idle(cx);
        if polled.is_pending() {
            let waker = Some(cx.waker().clone());
            let (replaced, was_asked) = {
                let mut place = lock(&self.place);
                let replaced = std::mem::replace(&mut place.waker, waker);
                (replaced, std::mem::take(&mut place.asked))
            };
            let_go(replaced);
            if was_asked {
                // Before the waker was there, and perhaps after the run loop has looked.
                cx.waker().wake_by_ref();
            }
        }
        polled
    }

    /// A turn is over. `Err` if something is left to do.
    #[inline]
    fn put_back(self: &Arc<Self>, mut runner: Box<Runner<A>>) -> Result<(), Box<Runner<A>>> {
        if runner.has_ended() {
            self.shared.mailbox.release();
            return Ok(());
        }
        if runner.idle().is_none() {
            return Err(runner);
        }
        let waker = {
            let mut place = lock(&self.place);
            place.runner = Some(runner);
            place.asked = false;
            place.waker.take()
        };
        let_go(waker);
        self.shared.mailbox.release();
        // Whoever has asked for an end before the run loop lay on the desk did not find it there.
        if self.shared.mailbox.level() > Level::Open {
            self.attend();
        } else if self.shared.mailbox.is_let_out() {
            self.attend_to_let_out();
        }
        Ok(())
    }
}

/// Takes a turn to end an incarnation.
struct Ender<A: Actor> {
    desk: Arc<Desk<A>>,
    is_done: bool,
}

impl<A: Actor> Ender<A> {
    async fn end(&mut self) {
        let mut place = Line::new(&self.desk);
        // What is left to do is found when the turn is over.
        drop(poll_fn(|cx| place.poll(cx)).await);
        drop(place);
        self.is_done = true;
    }
}

impl<A: Actor> Drop for Ender<A> {
    fn drop(&mut self) {
        if !self.is_done {
            // The runtime is gone, and with it the actor.
            let runner = lock(&self.desk.place).runner.take();
            drop(runner);
        }
    }
}

impl<A: Actor> Drop for Desk<A> {
    fn drop(&mut self) {
        let runner = lock(&self.place).runner.take();
        if let Some(runner) = runner {
            if self.shared.mailbox.level() == Level::Open {
                self.shared.handles_dropped.store(true, Ordering::Release);
                self.shared.raise(Level::Drain);
            }
            drop(self.runtime.spawn(*runner));
        }
    }
}

/// A place in the line for the turn.
pub(super) struct Line<'a, A: Actor> {
    desk: &'a Arc<Desk<A>>,
    ticket: Option<Ticket>,
}

impl<'a, A: Actor> Line<'a, A> {
    pub(super) const fn new(desk: &'a Arc<Desk<A>>) -> Self {
        Self { desk, ticket: None }
    }

    #[cfg(debug_assertions)]
    pub(super) fn watch(&self) -> Option<crate::actor::circle::Holds> {
        Some(self.desk.shared.watch_line(self.ticket?))
    }

    /// `None` if the actor accepts nothing more.
    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Turn<'a, A>>> {
        // A caller in a loop gives way.
        let unit = ready!(poll_proceed(cx));
        let mailbox = &self.desk.shared.mailbox;
        let reserved = ready!(mailbox.poll_reserve(&mut self.ticket, cx));
        spend(unit);
        if reserved.is_err() {
            return Poll::Ready(None);
        }
        let runner = lock(&self.desk.place).runner.take();
        if runner.is_none() {
            mailbox.release();
        }
        Poll::Ready(runner.map(|runner| Turn {
            desk: self.desk,
            runner: Some(runner),
        }))
    }
}

impl<A: Actor> Drop for Line<'_, A> {
    #[inline]
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.desk.shared.mailbox.leave(ticket);
        }
    }
}

/// The right to run the actor. Dropped, it goes to the next in line, or to a task if something is left to do.
pub(super) struct Turn<'a, A: Actor> {
    desk: &'a Arc<Desk<A>>,
    /// There until it is dropped.
    runner: Option<Box<Runner<A>>>,
}

impl<A: Actor> Turn<'_, A> {
    #[inline]
    pub(super) fn runner(&mut self) -> Option<&mut Runner<A>> {
        self.runner.as_deref_mut()
    }

    pub(super) fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        match &mut self.runner {
            Some(runner) => self.desk.poll_idle(runner, cx),
            None => Poll::Ready(false),
        }
    }
}

impl<A: Actor> Drop for Turn<'_, A> {
    #[inline]
    fn drop(&mut self) {
        let left = self.runner.take().map(|runner| self.desk.put_back(runner));
        if let Some(Err(runner)) = left {
            let rest = Rest {
                desk: Arc::clone(self.desk),
                runner: Some(runner),
            };
            drop(self.desk.runtime.spawn(rest));
        }
    }
}

/// A turn whose caller has gone: a handler runs on, the actor ends, or is restarted. Should its runtime drop it, the
/// run loop's own drop ends the actor.
struct Rest<A: Actor> {
    desk: Arc<Desk<A>>,
    /// There until it is done.
    runner: Option<Box<Runner<A>>>,
}

impl<A: Actor> Future for Rest<A> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        while let Some(mut runner) = this.runner.take() {
            if this.desk.poll_idle(&mut runner, cx).is_pending() {
                this.runner = Some(runner);
                return Poll::Pending;
            }
            this.runner = this.desk.put_back(runner).err();
        }
        Poll::Ready(())
    }
}
