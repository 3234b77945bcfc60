//! The actor's task: one incarnation after another, and at the end the report.
//!
//! A future written by hand, because it is most of what an idle actor weighs: all it holds across a wait is
//! which phase it is in. Hooks and handlers run in the mailbox's seat; whoever has the turn runs them.
//!
//! ```text
//!   Waiting ──► Starting ──► Serving ──► Stopping ──► (again) Pausing ──► Starting …
//!                               ▲                └──► the end: give back, report
//!   Up ─────────────────────────┘
//! ```

mod comeback;
mod hooks;
mod serve;

use super::asker;
use super::builder::{Limits, Mould};
use super::ending::{end, in_drop, lay_down, take_problems};
use super::exit::{Cause, HookProblem, StopReason};
use super::giving_way::give_way;
use super::grouped::Grouped;
use super::guard::{Guarded, caught, guarded};
use super::held::Holdable;
use super::hook::{Stopped, has_nothing_to_start, has_nothing_to_stop};
use super::problems::{Problems, count_panic, note};
use super::redelivery::Kept;
use super::resident::Resident;
use super::shared::Shared;
use super::{Actor, Context, Dispatch, Level};
use crate::mailbox::{Hold, Polled, Tenancy};
use crate::supervision::{Group, Intensity, RestartPolicy};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};
use std::time::Duration;
use tokio::task::coop::has_budget_remaining;
use tokio::time::Sleep;

/// Everything an actor's task owns. Dropped before its end, because its runtime is gone or it was
/// never started, it still gives every message back and writes the report.
pub(crate) struct Runner<A: Actor> {
    shared: Arc<Shared<A>>,
    /// Given up at the end.
    tenancy: Option<Tenancy>,
    phase: Phase,
    again: Option<Box<Again<A>>>,
    limits: Option<Box<Limits>>,
    problems: Option<Box<Problems>>,
}

struct Again<A: Actor> {
    factory: Box<dyn FnMut() -> A + Send>,
    policy: RestartPolicy,
    failures: Intensity,
    ctx: Context<A>,
    group: Option<Grouped>,
    /// The message that panicked, if it is to be handled again.
    kept: Option<Box<dyn Kept<A>>>,
}

type Timer = Option<Pin<Box<Sleep>>>;

enum Phase {
    /// Never polled.
    Waiting,
    /// Never polled, and up: it had nothing to do to start.
    Up,
    Starting(Timer),
    Serving,
    Stopping(Box<(Timer, Decision)>),
    Pausing(Pin<Box<Sleep>>),
    /// Waits for its turn in the restart of its group.
    Regrouping,
}

/// How an incarnation ended.
enum Ended {
    /// The level says so.
    Asked,
    /// Closed, and nothing left to do.
    Drained,
    /// It asked for its own end.
    Left,
    Panicked {
        message: &'static str,
        text: Arc<str>,
    },
    StartFailed(HookProblem),
    /// It was asked to, because a sibling in its group has failed.
    Regroups,
}

/// Small, for it is handed on at each end.
enum Decision {
    End(Cause),
    Restart(Box<Restart>),
    /// Down until its group restarts it.
    Regroup,
}

struct Restart {
    after: Duration,
    reason: StopReason,
}

impl<A: Actor> Runner<A> {
    /// A task without an actor: all it can do is to be dropped.
    pub(super) const fn vacant(shared: Arc<Shared<A>>, tenancy: Tenancy) -> Self {
        Self {
            shared,
            tenancy: Some(tenancy),
            phase: Phase::Waiting,
            again: None,
            limits: None,
            problems: None,
        }
    }

    /// The same with an actor in it.
    #[inline]
    pub(super) fn occupied(
        mut self,
        mould: Mould<A>,
        limits: Limits,
        group: Option<&Arc<Group>>,
    ) -> Self {
        let ctx = Context {
            shared: Arc::clone(&self.shared),
        };
        if let Some((factory, policy)) = mould.again {
            self.again = Some(Box::new(Again {
                factory,
                policy,
                failures: policy.counter(),
                group: group.map(|group| Grouped::join(group, &self.shared)),
                kept: None,
                ctx: ctx.clone(),
            }));
        }
        if limits != Limits::default() {
            self.limits = Some(Box::new(limits));
        }
        let is_up = self.starts_at_once(group);
        if let Some(mut hold) = hold(&self.shared, &mut self.tenancy) {
            hold.seat().sit(Resident {
                actor: mould.first,
                ctx,
                left: None,
            });
            if is_up {
                debug_assert!(self.shared.holders().is_one(), "nobody else has it yet");
                self.phase = Phase::Up;
                self.shared.life.set_ready_unshared();
                hold.rest_unshared();
            }
        }
        self
    }

    /// Whether it is up as soon as it is made, and can be asked before its task is polled: it has nothing to do for that,
    /// where it runs is settled, and no group says when it starts. Nobody else has it then: where it runs is settled
    /// before that only if it is spawned at once.
    #[inline]
    fn starts_at_once(&self, group: Option<&Arc<Group>>) -> bool {
        #[cfg(feature = "testing")]
        if self.shared.has_faults() {
            return false;
        }
        has_nothing_to_start::<A>() && group.is_none() && self.shared.task().is_some()
    }

