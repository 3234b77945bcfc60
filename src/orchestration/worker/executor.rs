//! One attempt of one step: the handler under its timeout, its cancellation and a guard against panics.
//!
//! Whatever a handler does, exactly one [`StepReport`] comes out. When its time is up or it is cancelled, its
//! token is cancelled first, so that it can end by itself within its grace; then it is dropped. A blocking
//! function cannot be dropped: its outcome is reported at once and its thread goes on, holding its slot, so
//! that no more threads run than the program has slots for.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use super::context::Attempt;
use super::erased::{Outcome, Work};
use super::joined::Joined;
use super::{HandlerTable, StepError};
use crate::orchestration::store::ClaimedStep;

/// A claimed step and all that its handler needs.
#[derive(Debug)]
pub(crate) struct StepJob {
    pub(crate) claimed: Arc<ClaimedStep>,
    pub(crate) input_json: Arc<str>,
    pub(crate) config: Arc<Value>,
    pub(crate) timeout: Option<Duration>,
    /// Cancelled from outside to interrupt the step.
    pub(crate) cancellation: CancellationToken,
    /// Whatever stands for one of the places for steps that run at a time; a thread that cannot be stopped
    /// keeps it.
    pub(crate) slot: Arc<dyn Any + Send + Sync>,
    pub(crate) max_result: usize,
    /// Who holds the lease.
    pub(crate) process: Uuid,
    pub(crate) joined: Joined,
}

/// What became of an attempt.
#[derive(Debug)]
pub(crate) struct StepReport {
    /// The result as JSON text, or why there is none.
    pub(crate) outcome: Outcome,
    pub(crate) elapsed: Duration,
    /// The step was cancelled from outside and did not succeed all the same: the error in `outcome` says
    /// nothing about the step itself.
    pub(crate) interrupted: bool,
}

/// Why a handler is told to stop.
enum Stop {
    Timeout(Duration),
    Interrupt,
}

/// Runs one attempt. Dropping the future interrupts the handler without its grace.
pub(crate) async fn execute(job: StepJob, table: &HandlerTable) -> StepReport {
    let started = Instant::now();
    let claimed = &job.claimed;
    let Some(handler) = table.get(&claimed.callable) else {
        let message = format!("this process has no handler \"{}\"", claimed.callable);
        return StepReport {
            outcome: Err(StepError::permanent(message).with_kind("unknown_handler")),
            elapsed: started.elapsed(),
            interrupted: false,
        };
    };
    let span = tracing::info_span!(
        "step", correlation_id = %claimed.correlation_id, task_uuid = %claimed.id.task_uuid, step = claimed.name,
        attempt = claimed.attempt, epoch = claimed.epoch,
    );
    let token = job.cancellation.child_token();
    // Also when this future is dropped: threads and tasks of the handler see that nobody waits for them.
    let _ended = token.clone().drop_guard();
    let work = handler.prepare(Arc::new(Attempt {
        claimed: job.claimed,
        input_json: job.input_json,
        config: job.config,
        cancellation: token.clone(),
        max_result: job.max_result,
        process: job.process,
        started,
        joined: job.joined,
    }));
    let mut running = match work {
        Work::Async(future) => Guarded::new(future),
        Work::Blocking(function) => {
            Guarded::new(Box::pin(on_thread(function, job.slot, span.clone())))
        }
    };
    let (outcome, interrupted) = async {
        let stop = tokio::select! {
            biased;
            outcome = &mut running => return (outcome, false),
            () = job.cancellation.cancelled() => Stop::Interrupt,
            after = expired(job.timeout) => Stop::Timeout(after),
        };
        token.cancel();
        // Polls it once even if the grace is zero.
        let last = timeout(handler.grace(), &mut running).await.ok();
        judge(&stop, last)
    }
    .instrument(span)
    .await;
    StepReport {
        outcome,
        elapsed: started.elapsed(),
        interrupted,
    }
}

