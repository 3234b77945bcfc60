//! Reading the rows of steps, as a set.

use sqlx::sqlite::SqliteRow;

use super::fault::Fault;
use super::set::fetch;
use super::unit::{Unit, uuid};
use crate::orchestration::store::StepId;
use crate::orchestration::store::sql::step_row::StepRow;
use crate::orchestration::store::sql::{from_row, number};

from_row! {
    struct Stored(SqliteRow) {
        place: i64,
        task_id: i64,
        idx: i64,
        state: String,
        epoch: i64,
        owner: Option<Vec<u8>>,
        attempts: i64,
        max_attempts: i64,
    }
}

const LOAD_STEPS: &str = "
    SELECT j.column1 AS place, s.task_id, s.idx, s.state, s.epoch, s.owner, s.attempts, s.max_attempts
    FROM {rows} j
    CROSS JOIN postroom_tasks t ON t.uuid = j.column2
    CROSS JOIN postroom_steps s ON s.task_id = t.id AND s.idx = j.column3";

impl Unit<'_> {
    /// Reads steps, unless they are known; `None` where there is none. In the order of the ids.
    pub(super) async fn load_steps(
        &mut self,
        ids: impl ExactSizeIterator<Item = StepId>,
    ) -> Result<Vec<Option<StepRow>>, Fault> {
        let mut rows = Vec::with_capacity(ids.len());
        let mut places: Vec<(i64, StepId)> = Vec::new();
        for (place, id) in (0..).zip(ids) {
            let known = self.known.step(id);
            if known.is_none() {
                places.push((place, id));
            }
            rows.push(known);
        }
        let found: Vec<Stored> = fetch(self.conn, LOAD_STEPS, &places, |binds, (place, id)| {
            binds
                .bind(*place)?
                .bind(id.task_uuid.as_bytes().as_slice())?
                .bind(id.index)
        })
        .await?;
        for stored in found {
            let place: usize = number(stored.place)?;
            if let Some(row) = rows.get_mut(place) {
                *row = Some(StepRow {
                    task_id: stored.task_id,
                    index: number(stored.idx)?,
                    state: stored.state.parse()?,
                    epoch: number(stored.epoch)?,
                    owner: stored.owner.as_deref().map(uuid).transpose()?,
                    attempts: number(stored.attempts)?,
                    max_attempts: number(stored.max_attempts)?,
                });
            }
        }
        Ok(rows)
    }
}
