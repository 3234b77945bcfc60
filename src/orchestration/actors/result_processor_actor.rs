//! Records what became of steps, as many in one commit as wait; where the store carries out several at once, in that
//! many.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::task::JoinSet;
use tracing::Instrument;
use uuid::Uuid;

use super::gather::{Go, gather};
use super::{OrchestrationActor, StepEnqueuerActor};
use crate::actor::{Actor, Batch, Context, Handle, Handler, Message, Receive, Reply};
use crate::orchestration::context::SystemContext;
use crate::orchestration::lifecycle::{ProcessResultError, ResultProcessor, StepExecutionResult};
use crate::orchestration::store::{BreakerState, ClaimedStep, CompletionOutcome};

/// The outcome of one attempt. Answered when it is recorded durably.
#[derive(Debug)]
pub struct ProcessStepResultMessage {
    /// The outcome.
    pub result: StepExecutionResult,
    /// Whether the sender can go on with another step at once: then one may be claimed for it in the same
    /// commit, and comes with the answer.
    pub take_next: bool,
}

/// The answer to a [`ProcessStepResultMessage`].
#[derive(Debug, Clone)]
pub struct ProcessedStepResult {
    /// What became of the outcome.
    pub outcome: CompletionOutcome,
    /// A step claimed for the sender, only if it said that it can take one. It is to be run, or its lease given
    /// back.
    pub next: Option<ClaimedStep>,
}

impl Message for ProcessStepResultMessage {
    type Response = ProcessedStepResult;
    type Error = ProcessResultError;
    // A result is worth recording even if the worker has stopped waiting.
    const RUN_IF_ABANDONED: bool = true;
}

/// Owns completion: result, attempt, children, counters and the task's end in one transaction.
#[derive(Debug)]
pub struct ResultProcessorActor {
    recorder: Recorder,
    gathered: Vec<Gathered>,
    gathering: bool,
}

type Gathered = (ProcessStepResultMessage, Reply<ProcessStepResultMessage>);

impl ResultProcessorActor {
    /// A share of what was gathered is worth a transaction of its own from this size on.
    const WORTH_IT: usize = 32;

    pub(crate) fn new(context: Arc<SystemContext>, enqueuer: Handle<StepEnqueuerActor>) -> Self {
        Self {
            recorder: Recorder {
                processor: ResultProcessor::new(Arc::clone(&context)),
                context,
                enqueuer,
            },
            gathered: Vec::new(),
            gathering: false,
        }
    }

    /// Records what was gathered: if it is much, in as many transactions as the store carries out at the same time. Not
    /// while the store is tried out after an outage: then one call decides, and the others would be refused.
    async fn record(&mut self) {
        self.gathering = false;
        let gathered = std::mem::take(&mut self.gathered);
        let context = &self.recorder.context;
        let writers = match context.breaker().state {
            BreakerState::Closed => context.store().writers(),
            _ => 1,
        };
        let most = writers.min(gathered.len() / Self::WORTH_IT);
        let mut shares = split(gathered, most, |one| one.0.result.step.id.task_uuid);
        // One is recorded here.
        let Some(own) = shares.pop() else {
            return;
        };
        let mut others = JoinSet::new();
        for share in shares {
            let recorder = self.recorder.clone();
            let record = async move { recorder.record(share).await };
            others.spawn(record.in_current_span());
        }
        self.recorder.record(own).await;
        while let Some(recorded) = others.join_next().await {
            if let Err(error) = recorded {
                // Whoever waits for it is told by its reply, and offers its outcome again.
                tracing::error!(%error, "recording results has panicked");
            }
        }
    }
}

