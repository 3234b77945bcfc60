//! Carries out the intents of many callers in one transaction: neighbours of the same kind as one set.

use super::unit::Unit;
use super::{claim, cleanup, complete, fault::Fault, lease, operate, process, submit, sweep};
use crate::orchestration::store::sql::intent::{Answer, Write};

/// One answer for each intent, in order.
pub(super) async fn carry_out(
    unit: &mut Unit<'_>,
    writes: &[&Write],
) -> Result<Vec<Answer>, Fault> {
    let mut answers = Vec::with_capacity(writes.len());
    let mut rest = writes;
    while let [first, after @ ..] = rest {
        rest = after;
        // What the neighbour before has changed is to be seen.
        unit.flush().await?;
        match first {
            Write::Submit(tasks) => {
                let mut sets = vec![tasks];
                while let [Write::Submit(tasks), after @ ..] = rest {
                    sets.push(tasks);
                    rest = after;
                }
                let tasks: Vec<_> = sets.iter().copied().flatten().collect();
                let mut all = submit::submit(unit, &tasks).await?.into_iter();
                for set in sets {
                    answers.push(Answer::Submit(all.by_ref().take(set.len()).collect()));
                }
            }
            Write::Complete(completions) => {
                let mut sets = vec![completions];
                while let [Write::Complete(completions), after @ ..] = rest {
                    sets.push(completions);
                    rest = after;
                }
                let completions: Vec<_> = sets.iter().copied().flatten().collect();
                let mut all = complete::complete(unit, &completions).await?.into_iter();
                for set in sets {
                    answers.push(Answer::Complete(all.by_ref().take(set.len()).collect()));
                }
            }
            Write::Claim(request) => {
                answers.push(Answer::Claim(claim::claim(unit, request).await?));
            }
            Write::Heartbeat(process, lease) => {
                let held = lease::heartbeat(unit, *process, *lease).await?;
                answers.push(Answer::Heartbeat(held));
            }
            Write::Release(process, leases) => {
                let released = lease::release(unit, *process, leases).await?;
                answers.push(Answer::Release(released));
            }
            Write::Sweep(request) => {
                answers.push(Answer::Sweep(sweep::sweep(unit, request).await?));
            }
            Write::Operate(operations) => {
                let mut outcomes = Vec::with_capacity(operations.len());
                for operation in operations {
                    // What the operation before has changed is to be seen.
                    unit.flush().await?;
                    outcomes.push(operate::operate(unit, operation).await?);
                }
                answers.push(Answer::Operate(outcomes));
            }
            Write::Register(registration) => {
                process::register(unit, registration).await?;
                answers.push(Answer::Done);
            }
            Write::Cleanup(request) => {
                answers.push(Answer::Cleanup(cleanup::cleanup(unit, request).await?));
            }
            Write::Unregister(process) => {
                process::unregister(unit, *process).await?;
                answers.push(Answer::Done);
            }
        }
    }
    Ok(answers)
}
