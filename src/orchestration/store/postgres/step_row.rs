//! Reading the rows of steps, as a set.

use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::fault::Fault;
use super::unit::Unit;
use crate::orchestration::state::StepState;
use crate::orchestration::store::StepId;
use crate::orchestration::store::sql::step_row::StepRow;
use crate::orchestration::store::sql::{from_row, number};

/// A step, and its children as they stand.
pub(super) struct Found {
    pub(super) step: StepRow,
    children: Vec<i32>,
    unmet: Vec<i32>,
    states: Vec<String>,
}

impl Found {
    /// Position, number of unmet dependencies, and state of each child.
    pub(super) fn children(&self) -> Result<Vec<(i32, i32, StepState)>, Fault> {
        let children = self.children.iter().zip(&self.unmet).zip(&self.states);
        children
            .map(|((index, unmet), state)| Ok((*index, *unmet, state.parse()?)))
            .collect()
    }
}

from_row! {
    pub(super) struct Stored(PgRow) {
        place: i64,
        task_id: i64,
        idx: i32,
        state: String,
        epoch: i64,
        owner: Option<Uuid>,
        attempts: i32,
        max_attempts: i32,
        children: Option<Vec<i32>>,
        unmet: Option<Vec<i32>>,
        states: Option<Vec<String>>,
    }
}

/// Steps with their children, of rows `n` that have a place, joined with the steps `s`.
///
/// Steps are looked up one by one, which `OFFSET 0` sees to: a server that believes tasks to be small would read all
/// steps of the task instead.
macro_rules! reading {
    ($from:literal) => {
        concat!(
            "SELECT n.place, s.task_id, s.idx, s.state, s.epoch, s.owner, s.attempts,
                    s.max_attempts, c.children, c.unmet, c.states
             FROM ",
            $from,
            " CROSS JOIN LATERAL (
                 SELECT array_agg(c.idx) AS children, array_agg(c.unmet) AS unmet,
                        array_agg(c.state) AS states
                 FROM unnest(s.children) AS u (idx) CROSS JOIN LATERAL (
                     SELECT c.idx, c.unmet, c.state FROM postroom.steps c
                     WHERE c.task_id = s.task_id AND c.idx = u.idx OFFSET 0) c) c"
        )
    };
}
pub(super) use reading;

/// Reads steps of tasks that this transaction has locked; `None` where there is none. In the order of the ids.
pub(super) async fn load_steps(
    unit: &mut Unit<'_>,
    ids: impl ExactSizeIterator<Item = StepId>,
) -> Result<Vec<Option<Found>>, Fault> {
    let numbers = unit.numbers();
    let mut rows = none_of(ids.len());
    let (mut places, mut task_ids, mut indexes) = (vec![], vec![], vec![]);
    for (place, id) in (1_i64..).zip(ids) {
        if let Some(number) = numbers.get(&id.task_uuid) {
            places.push(place);
            task_ids.push(*number);
            indexes.push(i64::from(id.index));
        }
    }
    if places.is_empty() {
        return Ok(rows);
    }
    let found: Vec<Stored> = unit
        .query_as(reading!(
            "unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS n (place, task_id, idx)
             CROSS JOIN LATERAL (SELECT s.* FROM postroom.steps s
                                 WHERE s.task_id = n.task_id AND s.idx = n.idx OFFSET 0) s"
        ))
        .bind(places)
        .bind(task_ids)
        .bind(indexes)
        .fetch_all(&mut *unit.conn)
        .await?;
    for stored in found {
        put(&mut rows, stored)?;
    }
    Ok(rows)
}

/// So many places for steps.
pub(super) fn none_of(count: usize) -> Vec<Option<Found>> {
    (0..count).map(|_| None).collect()
}

/// Puts a step in its place; the first is 1.
pub(super) fn put(rows: &mut [Option<Found>], stored: Stored) -> Result<(), Fault> {
    let place: usize = number(stored.place - 1)?;
    if let Some(row) = rows.get_mut(place) {
        *row = Some(Found {
            step: StepRow {
                task_id: stored.task_id,
                index: number(i64::from(stored.idx))?,
                state: stored.state.parse()?,
                epoch: number(stored.epoch)?,
                owner: stored.owner,
                attempts: number(i64::from(stored.attempts))?,
                max_attempts: number(i64::from(stored.max_attempts))?,
            },
            children: stored.children.unwrap_or_default(),
            unmet: stored.unmet.unwrap_or_default(),
            states: stored.states.unwrap_or_default(),
        });
    }
    Ok(())
}
