//! Carries out the intents of many callers in one transaction.
//!
//! The callers have not been answered, so their intents are concurrent and any order of them is right. This
//! one makes sure that no two transactions wait for each other: first the rows of all tasks that will change
//! are locked, in the order of their numbers; then identities are taken, in their order; what follows waits at
//! most for transactions that wait for nothing any more. Claims come last and skip what others hold; where only tasks are
//! stored beside them and nothing waits, the first steps start as they are stored.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::fault::Fault;
use super::task_row::Hold;
use super::unit::Unit;
use super::{claim, cleanup, complete, lease, operate, process, submit, sweep};
use crate::orchestration::store::sql::intent::{Answer, Write};
use crate::orchestration::store::{ClaimRequest, ClaimScope, Claims, StepId, StoreError};

/// One answer for each intent, in order.
pub(super) async fn carry_out(
    unit: &mut Unit<'_>,
    writes: &[&Write],
) -> Result<Vec<Answer>, Fault> {
    lock(unit, writes).await?;
    let mut answers: Vec<Option<Answer>> = writes.iter().map(|_| None).collect();
    let claims = alike(writes);
    let claimed = submit_all(unit, writes, &claims, &mut answers).await?;
    complete_all(unit, writes, &mut answers).await?;
    let mut rest: Vec<usize> = (0..writes.len())
        .filter(|&place| turn(writes[place]).is_some())
        .collect();
    rest.sort_by_key(|&place| turn(writes[place]));
    for &place in &rest {
        answers[place] = carry_out_one(unit, writes[place]).await?;
    }
    if !rest.is_empty() {
        unit.keeps_of_others();
    }
    if !claimed {
        claim_all(unit, claims, &mut answers).await?;
    }
    answers
        .into_iter()
        .map(|answer| {
            answer.ok_or_else(|| Fault::Corrupt("an intent was left without an answer".to_owned()))
        })
        .collect()
}

/// The order of those that are not carried out as a set.
fn turn(write: &Write) -> Option<u8> {
    match write {
        Write::Submit(..) | Write::Complete(..) | Write::Claim(_) => None,
        Write::Register(_) => Some(0),
        Write::Release(..) => Some(1),
        Write::Operate(_) => Some(2),
        Write::Unregister(_) => Some(3),
        Write::Heartbeat(..) => Some(4),
        Write::Sweep(_) => Some(5),
        Write::Cleanup(_) => Some(6),
    }
}

/// The steps that the intents complete, in their order, if they change no other tasks that are there already; claims
/// apart.
pub(super) fn completed(writes: &[&Write]) -> Vec<StepId> {
    let mut steps = Vec::new();
    for write in writes {
        match write {
            Write::Complete(completions, _) => {
                steps.extend(completions.iter().map(|one| one.lease.id));
            }
            write if locks_others(write) => return Vec::new(),
            _ => {}
        }
    }
    steps
}

/// Whether an intent changes tasks of which it has to be found out first which they are, or that it has to have alone.
fn locks_others(write: &Write) -> bool {
    match write {
        Write::Complete(..)
        | Write::Submit(..)
        | Write::Claim(_)
        | Write::Heartbeat(..)
        | Write::Register(_) => false,
        Write::Release(..)
        | Write::Operate(_)
        | Write::Unregister(_)
        | Write::Sweep(_)
        | Write::Cleanup(_) => true,
    }
}

/// How many tasks the intents submit, if nothing else of them is to be locked than what they complete.
pub(super) fn submitted(writes: &[&Write]) -> usize {
    let mut submitted = 0;
    for write in writes {
        match write {
            Write::Submit(tasks, _) => submitted += tasks.len(),
            write if locks_others(write) => return 0,
            _ => {}
        }
    }
    submitted
}

/// The handlers that the intents' claims ask for, if they ask for any task's.
pub(super) fn claimed<'w>(writes: &[&'w Write]) -> Vec<&'w str> {
    let claims = writes.iter().filter_map(|write| claim_of(write));
    let any: Option<Vec<_>> = claims
        .map(|claim| (claim.scope == ClaimScope::Any).then_some(&claim.callables))
        .collect();
    let callables: BTreeSet<&str> = any
        .into_iter()
        .flatten()
        .flatten()
        .map(String::as_str)
        .collect();
    callables.into_iter().collect()
}

