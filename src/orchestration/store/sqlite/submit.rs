//! Storing new tasks, as one set.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::fault::Fault;
use super::set::{Binds, Bound, fetch};
use super::unit::{Unit, uuid};
use crate::orchestration::state::TaskState;
use crate::orchestration::store::{NewTask, StoreError, Submission, settle};

type Answer = Result<Submission, StoreError>;

/// A task that has an identity already, in the store or in this batch.
struct Holder {
    uuid: Uuid,
    content: Vec<u8>,
    state: TaskState,
}

pub(super) async fn submit<'w>(
    unit: &mut Unit<'w>,
    tasks: &[&'w NewTask],
) -> Result<Vec<Answer>, Fault> {
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    // Those before them are to be found.
    unit.flush_fresh().await?;
    let Found {
        mut holders,
        mut taken,
        last,
    } = find(unit, tasks).await?;
    let mut answers = Vec::with_capacity(tasks.len());
    let mut new = Vec::new();
    for &task in tasks {
        answers.push(
            if let Some(holder) = holders.get(task.identity.as_slice()) {
                Ok(Submission::Duplicate {
                    task_uuid: holder.uuid,
                    state: holder.state,
                    same_content: holder.content == task.content,
                })
            } else if let Err(refusal) = settle::check(task) {
                Err(refusal)
            } else if !taken.insert(task.task_uuid) {
                Err(StoreError::Invalid {
                    task_uuid: task.task_uuid,
                    problem: "another task has this id".to_owned(),
                })
            } else {
                let holder = Holder {
                    uuid: task.task_uuid,
                    content: task.content.to_vec(),
                    state: TaskState::Pending,
                };
                holders.insert(task.identity.to_vec(), holder);
                new.push(task);
                Ok(Submission::Created {
                    task_uuid: task.task_uuid,
                })
            },
        );
    }
    // Nobody else can take the numbers after the last one while this transaction lasts, and they grow with the time
    // a task was submitted, which claims rely on.
    for (id, task) in (last + 1..).zip(new) {
        unit.keep_fresh(id, task);
    }
    Ok(answers)
}

/// What is in the store of a batch before it goes in.
#[derive(Default)]
struct Found {
    /// By identity.
    holders: HashMap<Vec<u8>, Holder>,
    /// Ids that are in use.
    taken: HashSet<Uuid>,
    /// The number of the last task.
    last: i64,
}

/// Number, id, identity, content, state.
pub(super) type Stored = (
    i64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<String>,
);

/// The tasks that have an identity or an id of the set, and the number of the last task of all.
pub(super) const FIND: &str = "
    SELECT t.id, t.uuid, t.identity, t.content, t.state
    FROM {rows} j CROSS JOIN postroom_tasks t ON t.identity = j.column1 OR t.uuid = j.column2
    UNION ALL SELECT coalesce(max(id), 0), NULL, NULL, NULL, NULL FROM postroom_tasks";

/// Binds what nobody else may have.
pub(super) fn bind_identity<'b, 'a>(binds: &'b mut Binds<'a>, task: &NewTask) -> Bound<'b, 'a> {
    binds
        .bind(task.identity.as_slice())?
        .bind(task.task_uuid.as_bytes().as_slice())
}

async fn find(unit: &mut Unit<'_>, tasks: &[&NewTask]) -> Result<Found, Fault> {
    let stored: Vec<Stored> = match unit.ahead.take_stored(tasks) {
        Some(stored) => stored,
        None => {
            fetch(unit.conn, FIND, tasks, |binds, task| {
                bind_identity(binds, task)
            })
            .await?
        }
    };
    let mut found = Found::default();
    for row in stored {
        found.last = found.last.max(row.0);
        let (id, Some(task), Some(identity), Some(content), Some(state)) = row else {
            continue;
        };
        let uuid = uuid(&task)?;
        // What this transaction has made of it is not written yet.
        let state = match unit.known_task(id) {
            Some(task) => task.state,
            None => state.parse()?,
        };
        found.taken.insert(uuid);
        let holder = Holder {
            uuid,
            content,
            state,
        };
        found.holders.insert(identity, holder);
    }
    Ok(found)
}
