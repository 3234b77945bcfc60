//! The actor that runs steps: opens places for them, runs them, hands in what became of them, and keeps their
//! leases alive meanwhile.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::StepError;
use super::dispatcher::Place;
use super::executor::{StepJob, StepReport, execute};
use super::heart::Heart;
use super::joined::Joined;
use crate::actor::{Actor, AskError, Context, Handle, Handler, Message, StopReason};
use crate::orchestration::actors::{
    OrchestrationActor, ProcessStepResultMessage, ResultProcessorActor, StepEnqueuerActor,
};
use crate::orchestration::context::SystemContext;
use crate::orchestration::events::OrchestrationEvent;
use crate::orchestration::lifecycle::{ProcessResultError, ResultProcessor, StepExecutionResult};
use crate::orchestration::state::StepState;
use crate::orchestration::store::{ClaimedStep, CompletionOutcome, StepFailure, StoreError};

/// Asks a worker what it is doing.
#[derive(Debug)]
pub struct WorkerStatusMessage;

impl Message for WorkerStatusMessage {
    type Response = WorkerStatus;
    type Error = Infallible;
}

/// What a worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerStatus {
    /// Steps that run, or whose outcome is being recorded.
    pub running: usize,
    /// Steps that may run at once.
    pub concurrency: usize,
}

/// Runs steps. When it stops, steps that run are given [`drain`](crate::orchestration::OrchestrationConfig::drain)
/// to end; then they are interrupted and their leases given back.
#[derive(Debug)]
pub struct WorkerActor {
    context: Arc<SystemContext>,
    enqueuer: Handle<StepEnqueuerActor>,
    results: Handle<ResultProcessorActor>,
    steps: TaskTracker,
    // No new steps once this is cancelled.
    closing: CancellationToken,
    heartbeat: Option<AbortOnDropHandle<()>>,
}

impl WorkerActor {
    /// How long interrupted steps get at shutdown, beyond their handlers' own grace, to hand in what became of
    /// them.
    const LAST_WORDS: Duration = Duration::from_secs(9);

    pub(crate) fn new(
        context: Arc<SystemContext>,
        enqueuer: Handle<StepEnqueuerActor>,
        results: Handle<ResultProcessorActor>,
    ) -> Self {
        Self {
            context,
            enqueuer,
            results,
            steps: TaskTracker::new(),
            closing: CancellationToken::new(),
            heartbeat: None,
        }
    }

    /// How long `stopped` may take, for the actor's stop deadline.
    pub(crate) fn stop_deadline(context: &SystemContext) -> Duration {
        context.config().drain + Self::LAST_WORDS + Duration::from_secs(2)
    }
}

impl Actor for WorkerActor {
    type Error = Infallible;

    async fn started(&mut self, _: &Context<Self>) -> Result<(), Infallible> {
        let heartbeat = beat_for_ever(Arc::clone(&self.context));
        self.heartbeat = Some(AbortOnDropHandle::new(tokio::spawn(heartbeat)));
        let runner = StepRunner {
            context: Arc::clone(&self.context),
            results: self.results.clone(),
            closing: self.closing.clone(),
        };
        let steps = self.steps.clone();
        let start = move |step, place| {
            steps.spawn(runner.clone().run(step, place));
        };
        self.context.dispatcher().open(self.enqueuer.clone(), start);
        StepEnqueuerActor::nudge(&self.enqueuer);
        Ok(())
    }

    async fn stopped(&mut self, _: &StopReason) -> Result<(), Infallible> {
        self.closing.cancel();
        self.context.dispatcher().close();
        self.steps.close();
        if timeout(self.context.config().drain, self.steps.wait())
            .await
            .is_err()
        {
            tracing::info!(
                steps = self.steps.len(),
                "interrupting steps that did not end in time; they will run again"
            );
            self.context.running().interrupt_all();
            if timeout(Self::LAST_WORDS, self.steps.wait()).await.is_err() {
                tracing::warn!(
                    steps = self.steps.len(),
                    "steps did not react to being interrupted"
                );
            }
        }
        let leases = self.context.running().leases();
        if !leases.is_empty()
            && let Err(error) = self
                .context
                .store()
                .release(self.context.process(), leases)
                .await
        {
            tracing::warn!(%error, "leases could not be given back; they run out by themselves");
        }
        Ok(())
    }
}

