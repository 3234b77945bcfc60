//! Carries out the intents of many callers in one transaction: neighbours of the same kind as one set.

use super::unit::Unit;
use super::{claim, cleanup, complete, fault::Fault, lease, operate, process, submit, sweep};
use crate::orchestration::store::sql::intent::{Answer, Write};
use crate::orchestration::store::{ClaimRequest, ClaimedStep, Claims};

/// One answer for each intent, in order.
pub(super) async fn carry_out<'w>(
    unit: &mut Unit<'w>,
    writes: &[&'w Write],
) -> Result<Vec<Answer>, Fault> {
    let mut answers = Vec::with_capacity(writes.len());
    let mut rest = writes;
    while let [first, after @ ..] = rest {
        rest = after;
        // These find what is kept, wherever they need it; all others read rows by conditions on them, and change
        // rows that are known.
        let usual = matches!(
            first,
            Write::Submit(..) | Write::Complete(..) | Write::Claim(_)
        );
        if !usual {
            unit.flush().await?;
        }
        match first {
            Write::Submit(tasks, claim) => {
                let mut sets = vec![(tasks, claim)];
                while let [Write::Submit(tasks, claim), after @ ..] = rest {
                    sets.push((tasks, claim));
                    rest = after;
                }
                let tasks: Vec<_> = sets.iter().flat_map(|(tasks, _)| *tasks).collect();
                let mut all = submit::submit(unit, &tasks).await?.into_iter();
                for (set, claim) in sets {
                    let submitted = all.by_ref().take(set.len()).collect();
                    answers.push(Answer::Submit(
                        submitted,
                        then_claim(unit, claim.as_ref()).await?,
                    ));
                }
            }
            Write::Complete(completions, claim) => {
                let mut sets = vec![(completions, claim)];
                while let [Write::Complete(completions, claim), after @ ..] = rest {
                    sets.push((completions, claim));
                    rest = after;
                }
                let completions: Vec<_> = sets.iter().flat_map(|(set, _)| *set).collect();
                let mut all = complete::complete(unit, &completions).await?.into_iter();
                for (set, claim) in sets {
                    let outcomes = all.by_ref().take(set.len()).collect();
                    answers.push(Answer::Complete(
                        outcomes,
                        then_claim(unit, claim.as_ref()).await?,
                    ));
                }
            }
            Write::Claim(request) => {
                let steps = claim::claim(unit, request).await?;
                let next_due = claim::next_due(unit, request).await?;
                answers.push(Answer::Claim(Claims { steps, next_due }));
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
        if !usual && !matches!(first, Write::Heartbeat(..) | Write::Register(_)) {
            unit.flush().await?;
            unit.known.clear();
        }
    }
    Ok(answers)
}

/// The claim that came with another intent, which sees what that has done.
async fn then_claim(
    unit: &mut Unit<'_>,
    claim: Option<&ClaimRequest>,
) -> Result<Vec<ClaimedStep>, Fault> {
    match claim {
        // Tasks that are kept to be written need not be: a task that can no longer be claimed from has nothing
        // ready, and what a claim needs of the others is kept with them.
        Some(request) => claim::claim(unit, request).await,
        None => Ok(Vec::new()),
    }
}
