//! Starting what a transaction has readied, where nothing else waits: with all that it has kept, in one statement.

use sqlx::postgres::PgRow;

use super::claim::{self, Taken, with_parents};
use super::fault::Fault;
use super::unit::{Unit, marking, writing};
use crate::orchestration::store::sql::from_row;
use crate::orchestration::store::{ClaimRequest, ClaimedStep, settle};

/// Whether a child starts.
macro_rules! starts {
    () => {
        "n.starts AND s.callable = ANY($40::text[])"
    };
}

/// `$39` whether the children are to start, `$40` the handlers, `$41` the process, `$42` the end of the leases.
const START: &str = writing!(
    concat!(
        "UPDATE postroom.steps s SET
            unmet = s.unmet - n.done,
            state = CASE WHEN ",
        starts!(),
        " THEN 'running' ELSE n.state END, epoch = s.epoch + (",
        starts!(),
        ")::int, attempts = s.attempts + (",
        starts!(),
        ")::int, owner = CASE WHEN ",
        starts!(),
        " THEN $41 END, lease_until = CASE WHEN ",
        starts!(),
        " THEN $42::bigint END, started_at = CASE WHEN ",
        starts!(),
        " THEN $1 ELSE s.started_at END, ended_at = CASE WHEN NOT (",
        starts!(),
        ") THEN s.ended_at END
         FROM unnest($9::bigint[], $10::bigint[], $11::bigint[], $12::text[], $39::boolean[])
             AS n (task_id, idx, done, state, starts)
         WHERE s.task_id = n.task_id AND s.idx = n.idx
         RETURNING s.task_id, s.idx, s.name, s.callable, s.priority, s.epoch, s.attempts,
                   s.max_attempts, s.parents, s.state, n.done),
         taken AS (SELECT * FROM readied WHERE state = 'running'"
    ),
    concat!(
        ", k.task_id, k.idx, k.name, k.callable, k.epoch, k.attempts, k.max_attempts, k.state,
           NULL::uuid AS uuid, NULL::uuid AS correlation_id, NULL::boolean AS moves, k.done,
           p.places, p.names, p.results
         FROM (SELECT) one ",
        with_parents!()
    )
);

from_row! {
    struct Counts(PgRow) {
        stepped: i64,
        readied: i64,
        moved: i64,
    }
}

struct Row {
    counts: Counts,
    taken: Taken,
}

impl sqlx::FromRow<'_, PgRow> for Row {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            counts: Counts::from_row(row)?,
            taken: Taken::from_row(row)?,
        })
    }
}

/// Starts those of the children that become ready whose handlers are asked for; the others are left ready.
pub(super) async fn start(
    unit: &mut Unit<'_>,
    request: &ClaimRequest,
    callables: &[&str],
) -> Result<Vec<ClaimedStep>, Fault> {
    let kept = unit.take_kept(Some(request.scope));
    let query = kept.bind(unit.query_as::<Row>(START));
    let rows = kept
        .children
        .bind_starts(query)
        .bind(callables)
        .bind(request.process)
        .bind(unit.now() + settle::millis(request.lease))
        .fetch_all(&mut *unit.conn)
        .await?;
    unit.wrote();
    let Some(Row { counts, .. }) = rows.first() else {
        return Err(Fault::Corrupt("a claim was not answered".to_owned()));
    };
    kept.check((counts.stepped, counts.readied, counts.moved))?;
    claim::leave_ready(
        unit,
        kept.children.ready().collect(),
        rows.iter().map(|row| &row.taken),
    );
    let results = kept.steps.results().collect();
    let taken = rows.into_iter().map(|row| row.taken);
    let (steps, started) = claim::read_taken(unit, &results, taken)?;
    claim::start_tasks(unit, request, started).await?;
    Ok(steps)
}
