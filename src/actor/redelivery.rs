//! A message whose handler panicked, handled once more by the next incarnation.

use super::guard::panic_text;
use super::handling::{One, To};
use super::reply::Answer;
use super::resident::{Left, Resident};
use super::{Actor, Message, Receive};
use crate::mailbox::{Ending, Hold, Mailbox, Outcome, Run, Start, Verdict, lock};
use pin_project_lite::pin_project;
use std::any::type_name;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::time::Instant;

/// How often a message is handled again after a panic of its handler; see [`Message::REDELIVERY`].
#[derive(Clone, Copy)]
pub struct Redelivery<M> {
    times: u32,
    copy: Option<fn(&M) -> M>,
}

impl<M> Redelivery<M> {
    /// Never: the message that panicked is consumed.
    pub const NEVER: Self = Self {
        times: 0,
        copy: None,
    };

    /// At most so many times, each by another incarnation. The message is cloned before it is handled.
    #[must_use]
    pub const fn up_to(times: u32) -> Self
    where
        M: Clone,
    {
        Self {
            times,
            copy: Some(M::clone),
        }
    }

    pub(super) const fn is_wanted(&self) -> bool {
        self.copy.is_some() && self.times > 0
    }
}

impl<M> fmt::Debug for Redelivery<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redelivery({})", self.times)
    }
}

/// A message that waits for the next incarnation. It counts as running.
pub(crate) trait Kept<A: Actor>: Send {
    /// Has it handled, unless its asker has gone.
    fn start(self: Box<Self>, hold: &mut Hold<'_, Resident<A>>);
    /// There is no next incarnation: it counts as panicked, and so its asker is told.
    fn give_up(self: Box<Self>, mailbox: &Mailbox<Resident<A>>);
    /// The message's type.
    fn message(&self) -> &'static str;
}

struct Waits<M: Message> {
    begin: BeginAgain<M>,
    text: Arc<str>,
}

impl<A: Receive<M>, M: Message> Kept<A> for Waits<M> {
    fn start(self: Box<Self>, hold: &mut Hold<'_, Resident<A>>) {
        if let To::Asker(duty) = &self.begin.to
            && duty.is_abandoned()
            && !M::RUN_IF_ABANDONED
        {
            return self.give_up(hold.mailbox());
        }
        hold.seat().start(self.begin);
    }

    fn give_up(self: Box<Self>, mailbox: &Mailbox<Resident<A>>) {
        mailbox.settle(Outcome::Panicked);
        if let To::Asker(duty) = self.begin.to {
            duty.answer(Answer::Panicked(self.text));
        }
    }

    fn message(&self) -> &'static str {
        type_name::<M>()
    }
}

/// Begins to handle a message that may be handled again.
pub(super) struct BeginAgain<M: Message> {
    pub(super) message: M,
    pub(super) to: To<M>,
    pub(super) deadline: Option<Instant>,
    /// How often it has been handled before.
    pub(super) before: u32,
}

impl<A: Receive<M>, M: Message> Start<Resident<A>> for BeginAgain<M> {
    fn start(self, state: &mut Resident<A>) -> impl Run {
        let Resident { actor, ctx, left } = state;
        let (ctx, message) = (&*ctx, self.message);
        let copy = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&copy);
        let begin = move || {
            if let Some(clone) = M::REDELIVERY.copy {
                let clone = clone(&message);
                *lock(&kept) = Some(clone);
            }
            actor.receive_one(message, ctx)
        };
        Again {
            one: One::new(begin, ctx, self.to, self.deadline),
            copy,
            before: self.before,
            left,
        }
    }
}

pin_project! {
    struct Again<'a, A: Actor, M: Message, B, F> {
        #[pin]
        one: One<'a, A, M, B, F>,
        // Set when the handler has begun.
        copy: Arc<Mutex<Option<M>>>,
        before: u32,
        left: &'a mut Option<Box<Left<A>>>,
    }
}

impl<A, M, B, F> Run for Again<'_, A, M, B, F>
where
    A: Receive<M>,
    M: Message,
    B: FnOnce() -> F + Send,
    F: Future<Output = Result<M::Response, M::Error>> + Send,
{
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Verdict> {
        self.project().one.poll(cx)
    }

    fn end(self: Pin<&mut Self>, ending: &Ending) -> Option<Arc<str>> {
        let this = self.project();
        let Ending::Panicked(text) = ending else {
            return this.one.end(ending);
        };
        let left = this.left.get_or_insert_default();
        let copy = lock(this.copy).take();
        match copy {
            Some(message) if *this.before < M::REDELIVERY.times => {
                let (to, deadline, problem) = this.one.break_off();
                let begin = BeginAgain {
                    message,
                    to,
                    deadline,
                    before: *this.before + 1,
                };
                let text = Arc::clone(text);
                left.kept = Some(Box::new(Waits { begin, text }));
                problem
            }
            copy => {
                left.set_aside = Some(type_name::<M>());
                let problem = this.one.end(ending);
                let dropped = catch_unwind(AssertUnwindSafe(|| drop(copy)));
                problem.or(dropped.err().map(panic_text))
            }
        }
    }

    fn message(&self) -> &'static str {
        type_name::<M>()
    }
}
