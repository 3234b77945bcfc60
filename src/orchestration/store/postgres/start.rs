//! Starting what a transaction has readied, where nothing else waits: with all that it has kept, in one statement.

use std::sync::LazyLock;

use sqlx::postgres::PgRow;

use super::claim::{self, Taken, with_parents};
use super::fault::Fault;
use super::kept::writing;
use super::sets::SetStatement;
use super::unit::Unit;
use crate::orchestration::store::sql::from_row;
use crate::orchestration::store::{ClaimRequest, ClaimedStep, settle};

static START: LazyLock<SetStatement> = LazyLock::new(|| {
    writing(|now, children, parameters| {
        let starts = format!(
            "n.starts AND s.callable = ANY({})",
            parameters.one("text[]")
        );
        let (process, lease_until) = (parameters.one("uuid"), parameters.one("bigint"));
        let readied = format!(
            "UPDATE postroom.steps s SET
                unmet = s.unmet - n.done,
                state = CASE WHEN {starts} THEN 'running' ELSE n.state END,
                epoch = s.epoch + ({starts})::int, attempts = s.attempts + ({starts})::int,
                owner = CASE WHEN {starts} THEN {process} END,
                lease_until = CASE WHEN {starts} THEN {lease_until} END,
                started_at = CASE WHEN {starts} THEN {now} ELSE s.started_at END,
                ended_at = CASE WHEN NOT ({starts}) THEN s.ended_at END
             FROM {children}
             WHERE s.task_id = n.task_id AND s.idx = n.idx
             RETURNING s.task_id, s.idx, s.name, s.callable, s.priority, s.epoch, s.attempts,
                       s.max_attempts, s.parents, s.state, n.done),
            taken AS (SELECT * FROM readied WHERE state = 'running'"
        );
        let says = concat!(
            ", k.task_id, k.idx, k.name, k.callable, k.epoch, k.attempts, k.max_attempts, k.state,
               NULL::uuid AS uuid, NULL::uuid AS correlation_id, NULL::boolean AS moves, k.done,
               p.places, p.names, p.results
             FROM (SELECT) one ",
            with_parents!()
        );
        (readied, says.to_owned())
    })
});

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
    let rows = kept
        .bind(unit.query_as::<Row>(START.text(kept.form())))
        .one(callables)
        .one(request.process)
        .one(unit.now() + settle::millis(request.lease))
        .query
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