/// The outcome of a handler that was told to stop, and whether it counts as interrupted.
fn judge(stop: &Stop, last: Option<Outcome>) -> (Outcome, bool) {
    let (kind, message) = match stop {
        Stop::Interrupt => ("interrupted", "the step was told to stop".to_owned()),
        Stop::Timeout(after) => ("timeout", format!("no result within {after:?}")),
    };
    let message = match last {
        // It was done when it was told: the work is not to be thrown away.
        Some(Ok(result)) if matches!(stop, Stop::Interrupt) => return (Ok(result), false),
        Some(Err(error)) => format!("{message}; {}", error.message()),
        Some(Ok(_)) | None => message,
    };
    let error = StepError::retryable(message).with_kind(kind);
    (Err(error), matches!(stop, Stop::Interrupt))
}

async fn expired(after: Option<Duration>) -> Duration {
    match after {
        Some(after) => {
            sleep(after).await;
            after
        }
        None => std::future::pending().await,
    }
}

async fn on_thread(
    function: Box<dyn FnOnce() -> Outcome + Send>,
    slot: Arc<dyn Any + Send + Sync>,
    span: tracing::Span,
) -> Outcome {
    let thread = tokio::task::spawn_blocking(move || {
        // Declared first, dropped last: the slot is free when everything of the function is gone.
        let _slot = slot;
        span.in_scope(function)
    });
    match thread.await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => Err(panicked(&*panic)),
            Err(_) => Err(StepError::retryable("the runtime shut down").with_kind("interrupted")),
        },
    }
}

/// A handler's future whose panics, also while it is dropped, end in an error.
struct Guarded {
    future: Option<Pin<Box<dyn Future<Output = Outcome> + Send>>>,
}

impl Guarded {
    fn new(future: Pin<Box<dyn Future<Output = Outcome> + Send>>) -> Self {
        Self {
            future: Some(future),
        }
    }

    fn dispose(&mut self) -> Result<(), StepError> {
        let future = self.future.take();
        // Nothing is looked at afterwards but the error, so broken invariants stay unseen.
        catch_unwind(AssertUnwindSafe(|| drop(future))).map_err(|panic| panicked(&*panic))
    }
}

impl Future for Guarded {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let Some(future) = self.future.as_mut() else {
            return Poll::Pending;
        };
        let outcome = match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(outcome)) => outcome,
            Err(panic) => Err(panicked(&*panic)),
        };
        // The work itself is done; a destructor that panics after it changes nothing about that.
        let _ = self.dispose();
        Poll::Ready(outcome)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.dispose();
    }
}

fn panicked(panic: &(dyn Any + Send)) -> StepError {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)");
    StepError::retryable(format!("the handler panicked: {text}")).with_kind("panic")
}

#[cfg(test)]
pub(crate) mod fixture {
    //! Steps to run in tests, without a store.

    use tokio::sync::Semaphore;

    use super::*;
    use crate::orchestration::store::{ParentResult, StepId};

    /// The one place of a worker that runs one step at a time.
    pub(crate) fn slots() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(1))
    }

    pub(crate) fn parent(name: &str, result_json: &str) -> ParentResult {
        ParentResult {
            name: name.to_owned(),
            result_json: result_json.to_owned(),
        }
    }

    pub(crate) fn attempt(callable: &str) -> Attempt {
        Attempt {
            claimed: Arc::new(ClaimedStep {
                id: StepId {
                    task_uuid: Uuid::from_u128(7),
                    index: 0,
                },
                name: callable.to_owned(),
                callable: callable.to_owned(),
                epoch: 4,
                attempt: 2,
                max_attempts: 3,
                correlation_id: Uuid::from_u128(8),
                parents: Vec::new(),
            }),
            input_json: "null".into(),
            config: Arc::new(Value::Null),
            cancellation: CancellationToken::new(),
            max_result: 1024 * 1024,
            process: Uuid::from_u128(9),
            started: Instant::now(),
            joined: Joined::default(),
        }
    }

    pub(crate) fn job(callable: &str) -> StepJob {
        let attempt = attempt(callable);
        StepJob {
            claimed: attempt.claimed,
            input_json: attempt.input_json,
            config: attempt.config,
            timeout: None,
            cancellation: attempt.cancellation,
            slot: Arc::new(slots().try_acquire_owned().unwrap()),
            max_result: attempt.max_result,
            process: attempt.process,
            joined: attempt.joined,
        }
    }
}

#[cfg(test)]
#[path = "executor_tests.rs"]
mod tests;
