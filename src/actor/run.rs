//! The actor's task: one incarnation after another, and at the end the report.
//!
//! A future written by hand, because it is most of what an idle actor weighs: all it holds across a wait is
//! which phase it is in. Hooks and handlers run in the mailbox's seat; whoever has the turn runs them.
//!
//! ```text
//!   Waiting ──► Starting ──► Serving ──► Stopping ──► (again) Pausing ──► Starting …
//!                                                └──► the end: give back, report
//! ```

use super::builder::{Limits, Mould};
use super::ending::{end, end_running, in_drop, report};
use super::exit::{Exit, Hook, HookProblem, StopReason, Trouble};
use super::giving_way::{Pace, give_way};
use super::grouped::Grouped;
use super::guard::{Guarded, guarded, panic_text};
use super::hook::{Started, Stopped};
use super::problems::{Problems, count_panic, note, set_message_aside};
use super::redelivery::Kept;
use super::resident::Resident;
use super::shared::Shared;
use super::{Actor, Context, Dispatch, Level};
use crate::mailbox::{Ending, Found, Guard, Hold, Polled, Tenancy};
use crate::supervision::{Group, Intensity, RestartPolicy};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
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

enum Decision {
    End(StopReason),
    Restart {
        after: Duration,
        reason: StopReason,
    },
    /// Down until its group restarts it.
    Regroup,
}

/// How a hook ended.
enum Hooked {
    Done,
    Went(HookProblem),
    /// A kill arrived while it ran.
    Killed,
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

