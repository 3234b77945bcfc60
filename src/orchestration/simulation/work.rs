//! What the processes do: handlers end, results are on their way, tasks are submitted, operators interfere.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::oracle;
use super::world::{Event, PROCESSES, World, step_name};
use crate::orchestration::lifecycle::{
    IdentityStrategy, StepExecutionResult, SubmitOptions, TaskRequest,
};
use crate::orchestration::state::StepState;
use crate::orchestration::store::{
    CompletionOutcome, Lease, OperationKind, OperationOutcome, StepFailure,
};

impl World {
    pub(super) async fn finish(
        &mut self,
        at: usize,
        life: u32,
        lease: Lease,
    ) -> Result<(), String> {
        if !self.lives(at, life) {
            return Ok(());
        }
        let Some(process) = &mut self.processes[at] else {
            return Ok(());
        };
        let Some((step, token)) = process.running.remove(&lease) else {
            return Ok(());
        };
        if token.is_cancelled() {
            let context = &process.context;
            // If this fails, the heartbeat finds that nobody works on it.
            let released = context
                .store()
                .release(context.process(), vec![lease])
                .await;
            context.running().end(lease);
            let what = if released.is_ok() {
                "gives back"
            } else {
                "drops"
            };
            self.note(format_args!(
                "{at} {what} {} @{}",
                step_name(lease),
                lease.epoch
            ));
            return Ok(());
        }
        let outcome = match self.rng.u8(0..10) {
            0 => Err(failure(false, None)),
            1..3 => Err(failure(true, None)),
            3 => Err(failure(
                true,
                Some(Duration::from_millis(self.rng.u64(0..9_000))),
            )),
            _ => Ok(format!("{}", lease.epoch)),
        };
        let result = StepExecutionResult {
            step,
            outcome,
            elapsed: Duration::from_millis(1),
        };
        let (carrier, sender) = (process.results.clone(), process.context.process());
        let deliver = |world: &mut Self, delay, copy| {
            let (carrier, result) = (carrier.clone(), result.clone());
            let event = Event::Deliver {
                at,
                life,
                carrier,
                sender,
                result,
                tries: 0,
                copy,
            };
            world.after(delay, event);
        };
        let delay = self.rng.u64(0..100);
        deliver(self, delay, false);
        if self.rng.u8(0..3) == 0 {
            let delay = self.rng.u64(0..20_000);
            deliver(self, delay, true);
        }
        Ok(())
    }

    pub(super) async fn deliver(&mut self, event: Event) -> Result<(), String> {
        let Event::Deliver {
            at,
            life,
            carrier,
            sender,
            result,
            tries,
            copy,
        } = event
        else {
            return Ok(());
        };
        let lives = self.lives(at, life);
        let lease = result.step.lease();
        // From a process that is gone it arrives all the same: it was on its way.
        let before = oracle::steps(&self.rows, lease.id.task_uuid).await?;
        // The place of the step that ends takes the next one at once.
        let room = usize::from(lives && !copy);
        let verdict = carrier.process(vec![result.clone()], room).await;
        let answer = verdict.answers.into_iter().next();
        let row = &before[lease.id.index as usize];
        let (held, holder, epoch) = (row.state == StepState::Running, row.owner, row.epoch);
        match answer {
            Some(Ok(CompletionOutcome::Recorded {
                step_state,
                task_state,
                ..
            })) => {
                self.note(format_args!(
                    "{at} records {} @{}: {step_state}, task {task_state}",
                    step_name(lease),
                    lease.epoch
                ));
                if !(held && epoch == lease.epoch && holder == Some(sender)) {
                    return Err(format!("{lease:?} of {sender:?} was recorded over {row:?}"));
                }
            }
            Some(Ok(other)) => {
                let what = matches!(other, CompletionOutcome::Stale { .. });
                self.note(format_args!(
                    "{at} {} @{}: stale {what}",
                    step_name(lease),
                    lease.epoch
                ));
            }
            Some(Err(_)) if lives && !copy && tries < 3 => {
                let delay = 50 << tries;
                let tries = tries + 1;
                self.after(
                    delay,
                    Event::Deliver {
                        at,
                        life,
                        carrier,
                        sender,
                        result,
                        tries,
                        copy,
                    },
                );
                return Ok(());
            }
            Some(Err(_)) | None => {}
        }
        if lives
            && !copy
            && let Some(process) = &self.processes[at]
        {
            process.context.running().end(lease);
        }
        if lives {
            self.begin(at, life, verdict.claimed).await?;
        }
        if verdict.more_to_claim && lives {
            self.after(
                0,
                Event::Poll {
                    at,
                    life,
                    again: false,
                },
            );
        }
        Ok(())
    }