    /// Begins to run on this runtime.
    pub(crate) fn spawn(self, dispatch: Dispatch, runtime: &tokio::runtime::Handle) {
        self.shared.settle_on(dispatch, runtime);
        drop(runtime.spawn(self));
    }

    /// For an actor that has no task: goes on until it can take a message (true), or has ended (false).
    pub(super) fn poll_idle(&mut self, cx: &mut task::Context<'_>) -> Poll<bool> {
        while self.tenancy.is_some() {
            match self.step(cx) {
                Poll::Ready(Some(cause)) => self.finish(cause),
                Poll::Ready(None) => {}
                // It may be for want of budget that it goes no further.
                Poll::Pending if !has_budget_remaining() => return give_way(cx),
                Poll::Pending if self.idle().is_some() => return Poll::Ready(true),
                #[cfg(feature = "testing")]
                Poll::Pending if self.is_held_up() => return Poll::Ready(true),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(false)
    }

    /// Whether it has come to its end.
    #[inline]
    pub(super) const fn has_ended(&self) -> bool {
        self.tenancy.is_none()
    }

    /// Whether a handler runs.
    pub(super) fn is_handling(&mut self) -> bool {
        matches!(self.phase, Phase::Serving)
            && hold(&self.shared, &mut self.tenancy)
                .is_some_and(|mut hold| hold.seat().running().is_some())
    }

    /// The turn, if a message can be handled now.
    #[inline]
    pub(super) fn idle(&mut self) -> Option<Hold<'_, Resident<A>>> {
        if !matches!(self.phase, Phase::Serving) {
            return None;
        }
        let mut hold = hold(&self.shared, &mut self.tenancy)?;
        let mailbox = hold.mailbox();
        let open = mailbox.level() == Level::Open && !mailbox.is_let_out();
        let ready = open
            && hold
                .seat()
                .state()
                .is_some_and(|seated| seated.left.is_none());
        ready.then_some(hold)
    }

    /// Whether messages are there, and a test lets none through.
    #[cfg(feature = "testing")]
    fn is_held_up(&mut self) -> bool {
        let mailbox = &self.shared.mailbox;
        mailbox.lets_none_through() && mailbox.has_queued() && {
            matches!(self.phase, Phase::Serving) && !self.is_handling()
        }
    }

    /// The types of the messages that are queued.
    #[cfg(feature = "testing")]
    pub(super) fn queued(&mut self) -> Vec<&'static str> {
        hold(&self.shared, &mut self.tenancy).map_or_else(Vec::new, |mut hold| hold.queued())
    }

    /// The actor, if it waits for a message.
    #[cfg(feature = "testing")]
    pub(super) fn state(&mut self) -> Option<&A> {
        if !matches!(self.phase, Phase::Serving) {
            return None;
        }
        let hold = hold(&self.shared, &mut self.tenancy)?;
        hold.into_seat().state().map(|resident| &resident.actor)
    }

    fn limits(&self) -> Limits {
        self.limits.as_deref().copied().unwrap_or_default()
    }

    /// The next step. `Ready` when the actor has ended.
    #[inline(always)]
    #[expect(clippy::inline_always)] // it has two callers, of which one is every poll of every actor's task
    fn step(&mut self, cx: &mut task::Context<'_>) -> Poll<Option<Cause>> {
        let phase = std::mem::replace(&mut self.phase, Phase::Serving);
        match phase {
            Phase::Serving | Phase::Up => {
                let ended = if self.is_just_to_stop() {
                    Ended::Asked
                } else {
                    ready!(self.serve(cx))
                };
                self.leave(&ended, true, cx)
            }
            Phase::Waiting => self.enter(cx),
            Phase::Starting(timer) => {
                let Some(polled) = self.poll_hook(cx) else {
                    self.phase = Phase::Starting(timer);
                    return Poll::Pending;
                };
                self.starting(polled, timer, cx)
            }
            Phase::Stopping(stopping) => {
                let Some(polled) = self.poll_hook(cx) else {
                    self.phase = Phase::Stopping(stopping);
                    return Poll::Pending;
                };
                let (timer, decision) = *stopping;
                self.stopping(polled, timer, decision, cx)
            }
            Phase::Pausing(mut timer) => {
                let waits = self.shared.mailbox.level() < Level::Stop && !self.has_nothing_left();
                // A waker that panics, which only one made by hand can, must not take the phase along.
                if waits && caught(|| timer.as_mut().poll(cx)).is_none_or(|it| it.is_pending()) {
                    self.phase = Phase::Pausing(timer);
                    return Poll::Pending;
                }
                if let Some(group) = self.group() {
                    group.membership.pause_is_over();
                    self.phase = Phase::Regrouping;
                    return Poll::Ready(None);
                }
                Poll::Ready(self.come_back())
            }
            Phase::Regrouping => {
                let waits = |group: &mut Grouped| group.membership.poll_start(cx).is_pending();
                if self.shared.mailbox.level() < Level::Stop
                    && !self.has_nothing_left()
                    && self.group().is_some_and(waits)
                {
                    self.phase = Phase::Regrouping;
                    return Poll::Pending;
                }
                Poll::Ready(self.come_back())
            }
        }
    }

