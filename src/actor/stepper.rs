//! An actor whose task is the test: it handles a message when it is told to.

use super::life::wait_for;
use super::run::Runner;
use super::shared::Shared;
use super::{Actor, Exit, Level};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use tokio::task::coop::consume_budget;

/// What a step came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Step {
    /// A handler was called for a message of this type, and has ended. An actor that has a batch handler takes all
    /// that one call takes.
    Handled(&'static str),
    /// There was no message.
    Idle,
    /// The actor has ended. If it was a message that ended it, the report says so.
    Ended(Arc<Exit>),
}

/// Steps an actor that was made by [`Builder::stepped`](super::Builder::stepped): nothing of it runs but in these
/// methods.
///
/// Dropped, it ends the actor as a runtime that goes away does.
pub struct Stepper<A: Actor> {
    shared: Arc<Shared<A>>,
    runner: Runner<A>,
    /// The type of the message that was let through, and how many had been handled before: still there if the step was
    /// dropped half-way.
    handling: Option<(&'static str, u64)>,
}

impl<A: Actor> Stepper<A> {
    pub(super) fn new(shared: Arc<Shared<A>>, runner: Runner<A>) -> Self {
        shared.mailbox.let_through(0);
        Self {
            shared,
            runner,
            handling: None,
        }
    }

    /// Runs `started`, if it has not run, and whatever else the actor has to do before it takes a message.
    ///
    /// # Errors
    /// The report of an actor that has ended.
    ///
    /// # Cancel safety
    /// The next call goes on where it was dropped.
    pub async fn start(&mut self) -> Result<(), Arc<Exit>> {
        // A kill is noticed even by a handler that waits for something else.
        let life = &self.shared.life;
        let killed = || (self.shared.mailbox.level() == Level::Kill).then_some(());
        let mut killed = pin!(wait_for(life, |_| killed()));
        let mut was_killed = false;
        let runner = &mut self.runner;
        let lives = poll_fn(|cx| {
            was_killed = was_killed || killed.as_mut().poll(cx).is_ready();
            runner.poll_idle(cx)
        })
        .await;
        match life.exit() {
            Some(exit) if !lives => Err(Arc::clone(exit)),
            _ => Ok(()),
        }
    }

    /// Handles one message to its end. Those that nobody waits for any more are skipped on the way.
    ///
    /// # Cancel safety
    /// A handler that is dropped half-way goes on with the next step, which then takes no other message.
    pub async fn step(&mut self) -> Step {
        // Each step is a turn of its own: who steps in a loop gives way like any other.
        consume_budget().await;
        loop {
            if self.handling.is_none() {
                if let Err(exit) = self.start().await {
                    return Step::Ended(exit);
                }
                let Some(first) = self.queued().first().copied() else {
                    return Step::Idle;
                };
                self.handling = Some((first, self.begun()));
                self.shared.mailbox.let_through(1);
            }
            let lives = self.start().await;
            self.shared.mailbox.let_through(0);
            match (lives, self.handling.take()) {
                (Err(exit), _) => return Step::Ended(exit),
                (Ok(()), Some((message, before))) if self.begun() > before => {
                    return Step::Handled(message);
                }
                _ => {}
            }
        }
    }

    /// How many messages have got as far as a handler.
    fn begun(&self) -> u64 {
        let account = self.shared.mailbox.account();
        let never = account.expired + account.abandoned + account.evicted + account.undelivered;
        account.accepted - account.queued - never
    }

    /// Handles everything that is queued, and what is sent meanwhile. Returns how many steps it took.
    ///
    /// # Cancel safety
    /// As for [`step`](Self::step).
    pub async fn run(&mut self) -> usize {
        let mut steps = 0;
        while let Step::Handled(_) = self.step().await {
            steps += 1;
        }
        steps
    }

    /// The types of the messages in the mailbox, in the order in which they will be handled.
    pub fn queued(&mut self) -> Vec<&'static str> {
        self.runner.queued()
    }

    /// The actor between two messages; `None` before its start, while a handler is half-way, and after its end.
    pub fn state(&mut self) -> Option<&A> {
        self.runner.state()
    }
}

impl<A: Actor> fmt::Debug for Stepper<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stepper")
            .field("actor", &self.shared.name)
            .field("handling", &self.handling)
            .finish_non_exhaustive()
    }
}