impl OrchestrationActor for WorkerActor {
    fn context(&self) -> &Arc<SystemContext> {
        &self.context
    }
}

impl Handler<WorkerStatusMessage> for WorkerActor {
    async fn handle(
        &mut self,
        _: WorkerStatusMessage,
        _: &Context<Self>,
    ) -> Result<WorkerStatus, Infallible> {
        Ok(WorkerStatus {
            running: self.context.running().len(),
            concurrency: self.context.config().concurrency,
        })
    }
}

/// What a step's run needs, and what the next one in the same place takes over.
#[derive(Clone)]
struct StepRunner {
    context: Arc<SystemContext>,
    results: Handle<ResultProcessorActor>,
    // No new steps once this is cancelled.
    closing: CancellationToken,
}

impl StepRunner {
    /// Runs a step, and then whatever came with the answer to its outcome: one step after another in one place.
    async fn run(self, step: ClaimedStep, place: Place) {
        let place = Arc::new(place);
        let mut next = Some(step);
        while let Some(step) = next {
            let lease = step.lease();
            if self.closing.is_cancelled() {
                self.give_back(&step).await;
                return;
            }
            let run = StepRun {
                cancellation: self.context.running().begin(lease),
                runner: &self,
                step: Arc::new(step),
                place: Arc::clone(&place),
            };
            let recorded = run.attempt().await;
            if recorded.is_none() {
                // No outcome could be recorded: the step is given back and runs again.
                self.give_back(&run.step).await;
            }
            next = recorded.and_then(|recorded| recorded.next);
            self.context.running().end(lease);
        }
    }

    async fn give_back(&self, step: &ClaimedStep) {
        let released = self
            .context
            .store()
            .release(self.context.process(), vec![step.lease()])
            .await;
        if let Err(error) = released {
            tracing::warn!(
                correlation_id = %step.correlation_id, task_uuid = %step.id.task_uuid, step = step.name,
                %error, "a lease could not be given back; it runs out by itself"
            );
        }
    }
}

/// An outcome has been recorded, or was found stale.
struct Recorded {
    /// A step that was claimed with it.
    next: Option<ClaimedStep>,
}

/// One claimed step, from claim to recorded outcome.
struct StepRun<'a> {
    runner: &'a StepRunner,
    cancellation: CancellationToken,
    step: Arc<ClaimedStep>,
    place: Arc<Place>,
}

