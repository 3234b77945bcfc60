//! `started` and `stopped`: begun, polled, limited in time.

use super::{Decision, Ended, Phase, Runner, Timer, hold};
use crate::actor::exit::{Cause, Hook, HookProblem, Trouble};
use crate::actor::guard::{Guarded, guarded, panic_text};
use crate::actor::hook::Started;
use crate::actor::resident::Resident;
use crate::actor::{Actor, Level, ending};
use crate::mailbox::{Ending, Polled};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{self, Poll};
use std::time::Duration;

/// How a hook ended.
enum Hooked {
    Done,
    Went(HookProblem),
    /// A kill arrived while it ran.
    Killed,
}

impl<A: Actor> Runner<A> {
    /// Begins an incarnation, which sits in the seat or is made now.
    pub(super) fn enter(&mut self, cx: &mut task::Context<'_>) -> Poll<Option<Cause>> {
        if self.shared.mailbox.level() >= Level::Stop {
            self.discard();
            return Poll::Ready(Some(self.asked()));
        }
        let Some(mut hold) = hold(&self.shared, &mut self.tenancy) else {
            self.phase = Phase::Waiting;
            return Poll::Pending;
        };
        if hold.seat().state().is_none() {
            // Whoever wanted the incarnation before to end has seen it end.
            hold.mailbox().take_let_out();
            let id = self.shared.id();
            self.shared.restarts.fetch_add(1, Ordering::Relaxed);
            let made = match &mut self.again {
                Some(again) => guarded(id, || (again.factory)()).map(|actor| Resident {
                    actor,
                    ctx: again.ctx.clone(),
                    left: None,
                }),
                None => Err(Arc::from("there is no factory to make the actor again")),
            };
            match made {
                Ok(resident) => drop(hold.seat().sit(resident)),
                Err(text) => {
                    let problem = HookProblem {
                        hook: Hook::Factory,
                        trouble: Trouble::Panicked(text),
                    };
                    return self.leave(&Ended::StartFailed(problem), false, cx);
                }
            }
        }
        let guard = Guarded(self.shared.id());
        let polled = hold.seat().start_and_poll(Started, &guard, cx);
        if !matches!(polled, Polled::Done) {
            return self.starting(polled, None, cx);
        }
        std::mem::forget(polled);
        self.is_up();
        Poll::Ready(None)
    }

    /// Goes on with a hook. `None`: somebody else has the turn.
    pub(super) fn poll_hook(&mut self, cx: &mut task::Context<'_>) -> Option<Polled> {
        let guard = Guarded(self.shared.id());
        let mut hold = hold(&self.shared, &mut self.tenancy)?;
        Some(hold.seat().poll(&guard, cx))
    }

    /// `started` was polled.
    pub(super) fn starting(
        &mut self,
        polled: Polled,
        mut timer: Timer,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Cause>> {
        let limit = self.limits().start;
        match self.hooked(Hook::Started, polled, limit, &mut timer, cx) {
            Poll::Pending => {
                self.phase = Phase::Starting(timer);
                Poll::Pending
            }
            Poll::Ready(Hooked::Done) => {
                self.is_up();
                Poll::Ready(None)
            }
            Poll::Ready(Hooked::Killed) => self.leave(&Ended::Asked, false, cx),
            Poll::Ready(Hooked::Went(problem)) => {
                self.leave(&Ended::StartFailed(problem), false, cx)
            }
        }
    }

    /// The incarnation has started.
    #[inline]
    fn is_up(&mut self) {
        self.shared.life.set_ready();
        if let Some(group) = self.group() {
            group.membership.is_up();
        }
    }

    /// `stopped` was polled.
    pub(super) fn stopping(
        &mut self,
        polled: Polled,
        mut timer: Timer,
        decision: Decision,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Cause>> {
        let limit = self.limits().stop;
        match self.hooked(Hook::Stopped, polled, limit, &mut timer, cx) {
            Poll::Pending => {
                self.phase = Phase::Stopping(Box::new((timer, decision)));
                return Poll::Pending;
            }
            Poll::Ready(Hooked::Went(problem)) => self.note(problem),
            Poll::Ready(Hooked::Done | Hooked::Killed) => {}
        }
        self.conclude(decision)
    }

    /// A hook was polled: it goes on to its end, its deadline, or, for `started`, a kill.
    fn hooked(
        &mut self,
        hook: Hook,
        polled: Polled,
        deadline: Duration,
        timer: &mut Timer,
        cx: &mut task::Context<'_>,
    ) -> Poll<Hooked> {
        let trouble = match polled {
            Polled::Done | Polled::Skipped => return Poll::Ready(Hooked::Done),
            Polled::DropPanicked(text) | Polled::Panicked(text) => Trouble::Panicked(*text),
            Polled::Failed(error) => Trouble::Failed(*error),
            Polled::Waits
                if hook == Hook::Started && self.shared.mailbox.level() == Level::Kill =>
            {
                self.end_running();
                return Poll::Ready(Hooked::Killed);
            }
            Polled::Waits => {
                // A runtime without a clock says so by a panic. Most hooks are ready at once, and then no timer
                // is needed.
                let passed = catch_unwind(AssertUnwindSafe(|| {
                    timer
                        .get_or_insert_with(|| self.shared.sleep(deadline))
                        .as_mut()
                        .poll(cx)
                }));
                match passed {
                    Ok(Poll::Pending) => return Poll::Pending,
                    Ok(Poll::Ready(())) => Trouble::TimedOut(deadline),
                    Err(payload) => Trouble::Panicked(panic_text(payload)),
                }
            }
        };
        self.end_running();
        Poll::Ready(Hooked::Went(HookProblem { hook, trouble }))
    }

    /// Ends a hook that did not come to its own end.
    fn end_running(&mut self) {
        if let Some(mut hold) = hold(&self.shared, &mut self.tenancy) {
            let guard = Guarded(self.shared.id());
            ending::end_running(&mut hold, &guard, &Ending::Killed, &mut self.problems);
        }
    }
}
