//! Turns the outcome of attempts into what is recorded: decides about retries, records many outcomes in one
//! commit, and tells what followed from it.

use std::sync::Arc;
use std::time::Duration;

use crate::orchestration::context::SystemContext;
use crate::orchestration::events::OrchestrationEvent;
use crate::orchestration::state::StepState;
use crate::orchestration::store::{
    ClaimedStep, Completion, CompletionOutcome, StepFailure, StepOutcome, StoreError,
};
use crate::orchestration::template::RetryPolicy;

/// What a worker says of one attempt.
#[derive(Debug, Clone)]
pub struct StepExecutionResult {
    /// The step as it was claimed.
    pub step: Arc<ClaimedStep>,
    /// The handler's value as JSON text, or why it failed.
    pub outcome: Result<String, StepFailure>,
    /// How long the handler ran.
    pub elapsed: Duration,
}

/// A result could not be recorded. Offering it again is safe: it is recorded once.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the step's result could not be recorded: {0}")]
pub struct ProcessResultError(#[source] pub Arc<StoreError>);

/// The answers to a batch of results.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// One for each result, in order.
    pub(crate) answers: Vec<Result<CompletionOutcome, ProcessResultError>>,
    /// Steps claimed with it.
    pub(crate) claimed: Vec<ClaimedStep>,
    /// Whether there may be something new to claim, now or when a retry falls due.
    pub(crate) more_to_claim: bool,
}

/// The logic of the result processor actor.
#[derive(Debug, Clone)]
pub(crate) struct ResultProcessor {
    context: Arc<SystemContext>,
}

impl ResultProcessor {
    pub(crate) fn new(context: Arc<SystemContext>) -> Self {
        Self { context }
    }

    /// Records a batch of results in one commit, and claims steps for so many that have room for another one.
    /// A result that cannot be judged harms no other.
    pub(crate) async fn process(&self, results: Vec<StepExecutionResult>, room: usize) -> Verdict {
        let mut judged = Vec::with_capacity(results.len());
        let mut completions = Vec::with_capacity(results.len());
        for result in &results {
            let decision = self.decide(result).await.map(|(outcome, delay)| {
                completions.push(Completion {
                    lease: result.step.lease(),
                    process: self.context.process(),
                    outcome,
                    elapsed: result.elapsed,
                });
                delay
            });
            judged.push(decision);
        }
        let claim = self.context.claim_request(room.min(completions.len()));
        let room = claim.as_ref().map_or(0, |claim| claim.limit as usize);
        let store = self.context.store();
        let stored = match claim {
            Some(claim) => store.complete_and_claim(completions, claim).await,
            None => store
                .complete(completions)
                .await
                .map(|outcomes| (outcomes, Vec::new())),
        };
        let (mut recorded, claimed) = match stored {
            Ok((outcomes, claimed)) => (Ok(outcomes.into_iter()), claimed),
            Err(error) => (Err(ProcessResultError(Arc::new(error))), Vec::new()),
        };
        let mut retries = false;
        let mut readied = 0;
        let answers = results
            .iter()
            .zip(judged)
            .map(|(result, decision)| {
                let delay = decision.map_err(|error| ProcessResultError(Arc::new(error)))?;
                let outcomes = recorded.as_mut().map_err(|error| error.clone())?;
                let outcome = outcomes.next().ok_or_else(|| {
                    ProcessResultError(Arc::new(StoreError::Corrupt {
                        what: "the store answered fewer completions than it was given".into(),
                    }))
                })?;
                let followed = self.tell(result, &outcome, delay);
                retries |= followed.retries;
                readied += followed.readied;
                Ok(outcome)
            })
            .collect();
        Verdict {
            answers,
            // A claim that brought as many steps as became ready, or fewer than it could, has left nothing of them, but
            // for what others held at that moment; what waited before is looked for when a place is free.
            more_to_claim: retries
                || readied > claimed.len() && (claimed.len() == room || store.writers() > 1),
            claimed,
        }
    }

    /// Success, another attempt later, or failure for good (O7).
    async fn decide(
        &self,
        result: &StepExecutionResult,
    ) -> Result<(StepOutcome, Option<Duration>), StoreError> {
        let failure = match &result.outcome {
            Ok(result_json) => {
                let result_json = result_json.clone();
                return Ok((StepOutcome::Success { result_json }, None));
            }
            Err(failure) => failure.clone(),
        };
        let step = &result.step;
        let retry_in = if failure.retryable && step.attempt < step.max_attempts {
            let task_uuid = step.id.task_uuid;
            let definition = self
                .context
                .definitions()
                .get(task_uuid, &**self.context.store())
                .await?;
            let policy = definition
                .template
                .steps()
                .get(step.id.index as usize)
                .ok_or_else(|| StoreError::Corrupt {
                    what: format!(
                        "task {task_uuid} has a step {} that its template lacks",
                        step.id.index
                    ),
                })?
                .retry();
            policy.retryable.then(|| match failure.retry_after {
                Some(hint) => hint.min(RetryPolicy::MAX_BACKOFF),
                None => policy.delay(step.attempt, self.context.random()),
            })
        } else {
            None
        };
        Ok((StepOutcome::Failure { failure, retry_in }, retry_in))
    }

    /// Announces what the step's handler recorded itself, in a transaction of its own.
    pub(crate) fn announce(&self, result: &StepExecutionResult, outcome: &CompletionOutcome) {
        self.tell(result, outcome, None);
    }

    /// Announces what was recorded; returns what followed from it.
    fn tell(
        &self,
        result: &StepExecutionResult,
        outcome: &CompletionOutcome,
        delay: Option<Duration>,
    ) -> Followed {
        let step = &result.step;
        let task_uuid = step.id.task_uuid;
        let CompletionOutcome::Recorded {
            step_state,
            task_state,
            newly_ready,
            finalised,
            stops,
        } = *outcome
        else {
            tracing::info!(
                correlation_id = %step.correlation_id, %task_uuid, step = step.name, epoch = step.epoch,
                ?outcome, "a result came too late and was not recorded"
            );
            return Followed::default();
        };
        let announcer = self.context.announcer();
        let error = || {
            result
                .outcome
                .as_ref()
                .err()
                .map(|failure| failure.message.clone())
        };
        if step_state == StepState::RetryWait {
            announcer.announce(|| OrchestrationEvent::StepRetrying {
                task_uuid,
                index: step.id.index,
                name: step.name.clone(),
                attempt: step.attempt,
                delay: delay.unwrap_or_default(),
                error: error().unwrap_or_default(),
            });
        } else {
            announcer.announce(|| OrchestrationEvent::StepFinished {
                task_uuid,
                index: step.id.index,
                name: step.name.clone(),
                state: step_state,
                attempt: step.attempt,
                elapsed: result.elapsed,
                error: error(),
            });
        }
        if stops {
            // Those that run in other processes learn it from their heartbeat.
            self.context.running().interrupt_task(task_uuid);
        }
        if finalised {
            tracing::debug!(correlation_id = %step.correlation_id, %task_uuid, state = %task_state, "task finished");
            announcer.task_finished(task_uuid, task_state);
            self.context.definitions().forget(task_uuid);
        }
        Followed {
            readied: newly_ready as usize,
            retries: step_state == StepState::RetryWait,
        }
    }
}

/// What followed from one outcome.
#[derive(Debug, Default)]
struct Followed {
    /// How many steps became ready.
    readied: usize,
    /// The step is tried again later.
    retries: bool,
}
