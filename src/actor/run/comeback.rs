//! What follows from the end of an incarnation: the end of the actor, or another one.

use super::{Decision, Ended, Phase, Restart, Runner};
use crate::actor::ending::in_drop;
use crate::actor::exit::{Cause, Hook, HookProblem, StopReason, Trouble};
use crate::actor::guard::guarded;
use crate::actor::problems::set_message_aside;
use crate::actor::{Actor, Level};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl<A: Actor> Runner<A> {
    /// What ended an incarnation, before any policy is asked.
    pub(super) fn cause(&self, ended: &Ended) -> Cause {
        match ended {
            Ended::Asked => self.asked(),
            Ended::Drained if self.shared.handles_dropped.load(Ordering::Acquire) => {
                Cause::HandlesDropped
            }
            Ended::Drained => Cause::Drained,
            Ended::Left => Cause::Stopped,
            Ended::Panicked { .. } | Ended::StartFailed(_) | Ended::Regroups => {
                self.failure(ended).into()
            }
        }
    }

    /// The same for what needs words.
    #[cold]
    fn failure(&self, ended: &Ended) -> StopReason {
        match ended {
            Ended::Asked | Ended::Drained | Ended::Left => self.cause(ended).into(),
            Ended::Panicked { message, text } => StopReason::Panicked {
                message,
                text: Arc::clone(text),
            },
            Ended::StartFailed(problem) => StopReason::StartFailed(problem.clone()),
            Ended::Regroups => {
                let group = self.again.as_ref().and_then(|again| again.group.as_ref());
                StopReason::GroupRestart {
                    failed: group.map_or_else(
                        || self.shared.name.clone(),
                        |group| group.membership.cause(),
                    ),
                }
            }
        }
    }

    pub(super) fn asked(&self) -> Cause {
        match self.shared.mailbox.level() {
            Level::Kill => Cause::Killed,
            _ => Cause::Stopped,
        }
    }

    /// Whether the actor comes back. If not, its mailbox closes now.
    pub(super) fn decide(&mut self, ended: &Ended) -> Decision {
        self.shared.mailbox.take_let_out();
        let decision = if self.again.is_some() {
            self.judge(ended)
        } else {
            Decision::End(self.cause(ended))
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
        let cause = self.cause(ended);
        // A start that failed before any has worked is the answer to whoever waits for the actor.
        let first_start = matches!(ended, Ended::StartFailed(_)) && !self.shared.life.is_ready();
        let over = self.shared.mailbox.level() >= Level::Stop || self.has_nothing_left();
        let Some(again) = &mut self.again else {
            return Decision::End(cause);
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
            return Decision::End(cause);
        }
        let reason = StopReason::from(cause);
        if let Ok(n) = again.failures.record(tokio::time::Instant::now()) {
            let after = again.policy.pause(n);
            return Decision::Restart(Box::new(Restart { after, reason }));
        }
        let exceeded = StopReason::IntensityExceeded {
            limit: again.policy.limit(),
            window: again.policy.window(),
            last: Box::new(reason),
        };
        Decision::End(exceeded.into())
    }

    /// Goes down until its group restarts it.
    #[cold]
    pub(super) fn regroup(&mut self) -> Option<Cause> {
        let reason = self.failure(&Ended::Regroups);
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
    pub(super) fn restart(&mut self, Restart { after, reason }: Restart) -> Option<Cause> {
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
        // A runtime without a clock says so by a panic.
        match guarded(shared.id(), || shared.sleep(after)) {
            Ok(timer) => {
                self.phase = Phase::Pausing(timer);
                None
            }
            Err(text) => {
                self.note(HookProblem {
                    hook: Hook::Backoff,
                    trouble: Trouble::Panicked(text),
                });
                Some(reason.into())
            }
        }
    }

    /// After the pause before a restart.
    pub(super) fn come_back(&mut self) -> Option<Cause> {
        if self.has_nothing_left() {
            return Some(self.cause(&Ended::Drained));
        }
        self.phase = Phase::Waiting;
        None
    }

    /// Whether the actor is to drain, and no message waits in any way.
    pub(super) fn has_nothing_left(&self) -> bool {
        let kept = self.again.as_ref().is_some_and(|it| it.kept.is_some());
        !kept && self.shared.has_nothing_left()
    }

    /// A message that was to be handled again will not be.
    #[cold]
    pub(super) fn give_up_kept(&mut self) {
        let kept = self.again.as_mut().and_then(|again| again.kept.take());
        let Some(kept) = kept else { return };
        let shared = Arc::clone(&self.shared);
        let message = kept.message();
        if let Err(text) = guarded(shared.id(), || kept.give_up(&shared.mailbox)) {
            self.note(in_drop(text));
        }
        set_message_aside(&shared, &mut self.problems, message);
    }

    /// The actor will not come back.
    #[cold]
    pub(super) fn give_up_again(&mut self, cause: &Cause) {
        self.give_up_kept();
        // The factory may hold handles of others, which need not wait for this task's end.
        let again = self.again.take();
        if cause.is_failure()
            && let Some(group) = again.as_ref().and_then(|again| again.group.as_ref())
        {
            group.membership.has_failed_for_good();
        }
        if let Err(text) = guarded(self.shared.id(), || drop(again)) {
            self.note(in_drop(text));
        }
    }
}