    pub(super) async fn submit(&mut self, number: usize) -> Result<(), String> {
        let at = self.rng.usize(0..PROCESSES);
        let options = SubmitOptions {
            identity: IdentityStrategy::Strict,
            priority: self.rng.i16(-1..2),
            task_uuid: Some(Uuid::from_u128(self.rng.u128(1..))),
            correlation_id: Some(Uuid::from_u128(7)),
            ..SubmitOptions::default()
        };
        let Some(process) = &mut self.processes[at] else {
            self.after(1_000, Event::Submit { number });
            return Ok(());
        };
        let request = TaskRequest {
            template: Arc::clone(&self.shapes[number]),
            input: serde_json::Value::Null,
            options,
        };
        let prepared = process
            .requests
            .prepare(request)
            .map_err(|error| error.to_string())?;
        let answer = process.initializer.initialize(vec![prepared]).await;
        let answer = answer.answers.into_iter().next();
        match answer {
            Some(Ok(receipt)) => {
                let uuid = receipt.task_uuid;
                self.note(format_args!("{at} stores shape {number} as {uuid}"));
                self.oracle.acknowledged.insert(uuid);
                if self.oracle.acknowledged.len() > self.shapes.len() {
                    return Err(format!("shape {number} became more than one task"));
                }
                let life = self.lives[at];
                self.after(
                    0,
                    Event::Poll {
                        at,
                        life,
                        again: false,
                    },
                );
            }
            // Whoever asked asks again.
            _ => self.after(1_000, Event::Submit { number }),
        }
        Ok(())
    }

    pub(super) async fn operate(&mut self) -> Result<(), String> {
        let Some(&uuid) = self.rng.choice(&self.oracle.acknowledged) else {
            return Ok(());
        };
        let at = self.rng.usize(0..PROCESSES);
        let step = self.rng.u32(0..6);
        let reason = || "simulated".to_owned();
        let kind = match self.rng.u8(0..12) {
            0 => OperationKind::Cancel { reason: reason() },
            1..4 => OperationKind::Pause { reason: reason() },
            4..6 => OperationKind::Resume,
            6..8 => OperationKind::Retry,
            8 => OperationKind::ResolveStep {
                step,
                reason: reason(),
            },
            9 => OperationKind::CompleteStep {
                step,
                result_json: "0".into(),
            },
            _ => OperationKind::Rerun { from: step },
        };
        let Some(process) = &mut self.processes[at] else {
            return Ok(());
        };
        let operations = vec![(uuid, kind.clone())];
        if let Some(Ok(outcome)) = process.finalizer.operate(operations).await.pop() {
            let life = self.lives[at];
            self.note(format_args!("{at} {kind:?} {uuid}: {outcome:?}"));
            if matches!(outcome, OperationOutcome::Applied { .. }) {
                self.after(
                    0,
                    Event::Poll {
                        at,
                        life,
                        again: false,
                    },
                );
            }
        }
        Ok(())
    }
}

fn failure(retryable: bool, retry_after: Option<Duration>) -> StepFailure {
    StepFailure {
        kind: "error".into(),
        message: "simulated".into(),
        retryable,
        retry_after,
    }
}