impl StepRun<'_> {
    /// Runs the handler and hands in the outcome; `None` if there is none to record.
    async fn attempt(&self) -> Option<Recorded> {
        let context = &self.runner.context;
        let step = &self.step;
        let task_uuid = step.id.task_uuid;
        let definition = loop {
            let found = context.definitions().get(task_uuid, &**context.store());
            match found.await {
                Ok(definition) => break definition,
                Err(error) if self.outlasts(&error).await => {}
                Err(error) => {
                    tracing::error!(
                        correlation_id = %step.correlation_id, %task_uuid, step = step.name, %error,
                        "a claimed step cannot be run"
                    );
                    return None;
                }
            }
        };
        let position = step.id.index as usize;
        let (Some(declared), Some(config)) = (
            definition.template.steps().get(position),
            definition.configs.get(position),
        ) else {
            tracing::error!(%task_uuid, position, "a claimed step is not in its task's template");
            return None;
        };
        context
            .announcer()
            .announce(|| OrchestrationEvent::StepStarted {
                task_uuid,
                index: step.id.index,
                name: step.name.clone(),
                attempt: step.attempt,
            });
        let joined = Joined::default();
        let job = StepJob {
            claimed: Arc::clone(step),
            input_json: Arc::clone(&definition.input_json),
            config: Arc::clone(config),
            timeout: declared.timeout(),
            cancellation: self.cancellation.clone(),
            slot: Arc::<Place>::clone(&self.place),
            max_result: context.config().max_payload,
            process: context.process(),
            joined: joined.clone(),
        };
        let mut report = execute(job, context.handlers()).await;
        if let Some(outcome) = joined.take() {
            if self.is_complete().await {
                self.announce(&report, &outcome);
                return Some(Recorded { next: None });
            }
            if report.outcome.is_ok() {
                let message = "the step was completed in a transaction that was not committed";
                report.outcome = Err(StepError::retryable(message).with_kind("not_committed"));
            }
        }
        if report.interrupted {
            // Shutting down, cancelled, or the lease is lost. What is still ours is given back; the rest is not.
            return None;
        }
        self.hand_in(report).await
    }

    /// Whether this attempt has completed the step, in a transaction of the handler's. If that cannot be found out,
    /// the outcome is offered as any other: should it be recorded already, it is found stale.
    async fn is_complete(&self) -> bool {
        let stored = self.runner.context.store().step(self.step.id).await;
        match stored {
            Ok(Some(step)) => step.state == StepState::Complete && step.epoch == self.step.epoch,
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(
                    correlation_id = %self.step.correlation_id, task_uuid = %self.step.id.task_uuid,
                    step = self.step.name, %error, "whether a step was completed could not be read"
                );
                false
            }
        }
    }

    /// Tells what followed from a step that its handler has completed.
    fn announce(&self, report: &StepReport, outcome: &CompletionOutcome) {
        let context = &self.runner.context;
        let result = StepExecutionResult {
            step: Arc::clone(&self.step),
            outcome: Ok(String::new()),
            elapsed: report.elapsed,
        };
        ResultProcessor::new(Arc::clone(context)).announce(&result, outcome);
        context.dispatcher().nudge();
    }

    /// Offers the outcome until it is recorded, found stale, or the store has failed too often.
    async fn hand_in(&self, report: StepReport) -> Option<Recorded> {
        let StepRunner {
            context, results, ..
        } = self.runner;
        let result = StepExecutionResult {
            step: Arc::clone(&self.step),
            outcome: report.outcome.map_err(StepFailure::from),
            elapsed: report.elapsed,
        };
        let mut wait = Duration::from_millis(10);
        let mut tries = 0;
        while tries <= context.config().completion_retries {
            let message = ProcessStepResultMessage {
                result: result.clone(),
                take_next: self.has_room(),
            };
            match results.ask(message).await {
                Ok(processed) => {
                    return Some(Recorded {
                        next: processed.next,
                    });
                }
                // The breaker tells of it.
                Err(AskError::Handler(ProcessResultError(error)))
                    if self.outlasts(&error).await =>
                {
                    continue;
                }
                Err(error) => {
                    tracing::warn!(
                        correlation_id = %self.step.correlation_id, task_uuid = %self.step.id.task_uuid,
                        step = self.step.name, error = %error.without_message(),
                        "an outcome could not be recorded; it is offered again"
                    );
                }
            }
            tries += 1;
            sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(1));
        }
        None
    }

    /// Waits a while if it was an outage: what is to be said to the database is kept until it is back, or until this
    /// process shuts down. `false` if it was something else, or there is no more waiting.
    async fn outlasts(&self, error: &StoreError) -> bool {
        /// Until the breaker has opened; the store has tried for longer itself.
        const SOON: Duration = Duration::from_millis(10);
        let ends = self.runner.closing.is_cancelled() && self.cancellation.is_cancelled();
        if ends || !error.is_outage() {
            return false;
        }
        sleep(error.retry_after().unwrap_or(SOON)).await;
        true
    }

    /// Whether another step can run here: the worker goes on, and no thread of this one still does.
    fn has_room(&self) -> bool {
        !self.runner.closing.is_cancelled() && Arc::strong_count(&self.place) == 2
    }
}

/// Renews this process's leases as often as the configuration says. While it has none, every other time is enough.
async fn beat_for_ever(context: Arc<SystemContext>) {
    let period = context.config().heartbeat;
    let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heart = Heart::new();
    let mut rested = false;
    loop {
        ticks.tick().await;
        rested = context.running().is_empty() && !rested;
        if !rested {
            heart.beat(&context).await;
        }
    }
}