/// Locks every task that the intents will change, claims apart.
async fn lock(unit: &mut Unit<'_>, writes: &[&Write]) -> Result<(), Fault> {
    if unit.has_locked() {
        return Ok(());
    }
    let mut tasks: BTreeSet<Uuid> = BTreeSet::new();
    let mut hold = Hold::Shared;
    for write in writes {
        match write {
            Write::Complete(completions, _) => {
                tasks.extend(completions.iter().map(|one| one.lease.id.task_uuid));
            }
            Write::Release(_, leases) => {
                tasks.extend(leases.iter().map(|lease| lease.id.task_uuid));
            }
            Write::Operate(operations) => {
                hold = Hold::Alone;
                tasks.extend(operations.iter().map(|operation| operation.task_uuid));
            }
            Write::Unregister(process) => {
                tasks.extend(lease::tasks_of(unit, *process).await?);
            }
            Write::Sweep(request) => {
                hold = Hold::Alone;
                tasks.extend(sweep::tasks_of(unit, request).await?);
            }
            Write::Cleanup(request) => {
                hold = Hold::Alone;
                tasks.extend(cleanup::tasks_of(unit, request).await?);
            }
            Write::Submit(..) | Write::Claim(_) | Write::Heartbeat(..) | Write::Register(_) => {}
        }
    }
    let tasks: Vec<Uuid> = tasks.into_iter().collect();
    unit.lock_tasks(&tasks, hold).await
}

/// Stores what is submitted. Returns whether the claims are answered too.
async fn submit_all(
    unit: &mut Unit<'_>,
    writes: &[&Write],
    alike: &[(ClaimRequest, Shares)],
    answers: &mut [Option<Answer>],
) -> Result<bool, Fault> {
    let mut sets = Vec::new();
    for (place, write) in writes.iter().enumerate() {
        if let Write::Submit(tasks, _) = write {
            sets.push((place, tasks));
        }
    }
    let tasks: Vec<_> = sets.iter().flat_map(|(_, tasks)| tasks.iter()).collect();
    let claims = sets
        .iter()
        .filter_map(|&(place, _)| claim_of(writes[place]));
    let claims: Vec<&ClaimRequest> = claims
        .filter(|request| request.scope == ClaimScope::Any)
        .collect();
    let alone = match alike {
        [(request, _)] if is_alone(request, writes) => Some(request),
        _ => None,
    };
    let submitted = submit::submit(unit, &tasks, &claims, alone).await?;
    let mut all = submitted.answers.into_iter();
    for (place, tasks) in sets {
        let own: Vec<Result<_, StoreError>> = all.by_ref().take(tasks.len()).collect();
        answers[place] = Some(Answer::Submit(own, Vec::new()));
    }
    let (Some(steps), Some((_, shares))) = (submitted.started, alike.first()) else {
        return Ok(false);
    };
    let claims = Claims {
        steps,
        next_due: None,
    };
    share_out(claims, shares, answers);
    Ok(true)
}

/// Whether nothing is done but that tasks are stored and this is claimed, of any of them.
fn is_alone(request: &ClaimRequest, writes: &[&Write]) -> bool {
    let mut writes = writes.iter();
    request.scope == ClaimScope::Any
        && request.serves.is_empty()
        && writes.all(|write| matches!(write, Write::Submit(..) | Write::Claim(_)))
}

async fn complete_all(
    unit: &mut Unit<'_>,
    writes: &[&Write],
    answers: &mut [Option<Answer>],
) -> Result<(), Fault> {
    let mut sets = Vec::new();
    for (place, write) in writes.iter().enumerate() {
        if let Write::Complete(completions, _) = write {
            sets.push((place, completions));
        }
    }
    let completions: Vec<_> = sets.iter().flat_map(|(_, set)| set.iter()).collect();
    let mut all = complete::complete(unit, &completions).await?.into_iter();
    for (place, completions) in sets {
        let own = all.by_ref().take(completions.len()).collect();
        answers[place] = Some(Answer::Complete(own, Vec::new()));
    }
    Ok(())
}

