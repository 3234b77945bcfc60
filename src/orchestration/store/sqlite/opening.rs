//! What a transaction begins with. Every call is a hand-over to the connection's thread and back, and where few steps are
//! completed these are what takes the time: so what the first intents will ask for is read with BEGIN.

use sqlx::{FromRow, Row, SqliteConnection};

use super::claim::{RunnableRow, bind_request, runnable};
use super::complete::{CHILDREN, ChildRow, bind_parent};
use super::connect::clock;
use super::fault::Fault;
use super::known::Known;
use super::set::{MOST, Script};
use super::submit::{FIND, Stored, bind_identity};
use crate::orchestration::store::sql::intent::Write;
use crate::orchestration::store::{ClaimRequest, NewTask, StepOutcome};

/// Takes the lock.
const BEGIN: &str = "BEGIN IMMEDIATE";

/// The time, and how much others have committed.
const MOMENT: &str = concat!(
    "SELECT ",
    clock!(),
    ", data_version FROM pragma_data_version"
);

/// Of more completions or tasks what a claim may bring is not read before it is known how many steps they leave room for.
const AHEAD_OF_CLAIM: usize = 16;

/// What the first intents will ask for.
#[derive(Clone, Default)]
pub(super) struct Wanted<'w> {
    /// Steps whose children it is, by task and index.
    parents: Vec<(i64, i64)>,
    /// Tasks that may be there already.
    tasks: Vec<&'w NewTask>,
    /// The first claim.
    claim: Option<&'w ClaimRequest>,
}

/// What was read.
#[derive(Default)]
pub(super) struct Ahead<'w> {
    wanted: Wanted<'w>,
    children: Vec<ChildRow>,
    stored: Vec<Stored>,
    runnable: Vec<RunnableRow>,
}

/// A transaction that has begun.
pub(super) struct Opening<'w> {
    /// The moment of everything in it.
    pub(super) now: i64,
    /// Changes when others commit.
    pub(super) version: i64,
    pub(super) ahead: Ahead<'w>,
}

impl<'w> Wanted<'w> {
    /// Steps are found by what is known of them: that may not hold any more, but their numbers do.
    pub(super) fn of(writes: &[&'w Write], known: &Known) -> Self {
        let mut wanted = Self::default();
        match writes {
            [Write::Claim(request), ..] => wanted.claim = Some(request),
            [Write::Submit(..), ..] => {
                for write in writes {
                    let Write::Submit(tasks, claim) = write else {
                        break;
                    };
                    wanted.tasks.extend(tasks);
                    wanted.claim = wanted.claim.or(claim.as_ref());
                }
            }
            [Write::Complete(..), ..] => {
                for write in writes {
                    let Write::Complete(completions, claim) = write else {
                        break;
                    };
                    for completion in completions {
                        let step = known.step(completion.lease.id);
                        let (Some(step), StepOutcome::Success { .. }) = (step, &completion.outcome)
                        else {
                            return Self::default();
                        };
                        let parent = (step.task_id, i64::from(step.index));
                        wanted.parents.push(parent);
                    }
                    wanted.claim = wanted.claim.or(claim.as_ref());
                }
            }
            _ => {}
        }
        let most = wanted.parents.len().max(wanted.tasks.len());
        if most > MOST {
            return Self::default();
        }
        if most > AHEAD_OF_CLAIM {
            wanted.claim = None;
        }
        wanted
    }

    fn script(&self) -> Result<Script, Fault> {
        let mut script = Script::default();
        script.statement(BEGIN);
        if !self.parents.is_empty() {
            let parents: Vec<_> = self.parents.iter().copied().enumerate().collect();
            script.reading(CHILDREN, &parents, bind_parent)?;
        }
        if !self.tasks.is_empty() {
            script.reading(FIND, &self.tasks, |binds, task| bind_identity(binds, task))?;
        }
        if let Some(request) = self.claim {
            let statement = at_the_time(runnable(request));
            script.numbered(&statement, |binds| {
                bind_request(binds, request, i64::from(request.limit), None)
            })?;
        }
        // Last, so that nothing that was read comes later.
        script.statement(MOMENT);
        Ok(script)
    }
}

/// The statement that finds what is runnable, before the time is known.
pub(super) fn at_the_time(statement: &str) -> String {
    statement.replace("?3", clock!())
}

impl Ahead<'_> {
    /// The children of these steps, if they were asked for; once.
    pub(super) fn take_children(&mut self, parents: &[(i64, i64)]) -> Option<Vec<ChildRow>> {
        let wanted = std::mem::take(&mut self.wanted.parents);
        let same = !parents.is_empty() && wanted == parents;
        same.then(|| std::mem::take(&mut self.children))
    }

    /// What is there of these tasks, if they were asked for; once.
    pub(super) fn take_stored(&mut self, tasks: &[&NewTask]) -> Option<Vec<Stored>> {
        let wanted = std::mem::take(&mut self.wanted.tasks);
        let same = wanted.len() == tasks.len()
            && wanted
                .iter()
                .zip(tasks)
                .all(|(one, other)| std::ptr::eq(*one, *other));
        same.then(|| std::mem::take(&mut self.stored))
    }

    /// What was runnable as it began, if this claim asks for it; once.
    pub(super) fn take_runnable(&mut self, request: &ClaimRequest) -> Option<Vec<RunnableRow>> {
        let wanted = self.wanted.claim.take()?;
        std::ptr::eq(wanted, request).then(|| std::mem::take(&mut self.runnable))
    }

    /// Steps have been written since that may be runnable, or have been.
    pub(super) fn forget_runnable(&mut self) {
        self.wanted.claim = None;
    }
}

/// Takes the lock at once: a transaction that begins by reading could not wait for it later. Then reads what is wanted.
pub(super) async fn open<'w>(
    conn: &mut SqliteConnection,
    wanted: &Wanted<'w>,
) -> Result<Opening<'w>, Fault> {
    let rows = wanted.script()?.fetch(conn).await?;
    let mut ahead = Ahead {
        wanted: wanted.clone(),
        ..Ahead::default()
    };
    let mut moment = None;
    for row in &rows {
        // Told apart by how many columns they have.
        match row.len() {
            2 => moment = Some(<(i64, i64)>::from_row(row)?),
            10 => ahead.runnable.push(FromRow::from_row(row)?),
            5 => ahead.stored.push(FromRow::from_row(row)?),
            13 => ahead.children.push(FromRow::from_row(row)?),
            other => {
                let what = format!("{other} columns were read as a transaction began");
                return Err(Fault::Corrupt(what));
            }
        }
    }
    let (now, version) =
        moment.ok_or_else(|| Fault::Corrupt("the time was not told".to_owned()))?;
    Ok(Opening {
        now,
        version,
        ahead,
    })
}