/// At most so many shares of about the same size that have no task in common: transactions that change the same task
/// wait for each other. In each the order is kept; none is empty.
fn split<T>(all: Vec<T>, most: usize, task_of: impl Fn(&T) -> Uuid) -> Vec<Vec<T>> {
    if most < 2 {
        return vec![all];
    }
    let mut shares: Vec<Vec<T>> = (0..most).map(|_| Vec::new()).collect();
    let mut sizes: HashMap<Uuid, usize> = HashMap::new();
    for one in &all {
        *sizes.entry(task_of(one)).or_default() += 1;
    }
    // The largest first, each to the share with the least so far.
    let mut sizes: Vec<(Uuid, usize)> = sizes.into_iter().collect();
    sizes.sort_unstable_by_key(|&(task, size)| (Reverse(size), task));
    let mut loads = vec![0; most];
    let mut share_of: HashMap<Uuid, usize> = HashMap::new();
    for (task, size) in sizes {
        let least = (0..most).min_by_key(|&share| loads[share]).unwrap_or(0);
        loads[least] += size;
        share_of.insert(task, least);
    }
    for one in all {
        let share = share_of.get(&task_of(&one)).copied().unwrap_or(0);
        shares[share].push(one);
    }
    shares.retain(|share| !share.is_empty());
    shares
}

/// Records a share of what was gathered, and answers for it.
#[derive(Debug, Clone)]
struct Recorder {
    context: Arc<SystemContext>,
    processor: ResultProcessor,
    enqueuer: Handle<StepEnqueuerActor>,
}

impl Recorder {
    async fn record(&self, gathered: Vec<Gathered>) {
        let mut results = Vec::with_capacity(gathered.len());
        let mut replies = Vec::with_capacity(gathered.len());
        let mut room = 0;
        for (message, reply) in gathered {
            let take_next = message.take_next && !reply.is_abandoned();
            room += usize::from(take_next);
            results.push(message.result);
            replies.push((reply, take_next));
        }
        let verdict = self.processor.process(results, room).await;
        let mut claimed = verdict.claimed.into_iter();
        for ((reply, take_next), answer) in replies.into_iter().zip(verdict.answers) {
            let answer = answer.map(|outcome| ProcessedStepResult {
                outcome,
                next: take_next.then(|| claimed.next()).flatten(),
            });
            self.context.results().fetch_add(1, Ordering::Relaxed);
            reply.send(answer);
        }
        // Nobody is left to run these.
        self.context
            .start_steps(claimed.collect(), Vec::new())
            .await;
        if verdict.more_to_claim {
            StepEnqueuerActor::nudge(&self.enqueuer);
        }
    }
}

impl Actor for ResultProcessorActor {
    type Error = Infallible;
}

impl OrchestrationActor for ResultProcessorActor {
    fn context(&self) -> &Arc<SystemContext> {
        &self.recorder.context
    }
}

impl Receive<ProcessStepResultMessage> for ResultProcessorActor {
    const MAX_BATCH: usize = 256;

    async fn receive(&mut self, batch: Batch<ProcessStepResultMessage>, ctx: &Context<Self>) {
        self.gathered.extend(batch);
        if !self.gathering {
            self.gathering = gather(ctx).await;
        }
        if !self.gathering {
            self.record().await;
        }
    }
}

impl Handler<Go> for ResultProcessorActor {
    async fn handle(&mut self, _: Go, _: &Context<Self>) -> Result<(), Infallible> {
        self.record().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_no_task_in_common_and_lose_nothing() {
        let tasks: Vec<Uuid> = (0..50).map(Uuid::from_u128).collect();
        let all: Vec<(usize, Uuid)> = (0..200).map(|n| (n, tasks[n % tasks.len()])).collect();
        let split = split(all.clone(), 3, |one| one.1);

        let sizes: Vec<usize> = split.iter().map(Vec::len).collect();
        assert!(
            sizes.iter().all(|size| (64..=68).contains(size)),
            "{sizes:?}"
        );
        let mut share_of: HashMap<Uuid, usize> = HashMap::new();
        for (share, ones) in split.iter().enumerate() {
            assert!(ones.is_sorted(), "the order is kept");
            for (_, task) in ones {
                assert_eq!(*share_of.entry(*task).or_insert(share), share);
            }
        }
        let mut back = split.concat();
        back.sort_unstable();
        assert_eq!(back, all);
    }

    #[test]
    fn no_share_is_empty() {
        let wide = vec![Uuid::nil(); 200];
        for most in [0, 1, 3] {
            let split = split(wide.clone(), most, |task| *task);
            let sizes: Vec<usize> = split.iter().map(Vec::len).collect();
            assert_eq!(sizes, [200]);
        }
    }
}