/// The claim that an intent is, or comes with.
fn claim_of(write: &Write) -> Option<&ClaimRequest> {
    match write {
        Write::Claim(request) => Some(request),
        Write::Submit(_, claim) | Write::Complete(_, claim) => claim.as_ref(),
        _ => None,
    }
}

/// Where claims stand, and how many steps each asks for.
type Shares = Vec<(usize, u32)>;

/// The claims, also those that came with another intent. Those that ask for the same are one claim, of as many steps as
/// they want together.
fn alike(writes: &[&Write]) -> Vec<(ClaimRequest, Shares)> {
    let mut alike: Vec<(ClaimRequest, Shares)> = Vec::new();
    for (place, write) in writes.iter().enumerate() {
        let Some(request) = claim_of(write) else {
            continue;
        };
        let share = (place, request.limit);
        match alike.iter_mut().find(|(one, _)| one.asks_for_same(request)) {
            Some((all, shares)) => {
                all.limit = all.limit.saturating_add(request.limit);
                shares.push(share);
            }
            None => alike.push((request.clone(), vec![share])),
        }
    }
    alike
}

/// Carries out the claims: they see what has been done.
async fn claim_all(
    unit: &mut Unit<'_>,
    alike: Vec<(ClaimRequest, Shares)>,
    answers: &mut [Option<Answer>],
) -> Result<(), Fault> {
    for (request, shares) in alike {
        let claims = claim::claim(unit, &request).await?;
        share_out(claims, &shares, answers);
    }
    Ok(())
}

/// The first of those that ask for the same gets the first steps.
fn share_out(claims: Claims, shares: &[(usize, u32)], answers: &mut [Option<Answer>]) {
    let mut steps = claims.steps.into_iter();
    for &(place, limit) in shares {
        let own: Vec<_> = steps.by_ref().take(limit as usize).collect();
        match &mut answers[place] {
            Some(Answer::Submit(_, steps) | Answer::Complete(_, steps)) => *steps = own,
            answer => {
                *answer = Some(Answer::Claim(Claims {
                    steps: own,
                    next_due: claims.next_due,
                }));
            }
        }
    }
}

/// `None` for what is carried out elsewhere.
async fn carry_out_one(unit: &mut Unit<'_>, write: &Write) -> Result<Option<Answer>, Fault> {
    let answer = match write {
        Write::Submit(..) | Write::Complete(..) | Write::Claim(_) => return Ok(None),
        Write::Heartbeat(process, lease) => {
            Answer::Heartbeat(lease::heartbeat(unit, *process, *lease).await?)
        }
        Write::Release(process, leases) => {
            unit.flush().await?;
            Answer::Release(lease::release(unit, *process, leases).await?)
        }
        Write::Sweep(request) => Answer::Sweep(sweep::sweep(unit, request).await?),
        Write::Operate(operations) => {
            let mut outcomes = Vec::with_capacity(operations.len());
            for operation in operations {
                // What was done before is to be seen.
                unit.flush().await?;
                outcomes.push(operate::operate(unit, operation).await?);
            }
            Answer::Operate(outcomes)
        }
        Write::Cleanup(request) => {
            unit.flush().await?;
            Answer::Cleanup(cleanup::cleanup(unit, request).await?)
        }
        Write::Register(registration) => {
            process::register(unit, registration).await?;
            Answer::Done
        }
        Write::Unregister(process) => {
            unit.flush().await?;
            process::unregister(unit, *process).await?;
            Answer::Done
        }
    };
    let gives_back = matches!(
        write,
        Write::Release(..) | Write::Sweep(_) | Write::Operate(_) | Write::Unregister(_)
    );
    if gives_back && let Some(first) = unit.tasks.keys().min().copied() {
        unit.readies(first);
    }
    Ok(Some(answer))
}
