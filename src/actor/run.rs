//! The actor's task: one incarnation after another, and at the end the report.

use super::builder::{Limits, Mould};
use super::exit::{Exit, Hook, HookProblem, StopReason, Trouble};
use super::hook::{Hooked, run_hook};
use super::running::{Ending, guarded};
use super::shared::Shared;
use super::{Actor, Context, Level};
use crate::mailbox::{Next, lock};
use crate::supervision::{Intensity, RestartPolicy};
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::task::coop::poll_proceed;

/// How many hook problems a report lists.
const MAX_PROBLEMS: usize = 16;

/// Everything an actor's task owns. Dropped before its end, because its runtime is gone or it was
/// never started, it still gives every message back and writes the report.
pub(crate) struct Runner<A: Actor> {
    ctx: Context<A>,
    first: Option<A>,
    again: Option<Again<A>>,
    limits: Limits,
    problems: Vec<HookProblem>,
    further_problems: u64,
    running: bool,
    finished: bool,
}

struct Again<A> {
    factory: Box<dyn FnMut() -> A + Send>,
    policy: RestartPolicy,
    failures: Intensity,
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
}

enum Decision {
    End(StopReason),
    Restart { after: Duration, reason: StopReason },
}

impl<A: Actor> Runner<A> {
    /// A task without an actor: all it can do is to be dropped.
    pub(super) fn vacant(ctx: Context<A>) -> Self {
        Self {
            ctx,
            first: None,
            again: None,
            limits: Limits::default(),
            problems: Vec::new(),
            further_problems: 0,
            running: false,
            finished: false,
        }
    }

    pub(super) fn occupied(mut self, mould: Mould<A>, limits: Limits) -> Self {
        self.first = Some(mould.first);
        self.again = mould.again.map(|(factory, policy)| Again {
            factory,
            policy,
            failures: policy.counter(),
        });
        self.limits = limits;
        self
    }

    /// The task.
    pub(crate) async fn run(mut self) {
        self.running = true;
        let reason = self.live().await;
        self.finish(reason);
    }