    fn group(&mut self) -> Option<&mut Grouped> {
        self.again.as_mut()?.group.as_mut()
    }

    /// The incarnation is over, and its hooks have run.
    #[inline(always)]
    #[expect(clippy::inline_always)] // most often it hands on what it is given
    fn conclude(&mut self, decision: Decision) -> Poll<Option<Cause>> {
        // The end drops the state of one that cannot come back.
        if self.again.is_some() || !matches!(decision, Decision::End(_)) {
            self.discard();
        }
        Poll::Ready(match decision {
            Decision::End(cause) => Some(cause),
            Decision::Restart(restart) => self.restart(*restart),
            Decision::Regroup => self.regroup(),
        })
    }

    /// An incarnation is over: `stopped` runs if it had started.
    fn leave(
        &mut self,
        ended: &Ended,
        has_started: bool,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Cause>> {
        let ended = match ended {
            // Whatever its group wants, it will not come back.
            Ended::Regroups if self.shared.mailbox.level() >= Level::Stop => &Ended::Asked,
            Ended::Regroups if self.has_nothing_left() => &Ended::Drained,
            other => other,
        };
        // Decided first, so that an actor which will not come back accepts nothing while it stops.
        let decision = self.decide(ended);
        if let Ended::Panicked { message, .. } = ended {
            count_panic(&self.shared, &mut self.problems, message);
        }
        if matches!(decision, Decision::End(_)) && self.again.is_some() {
            self.give_up_kept();
        }
        if has_started && !has_nothing_to_stop::<A>() {
            let reason = self.cause(ended).into();
            if let Some(mut hold) = hold(&self.shared, &mut self.tenancy)
                && hold.seat().state().is_some()
            {
                let guard = Guarded(self.shared.id());
                let polled = hold.seat().start_and_poll(Stopped(reason), &guard, cx);
                if !matches!(polled, Polled::Done) {
                    return self.stopping(polled, None, decision, cx);
                }
                std::mem::forget(polled);
                return self.conclude(decision);
            }
        }
        self.conclude(decision)
    }

    /// Closes the mailbox, gives every message back, and publishes the report.
    #[inline]
    fn finish(&mut self, cause: Cause) {
        let Some(tenancy) = self.tenancy.take() else {
            return;
        };
        if self.again.is_some() {
            self.give_up_again(&cause);
        }
        let shared = &*self.shared;
        shared.mailbox.close();
        // If an asker has the turn it ends the actor, and finds there what was noted here.
        let has_problems = self.problems.is_some();
        if has_problems {
            lay_down(shared, self.problems.take());
        }
        if let Some(hold) = shared.mailbox.resign(tenancy) {
            let problems = if has_problems {
                take_problems(shared)
            } else {
                None
            };
            end(hold, shared, cause, problems);
        }
    }

    /// Drops the state.
    fn discard(&mut self) {
        let resident =
            hold(&self.shared, &mut self.tenancy).and_then(|mut hold| hold.seat().stand());
        if let Err(text) = guarded(self.shared.id(), || drop(resident)) {
            self.note(in_drop(text));
        }
    }

    fn note(&mut self, problem: HookProblem) {
        note(&mut self.problems, problem);
    }
}

impl<A: Actor> Future for Runner<A> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if matches!(this.phase, Phase::Waiting | Phase::Up)
            && let Some(tenancy) = &mut this.tenancy
            && this.shared.mailbox.introduce(tenancy, cx.waker())
        {
            asker::introduce(cx.waker());
        }
        loop {
            if let Some(cause) = ready!(this.step(cx)) {
                this.finish(cause);
                return Poll::Ready(());
            }
        }
    }
}

impl<A: Actor> Drop for Runner<A> {
    #[inline]
    fn drop(&mut self) {
        if self.tenancy.is_some() {
            self.break_off();
        }
    }
}

impl<A: Actor> Runner<A> {
    /// The task is dropped before its end.
    #[cold]
    fn break_off(&mut self) {
        let cause = match self.phase {
            Phase::Waiting if !self.shared.life.is_ready() && self.shared.task().is_none() => {
                Cause::NeverStarted
            }
            _ => Cause::RuntimeGone,
        };
        self.finish(cause);
    }
}

/// The turn, if no asker has it.
#[inline]
fn hold<'a, A: Actor>(
    shared: &'a Shared<A>,
    tenancy: &'a mut Option<Tenancy>,
) -> Option<Hold<'a, Resident<A>>> {
    shared.mailbox.enter(tenancy.as_mut()?)
}
