//! A message whose handler panicked, handled once more by the next incarnation.

use super::handling::One;
use super::reply::Answer;
use super::resident::{Left, Resident};
use super::watch::Watch;
use super::{Actor, Message, Receive};
use crate::mailbox::{Begin, Duty, Ending, Hold, Mailbox, Outcome, Sequel, Start, Verdict, lock};
use std::any::type_name;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
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
        if let Some(duty) = &self.begin.duty
            && duty.is_abandoned()
            && !M::RUN_IF_ABANDONED
        {
            return self.give_up(hold.mailbox());
        }
        match Watch::look(|| None) {
            Some(watch) => hold.seat().start(watch.over(self.begin)),
            None => hold.seat().start(self.begin),
        }
    }

    fn give_up(self: Box<Self>, mailbox: &Mailbox<Resident<A>>) {
        mailbox.settle(Outcome::Panicked);
        if let Some(duty) = self.begin.duty {
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
    /// The duty to answer. `None`: it was told.
    pub(super) duty: Option<Duty<M, Answer<M>>>,
    pub(super) deadline: Option<Instant>,
    /// How often it has been handled before.
    pub(super) before: u32,
}

impl<A: Receive<M>, M: Message> Start<Resident<A>> for BeginAgain<M> {
    type Output = Result<M::Response, M::Error>;

    fn start(
        self,
        state: &mut Resident<A>,
    ) -> (
        impl Begin<Future = impl Future<Output = Self::Output> + Send> + Send,
        impl Sequel<Self::Output>,
    ) {
        let Resident { actor, ctx, left } = state;
        let (ctx, message) = (&*ctx, self.message);
        let copy = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&copy);
        let begin = move || {
            if let Some(clone) = M::REDELIVERY.copy {
                let clone = clone(&message);
                *lock(&kept) = Some(clone);
            }
            #[cfg(feature = "testing")]
            ctx.shared.before_handler();
            actor.receive_one(message, ctx)
        };
        let one = One {
            ctx,
            duty: self.duty,
            deadline: self.deadline,
        };
        let again = Again {
            one,
            copy,
            before: self.before,
            left,
        };
        (begin, again)
    }
}

/// What follows the handler of a message that may be handled again.
struct Again<'a, A: Actor, M: Message> {
    one: One<'a, A, M>,
    /// Set when the handler has begun.
    copy: Arc<Mutex<Option<M>>>,
    before: u32,
    left: &'a mut Option<Box<Left<A>>>,
}

impl<A: Receive<M>, M: Message> Sequel<Result<M::Response, M::Error>> for Again<'_, A, M> {
    fn enter(&self) {
        self.one.enter();
    }

    fn done(self, answer: Result<M::Response, M::Error>) -> Verdict {
        self.one.done(answer)
    }

    fn ended(self, ending: &Ending) {
        let Ending::Panicked(text) = ending else {
            return self.one.ended(ending);
        };
        let left = self.left.get_or_insert_default();
        let copy = lock(&self.copy).take();
        match copy {
            Some(message) if self.before < M::REDELIVERY.times => {
                let begin = BeginAgain {
                    message,
                    duty: self.one.duty,
                    deadline: self.one.deadline,
                    before: self.before + 1,
                };
                let text = Arc::clone(text);
                left.kept = Some(Box::new(Waits { begin, text }));
            }
            copy => {
                left.set_aside = Some(type_name::<M>());
                self.one.ended(ending);
                // Last, for it may panic.
                drop(copy);
            }
        }
    }

    fn message() -> &'static str {
        type_name::<M>()
    }
}