    pub(super) fn occupied(
        mut self,
        mould: Mould<A>,
        limits: Limits,
        group: Option<&Arc<Group>>,
        ctx: Context<A>,
    ) -> Self {
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
        if let Some(mut hold) = hold(&self.shared, &mut self.tenancy) {
            hold.seat().sit(Resident {
                actor: mould.first,
                ctx,
                left: None,
            });
        }
        self
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
                Poll::Ready(Some(reason)) => self.finish(reason),
                Poll::Ready(None) => {}
                // It may be for want of budget that it has done nothing.
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
    fn step(&mut self, cx: &mut task::Context<'_>) -> Poll<Option<StopReason>> {
        let phase = std::mem::replace(&mut self.phase, Phase::Serving);
        match phase {
            Phase::Serving => {
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
                if self.shared.mailbox.level() < Level::Stop
                    && !self.has_nothing_left()
                    && timer.as_mut().poll(cx).is_pending()
                {
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

    /// Begins an incarnation, which sits in the seat or is made now.
    fn enter(&mut self, cx: &mut task::Context<'_>) -> Poll<Option<StopReason>> {
        if self.shared.mailbox.level() >= Level::Stop {
            self.discard();
            return Poll::Ready(Some(self.asked()));
        }
        let Some(mut hold) = hold(&self.shared, &mut self.tenancy) else {
            self.phase = Phase::Waiting;
            return Poll::Pending;
        };
        if hold.seat().state().is_none() {
            let id = self.shared.id();
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
    fn poll_hook(&mut self, cx: &mut task::Context<'_>) -> Option<Polled> {
        let guard = Guarded(self.shared.id());
        let mut hold = hold(&self.shared, &mut self.tenancy)?;
        Some(hold.seat().poll(&guard, cx))
    }

    /// `started` was polled.
    fn starting(
        &mut self,
        polled: Polled,
        mut timer: Timer,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<StopReason>> {
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
    fn stopping(
        &mut self,
        polled: Polled,
        mut timer: Timer,
        decision: Decision,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<StopReason>> {
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

    /// The incarnation is over, and its hooks have run.
    #[inline(always)]
    #[expect(clippy::inline_always)] // most often it hands on what it is given
    fn conclude(&mut self, decision: Decision) -> Poll<Option<StopReason>> {
        // The end drops the state of one that cannot come back.
        if self.again.is_some() || !matches!(decision, Decision::End(_)) {
            self.discard();
        }
        Poll::Ready(match decision {
            Decision::End(reason) => Some(reason),
            Decision::Restart { after, reason } => self.restart(after, &reason),
            Decision::Regroup => self.regroup(),
        })
    }

    /// Whether it has been told to stop, and there is nothing else to see to.
    #[inline]
    fn is_just_to_stop(&mut self) -> bool {
        let mailbox = &self.shared.mailbox;
        mailbox.level() >= Level::Stop
            && !mailbox.is_let_out()
            && hold(&self.shared, &mut self.tenancy)
                .is_some_and(|mut hold| hold.seat().state().is_some_and(|it| it.left.is_none()))
    }

    /// Handles messages until something ends the incarnation.
    #[inline]
    fn serve(&mut self, cx: &mut task::Context<'_>) -> Poll<Ended> {
        let Some(mut hold) = hold(&self.shared, &mut self.tenancy) else {
            // An asker has the turn, and wakes this task when it is done.
            return Poll::Pending;
        };
        let mailbox = hold.mailbox();
        let guard = Guarded(self.shared.id());
        if let Some(left) = hold
            .seat()
            .state()
            .and_then(|resident| resident.left.take())
        {
            for problem in left.problems {
                note(&mut self.problems, problem);
            }
            if let Some((message, text)) = left.panicked {
                return Poll::Ready(Ended::Panicked { message, text });
            }
        }
        let gauge = matches!(self.shared.dispatch(), Dispatch::Auto).then_some(&self.shared.gauge);
        let limits = self.limits.as_deref();
        let (mut group, mut kept) = match &mut self.again {
            Some(again) => (again.group.as_mut(), Some(&mut again.kept)),
            None => (None, None),
        };
        let mut polled = resume(&mut hold, &guard, cx);
        // When the handler that was polled started, if it is measured.
        let mut begun = None;
        let mut pace = Pace::default();
        loop {
            if let (Some(gauge), Polled::Done) = (gauge, &polled) {
                gauge.done(begun.take());
            }
            match polled {
                Polled::Done => {}
                // Only hooks fail: a handler's error is its asker's.
                Polled::Failed(error) => drop(error),
                Polled::DropPanicked(text) => note(&mut self.problems, in_drop(*text)),
                Polled::Waits => {
                    if let Some(gauge) = gauge {
                        gauge.waits();
                    }
                    if let Some(group) = &mut group
                        && group.is_out_of_patience(limits.copied().unwrap_or_default().stop, cx)
                    {
                        end_running(&mut hold, &guard, &Ending::Killed, &mut self.problems);
                        return Poll::Ready(Ended::Regroups);
                    }
                    if mailbox.level() == Level::Kill {
                        end_running(&mut hold, &guard, &Ending::Killed, &mut self.problems);
                        return Poll::Ready(Ended::Asked);
                    }
                    // Whoever kills the actor wakes this task.
                    return Poll::Pending;
                }
                Polled::Panicked(text) => {
                    let text = *text;
                    let message = hold.seat().running().map_or("", |run| run.message());
                    let ending = Ending::Panicked(Arc::clone(&text));
                    end_running(&mut hold, &guard, &ending, &mut self.problems);
                    keep(&mut hold, &self.shared, &mut self.problems, kept, message);
                    return Poll::Ready(Ended::Panicked { message, text });
                }
            }
            if mailbox.take_let_out() {
                return Poll::Ready(Ended::Left);
            }
            if mailbox.level() >= Level::Stop {
                return Poll::Ready(Ended::Asked);
            }
            if group.as_ref().is_some_and(|it| it.membership.is_asked()) {
                return Poll::Ready(Ended::Regroups);
            }
            if let Some(first) = kept.as_mut().and_then(|kept| kept.take()) {
                // It drops a message that nobody waits for any more.
                if let Err(text) = guard.call(|| first.start(&mut hold)) {
                    note(&mut self.problems, in_drop(text));
                }
                polled = resume(&mut hold, &guard, cx);
                continue;
            }
            if hold.has_first() {
                // A flooded mailbox gives way to other tasks like any tokio resource.
                let unit = ready!(pace.poll(cx));
                if let Some(envelope) = hold.pop() {
                    pace.count(unit);
                    begun = gauge.and_then(super::dispatch::Gauge::begin);
                    polled = envelope.open(&mut hold, cx);
                    continue;
                }
            }
            match hold.look() {
                Found::Nothing => {}
                Found::Drained => return Poll::Ready(Ended::Drained),
                Found::Queued => {
                    // A message was accepted and is not there yet: its sender is about to push it, and would find
                    // the turn held. This task goes behind others instead of waiting for it.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            hold.seat().give_room_back();
            match hold.rest() {
                Ok(()) => return Poll::Pending,
                Err(again) => hold = again,
            }
            polled = Polled::Done;
        }
    }

    /// An incarnation is over: `stopped` runs if it had started.
    fn leave(
        &mut self,
        ended: &Ended,
        has_started: bool,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<StopReason>> {
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
        if has_started {
            let reason = self.reason(ended);
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

    /// Goes down until its group restarts it.
    #[cold]
    fn regroup(&mut self) -> Option<StopReason> {
        let reason = self.reason(&Ended::Regroups);
        let _ = guarded(self.shared.id(), || {
            tracing::warn!(actor = &*self.shared.name, %reason, "restarting");
        });
        if let Some(group) = self.group() {
            group.relax();
            group.membership.is_down();
        }
        self.phase = Phase::Regrouping;
        None
    }

    #[cold]
    fn restart(&mut self, after: Duration, reason: &StopReason) -> Option<StopReason> {
        if let Some(group) = self.group() {
            group.relax();
            group.membership.has_failed();
        }
        let shared = &self.shared;
        let _ = guarded(shared.id(), || {
            tracing::warn!(actor = &*shared.name, %reason, ?after, "restarting");
        });
        if after.is_zero() {
            if let Some(group) = self.group() {
                group.membership.pause_is_over();
                self.phase = Phase::Regrouping;
                return None;
            }
            return self.come_back();
        }
        self.phase = Phase::Pausing(Box::pin(tokio::time::sleep(after)));
        None
    }

    /// After the pause before a restart.
    fn come_back(&mut self) -> Option<StopReason> {
        if self.has_nothing_left() {
            return Some(self.reason(&Ended::Drained));
        }
        if self.shared.mailbox.level() < Level::Stop {
            self.shared.restarts.fetch_add(1, Ordering::Relaxed);
        }
        self.phase = Phase::Waiting;
        None
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
            Polled::Done => return Poll::Ready(Hooked::Done),
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
                        .get_or_insert_with(|| Box::pin(tokio::time::sleep(deadline)))
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
            end_running(&mut hold, &guard, &Ending::Killed, &mut self.problems);
        }
    }

    /// What ended an incarnation, before any policy is asked.
    fn reason(&self, ended: &Ended) -> StopReason {
        match ended {
            Ended::Asked => self.asked(),
            Ended::Drained if self.shared.handles_dropped.load(Ordering::Acquire) => {
                StopReason::HandlesDropped
            }
            Ended::Drained => StopReason::Drained,
            Ended::Left => StopReason::Stopped,
            Ended::Panicked { message, text } => StopReason::Panicked {
                message,
                text: Arc::clone(text),
            },
            Ended::StartFailed(problem) => StopReason::StartFailed(problem.clone()),
            Ended::Regroups => {
                let group = self.again.as_ref().and_then(|again| again.group.as_ref());
                StopReason::GroupRestart {
                    failed: group.map_or_else(
                        || Arc::clone(&self.shared.name),
                        |group| group.membership.cause(),
                    ),
                }
            }
        }
    }

    fn asked(&self) -> StopReason {
        match self.shared.mailbox.level() {
            Level::Kill => StopReason::Killed,
            _ => StopReason::Stopped,
        }
    }

    /// Whether the actor comes back. If not, its mailbox closes now.
    fn decide(&mut self, ended: &Ended) -> Decision {
        self.shared.mailbox.take_let_out();
        let decision = if self.again.is_some() {
            self.judge(ended)
        } else {
            Decision::End(self.reason(ended))
        };
        let shared = &self.shared;
        if matches!(decision, Decision::End(_)) && shared.mailbox.level() == Level::Open {
            shared.raise(Level::Stop);
        }
        decision
    }

    /// What its policy says of an actor that can be made again.
    #[cold]
    fn judge(&mut self, ended: &Ended) -> Decision {
        let reason = self.reason(ended);
        // A start that failed before any has worked is the answer to whoever waits for the actor.
        let first_start = matches!(ended, Ended::StartFailed(_)) && !self.shared.life.is_ready();
        let over = self.shared.mailbox.level() >= Level::Stop || self.has_nothing_left();
        let Some(again) = &mut self.again else {
            return Decision::End(reason);
        };
        if matches!(ended, Ended::Regroups) {
            // Should it have been told to stop since: it waits in vain and not for long.
            return Decision::Regroup;
        }
        let restarts = match ended {
            Ended::Asked | Ended::Drained | Ended::Regroups => false,
            Ended::Left => again.policy.restarts_after_own_stop(),
            Ended::Panicked { .. } | Ended::StartFailed(_) => !first_start,
        };
        if !restarts || over {
            return Decision::End(reason);
        }
        match again.failures.record(tokio::time::Instant::now()) {
            Ok(n) => Decision::Restart {
                after: again.policy.pause(n),
                reason,
            },
            Err(()) => Decision::End(StopReason::IntensityExceeded {
                limit: again.policy.limit(),
                window: again.policy.window(),
                last: Box::new(reason),
            }),
        }
    }

    /// Closes the mailbox, gives every message back, and publishes the report.
    #[inline]
    fn finish(&mut self, reason: StopReason) {
        let Some(tenancy) = self.tenancy.take() else {
            return;
        };
        if self.again.is_some() {
            self.give_up_again(&reason);
        }
        let shared = &*self.shared;
        shared.mailbox.close();
        // If an asker has the turn it ends the actor.
        if let Some(hold) = shared.mailbox.resign(tenancy) {
            end(hold, shared, reason, self.problems.take());
        }
    }

    /// The actor will not come back.
    #[cold]
    fn give_up_again(&mut self, reason: &StopReason) {
        self.give_up_kept();
        // The factory may hold handles of others, which need not wait for this task's end.
        let again = self.again.take();
        if reason.is_failure()
            && let Some(group) = again.as_ref().and_then(|again| again.group.as_ref())
        {
            group.membership.has_failed_for_good();
        }
        if let Err(text) = guarded(self.shared.id(), || drop(again)) {
            self.note(in_drop(text));
        }
    }

    /// The report of an actor whose task does not come to its end. What is queued is given back, for
    /// nobody else will.
    pub(super) fn give_up(shared: &Shared<A>) -> Exit {
        shared.mailbox.close();
        if let Some(mut seizure) = shared.mailbox.seize() {
            shared.give_back(|| seizure.pop());
        }
        report(shared, StopReason::Killed, true)
    }

    /// Drops the state.
    fn discard(&mut self) {
        let resident =
            hold(&self.shared, &mut self.tenancy).and_then(|mut hold| hold.seat().stand());
        if let Err(text) = guarded(self.shared.id(), || drop(resident)) {
            self.note(in_drop(text));
        }
    }

    /// Whether the actor is to drain, and no message waits in any way.
    fn has_nothing_left(&self) -> bool {
        let kept = self.again.as_ref().is_some_and(|it| it.kept.is_some());
        !kept && self.shared.has_nothing_left()
    }

    /// A message that was to be handled again will not be.
    #[cold]
    fn give_up_kept(&mut self) {
        let kept = self.again.as_mut().and_then(|again| again.kept.take());
        let Some(kept) = kept else { return };
        let shared = Arc::clone(&self.shared);
        let message = kept.message();
        if let Err(text) = guarded(shared.id(), || kept.give_up(&shared.mailbox)) {
            self.note(in_drop(text));
        }
        set_message_aside(&shared, &mut self.problems, message);
    }

    fn note(&mut self, problem: HookProblem) {
        note(&mut self.problems, problem);
    }
}

impl<A: Actor> Future for Runner<A> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if let Some(tenancy) = &mut this.tenancy {
            this.shared.mailbox.introduce(tenancy, cx.waker());
        }
        loop {
            if let Some(reason) = ready!(this.step(cx)) {
                this.finish(reason);
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
        let reason = match self.phase {
            Phase::Waiting if !self.shared.life.is_ready() => StopReason::NeverStarted,
            _ => StopReason::RuntimeGone,
        };
        self.finish(reason);
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

/// Goes on with the handler that waits, if one does. A kill goes before it.
#[inline]
fn resume<A: Actor>(
    hold: &mut Hold<'_, Resident<A>>,
    guard: &Guarded,
    cx: &mut task::Context<'_>,
) -> Polled {
    if hold.seat().running().is_none() {
        return Polled::Done;
    }
    if hold.mailbox().level() == Level::Kill {
        return Polled::Waits;
    }
    hold.seat().poll(guard, cx)
}

/// After a panic: keeps the message that is to be handled again.
#[cold]
fn keep<A: Actor>(
    hold: &mut Hold<'_, Resident<A>>,
    shared: &Shared<A>,
    problems: &mut Option<Box<Problems>>,
    place: Option<&mut Option<Box<dyn Kept<A>>>>,
    message: &'static str,
) {
    let Some(left) = hold.seat().state().and_then(|it| it.left.take()) else {
        return;
    };
    let set_aside = match (left.kept, place) {
        (Some(kept), Some(place)) => {
            *place = Some(kept);
            return;
        }
        (Some(kept), None) => {
            // An actor that is a plain value does not come back.
            if let Err(text) = guarded(shared.id(), || kept.give_up(&shared.mailbox)) {
                note(problems, in_drop(text));
            }
            Some(message)
        }
        (None, _) => left.set_aside,
    };
    if let Some(message) = set_aside {
        set_message_aside(shared, problems, message);
    }
}