    async fn live(&mut self) -> StopReason {
        loop {
            if self.shared().mailbox.level() >= Level::Stop {
                return self.asked();
            }
            let decision = match self.next_incarnation() {
                Ok(actor) => self.incarnation(actor).await,
                Err(problem) => self.decide(&Ended::StartFailed(problem)),
            };
            let (after, reason) = match decision {
                Decision::End(reason) => return reason,
                Decision::Restart { after, reason } => (after, reason),
            };
            let shared = Arc::clone(self.shared());
            let _ = guarded(shared.id, || {
                tracing::warn!(actor = &*shared.name, %reason, ?after, "restarting");
            });
            pause(&shared, after).await;
            if shared.has_nothing_left() {
                return self.reason(&Ended::Drained);
            }
            if shared.mailbox.level() < Level::Stop {
                shared.restarts.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn next_incarnation(&mut self) -> Result<A, HookProblem> {
        let id = self.ctx.id();
        match (self.first.take(), &mut self.again) {
            (Some(first), _) => Ok(first),
            (None, Some(again)) => guarded(id, || (again.factory)()).map_err(|text| HookProblem {
                hook: Hook::Factory,
                trouble: Trouble::Panicked(text),
            }),
            (None, None) => Err(HookProblem {
                hook: Hook::Factory,
                trouble: Trouble::Panicked(Arc::from(
                    "there is no factory to make the actor again",
                )),
            }),
        }
    }

    /// From `started` to the drop of the state.
    async fn incarnation(&mut self, mut actor: A) -> Decision {
        let (start, stop) = (self.limits.start, self.limits.stop);
        let ctx = &self.ctx;
        let starting = async { actor.started(ctx).await };
        let started = run_hook(&*ctx.shared, Hook::Started, start, starting).await;
        let has_started = matches!(started, Hooked::Done);
        let ended = match started {
            Hooked::Killed => Ended::Asked,
            Hooked::Went(problem) => Ended::StartFailed(problem),
            Hooked::Done => {
                self.shared().life.set_ready();
                self.serve(&mut actor).await
            }
        };
        // Decided first, so that an actor which will not come back accepts nothing while it stops.
        let decision = self.decide(&ended);
        if has_started {
            let reason = self.reason(&ended);
            let stopping = async { actor.stopped(&reason).await };
            if let Hooked::Went(problem) =
                run_hook(&*self.ctx.shared, Hook::Stopped, stop, stopping).await
            {
                self.note(problem);
            }
        }
        self.discard(actor);
        decision
    }

    /// Handles messages until something ends the incarnation.
    async fn serve(&mut self, actor: &mut A) -> Ended {
        let shared = Arc::clone(self.shared());
        let mailbox = &shared.mailbox;
        loop {
            if shared.leaving.load(Ordering::Acquire) {
                return Ended::Left;
            }
            // A flooded mailbox gives way to other tasks like any tokio resource.
            let next = poll_fn(|cx| {
                let budget = ready!(poll_proceed(cx));
                let next = ready!(mailbox.poll_next(cx));
                budget.made_progress();
                Poll::Ready(next)
            });
            let envelope = match next.await {
                Next::Message(envelope) => envelope,
                Next::Stop => return Ended::Asked,
                Next::Drained => return Ended::Drained,
            };
            let Some(mut running) = envelope.begin(actor, &self.ctx) else {
                continue;
            };
            let message = running.message();
            let ending = poll_fn(|cx| {
                if mailbox.level() == Level::Kill {
                    return Poll::Ready(Ending::Killed);
                }
                match running.poll(cx) {
                    // Registered after the poll, looked at after registering: no kill is missed.
                    Poll::Pending if mailbox.watch_level(cx) == Level::Kill => {
                        Poll::Ready(Ending::Killed)
                    }
                    polled => polled,
                }
            })
            .await;
            if let Some(text) = running.end(&ending) {
                self.note(HookProblem {
                    hook: Hook::Drop,
                    trouble: Trouble::Panicked(text),
                });
            }
            match ending {
                Ending::Returned => {}
                Ending::Killed => return Ended::Asked,
                Ending::Panicked(text) => return Ended::Panicked { message, text },
            }
        }
    }

    /// What ended an incarnation, before any policy is asked.
    fn reason(&self, ended: &Ended) -> StopReason {
        match ended {
            Ended::Asked => self.asked(),
            Ended::Drained if self.shared().handles_dropped.load(Ordering::Acquire) => {
                StopReason::HandlesDropped
            }
            Ended::Drained => StopReason::Drained,
            Ended::Left => StopReason::Stopped,
            Ended::Panicked { message, text } => StopReason::Panicked {
                message,
                text: Arc::clone(text),
            },
            Ended::StartFailed(problem) => StopReason::StartFailed(problem.clone()),
        }
    }

    fn asked(&self) -> StopReason {
        match self.shared().mailbox.level() {
            Level::Kill => StopReason::Killed,
            _ => StopReason::Stopped,
        }
    }

    /// Whether the actor comes back. If not, its mailbox closes now.
    fn decide(&mut self, ended: &Ended) -> Decision {
        let decision = self.judge(ended);
        let shared = self.shared();
        if matches!(decision, Decision::End(_)) && shared.mailbox.level() == Level::Open {
            shared.raise(Level::Stop);
        }
        decision
    }

    fn judge(&mut self, ended: &Ended) -> Decision {
        let reason = self.reason(ended);
        let shared = &self.ctx.shared;
        shared.leaving.store(false, Ordering::Release);
        // A start that failed before any has worked is the answer to whoever waits for the actor.
        let first_start = matches!(ended, Ended::StartFailed(_)) && !shared.life.is_ready();
        let over = shared.mailbox.level() >= Level::Stop || shared.has_nothing_left();
        let Some(again) = &mut self.again else {
            return Decision::End(reason);
        };
        let restarts = match ended {
            Ended::Asked | Ended::Drained => false,
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
    fn finish(&mut self, reason: StopReason) {
        self.finished = true;
        if let Some(actor) = self.first.take() {
            self.discard(actor);
        }
        // The factory may hold handles of others, which need not wait for this task's end.
        let again = self.again.take();
        if let Err(text) = guarded(self.ctx.id(), || drop(again)) {
            self.note(HookProblem {
                hook: Hook::Drop,
                trouble: Trouble::Panicked(text),
            });
        }
        let shared = Arc::clone(self.shared());
        shared.mailbox.close();
        for text in shared.give_back() {
            self.note(HookProblem {
                hook: Hook::Drop,
                trouble: Trouble::Panicked(text),
            });
        }
        let exit = Arc::new(Exit {
            problems: std::mem::take(&mut self.problems),
            further_problems: self.further_problems,
            ..report(&shared, reason)
        });
        // Published first: whatever a subscriber does with it, nobody waits in vain.
        shared.life.set_exit(Arc::clone(&exit));
        let _ = guarded(shared.id, || {
            if exit.reason.is_failure() || !exit.problems.is_empty() {
                tracing::error!(actor = &*exit.actor, "{exit}");
            } else {
                tracing::debug!(actor = &*exit.actor, "{exit}");
            }
        });
    }

    /// The report of an actor whose task does not come to its end. What is queued is given back, for
    /// nobody else will.
    pub(super) fn give_up(shared: &Shared<A>) -> Exit {
        shared.mailbox.close();
        shared.give_back();
        Exit {
            abandoned_handler: true,
            ..report(shared, StopReason::Killed)
        }
    }

    fn discard(&mut self, actor: A) {
        if let Err(text) = guarded(self.ctx.id(), || drop(actor)) {
            self.note(HookProblem {
                hook: Hook::Drop,
                trouble: Trouble::Panicked(text),
            });
        }
    }

    fn note(&mut self, problem: HookProblem) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.further_problems += 1;
        }
    }

    fn shared(&self) -> &Arc<Shared<A>> {
        &self.ctx.shared
    }
}

impl<A: Actor> Drop for Runner<A> {
    fn drop(&mut self) {
        if !self.finished {
            self.finish(if self.running {
                StopReason::RuntimeGone
            } else {
                StopReason::NeverStarted
            });
        }
    }
}

/// Waits before a restart, unless the actor is told to stop or has nothing left to do.
async fn pause<A: Actor>(shared: &Shared<A>, after: Duration) {
    if after.is_zero() {
        return;
    }
    let mut timer = std::pin::pin!(tokio::time::sleep(after));
    poll_fn(|cx| {
        if shared.mailbox.watch_level(cx) >= Level::Stop || shared.has_nothing_left() {
            Poll::Ready(())
        } else {
            timer.as_mut().poll(cx)
        }
    })
    .await;
}

fn report<A: Actor>(shared: &Shared<A>, reason: StopReason) -> Exit {
    static ENDED: AtomicU64 = AtomicU64::new(0);
    Exit {
        actor: Arc::clone(&shared.name),
        id: shared.id,
        reason,
        account: shared.mailbox.account(),
        undelivered: lock(&shared.undelivered).clone(),
        problems: Vec::new(),
        further_problems: 0,
        abandoned_handler: false,
        restarts: shared.restarts.load(Ordering::Relaxed),
        sequence: ENDED.fetch_add(1, Ordering::Relaxed),
    }
}
