//! Claiming steps.
//!
//! A claim waits for nobody. It takes the first runnable steps that no other transaction holds, and holds
//! their tasks in the weakest mode, so that claims and completions of one task go on beside each other. Where
//! the task's own row has to change (it starts, or is no longer waiting), its steps are taken only if that row
//! is free too.
//!
//! The children that the same transaction has readied, and first steps that it has kept back, stand beside what is ready
//! already. Nobody else can take them, so they are not locked. Those that are taken go from pending to running at once:
//! each version of a row is an entry in its indexes too.
//!
//! What else the transaction has completed is written after the claim, with what the claim changes, unless it bears on
//! what may start.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::columns::ReadiedColumns;
use super::fault::Fault;
use super::head::{Begun, First, Head};
use super::opening::waits;
use super::start;
use super::unit::{Learned, Unit};
use crate::orchestration::state::{StepState, TaskState};
use crate::orchestration::store::sql::{from_row, number};
use crate::orchestration::store::{
    ClaimRequest, ClaimScope, ClaimedStep, Claims, ParentResult, StepId, settle,
};

/// How many more steps than asked for are looked at, of each handler, in case others hold the first ones.
const SPARE: i64 = 4;

/// How many are looked at, of each handler, before a claim gives up on finding one that nobody holds.
const MOST: i64 = 4_096;

macro_rules! claimable {
    () => {
        "t.state IN ('pending', 'running', 'waiting', 'blocked')"
    };
}

/// Whether the process serves the task `t`: it says so of every task, or of its template.
macro_rules! serves {
    () => {
        " AND (cardinality($8::text[]) = 0 OR EXISTS (
            SELECT 1 FROM unnest($8::text[], $9::text[], $10::text[]) AS v (namespace, name, version)
            WHERE v.namespace = t.namespace AND coalesce(v.name, t.name) = t.name
                AND coalesce(v.version, t.version) = t.version)) "
    };
}

/// What is ready, of each handler.
macro_rules! ready {
    ($from:literal) => {
        concat!(
            "SELECT s.priority, s.task_id, s.idx
             FROM postroom.steps s JOIN postroom.tasks t ON t.id = s.task_id
             WHERE s.state = 'ready' AND s.callable = c.callable AND ",
            $from,
            claimable!(),
            serves!(),
            "ORDER BY s.priority DESC, s.task_id, s.idx LIMIT $2"
        )
    };
}

/// What is to be tried again by now, of each handler.
macro_rules! retry {
    () => {
        concat!(
            "SELECT s.priority, s.task_id, s.idx
         FROM postroom.steps s JOIN postroom.tasks t ON t.id = s.task_id
         WHERE s.state = 'retry_wait' AND s.callable = c.callable AND s.due_at <= $3 AND ",
            claimable!(),
            serves!(),
            "ORDER BY s.priority DESC, s.task_id, s.idx LIMIT $2"
        )
    };
}

/// The steps that were `taken`, as `k`, in the order in which they are handed out, with what their parents have written.
macro_rules! with_parents {
    () => {
        "LEFT JOIN taken k ON true
         LEFT JOIN LATERAL (
            SELECT array_agg(p.idx ORDER BY p.idx) AS places, array_agg(p.name ORDER BY p.idx) AS names,
                   array_agg(coalesce(p.result, 'null') ORDER BY p.idx) AS results
            FROM unnest(k.parents) AS u (idx) CROSS JOIN LATERAL (
                SELECT p.idx, p.name, p.result FROM postroom.steps p
                WHERE p.task_id = k.task_id AND p.idx = u.idx OFFSET 0) p) p ON true
         ORDER BY k.priority DESC, k.task_id, k.idx"
    };
}
pub(super) use with_parents;

/// `$1` handlers, `$2` how many to look at of each, `$3` now, `$4` limit, `$5` process, `$6` end of the
/// leases, `$7` the task, if there is to be only one; `$8` to `$10` the templates
/// that the process serves, if not all; `$11` to `$14` the children that are ready by this transaction, still to
/// be written, and whether their tasks let them start: what is not claimed of them is written as ready. With `+ 0` the
/// step's task follows from the step and not the reverse: a server that believes tasks to be small would read all steps
/// of the task to find the one. Of what is ready no more is locked than has its turn before children, and all of that is
/// taken: others pass by what is locked. A step whose parent another transaction has completed since this one began starts
/// when that ended, which is after now.
macro_rules! claim {
    ($ready:expr, $retry:expr, $due:expr) => {
        concat!(
            "WITH child AS MATERIALIZED (
                SELECT * FROM unnest($11::bigint[], $12::bigint[], $13::bigint[], $14::boolean[])
                    AS n (task_id, idx, done, starts)),
            runnable AS MATERIALIZED (
                SELECT r.priority, r.task_id, r.idx, NULL::bigint AS done
                FROM unnest($1::text[]) AS c (callable) CROSS JOIN LATERAL (",
            $ready,
            ") r UNION ALL
                SELECT r.priority, r.task_id, r.idx, NULL
                FROM unnest($1::text[]) AS c (callable) CROSS JOIN LATERAL (",
            $retry,
            ") r UNION ALL
                SELECT s.priority, s.task_id, s.idx, n.done
                FROM child n JOIN postroom.steps s ON s.task_id = n.task_id AND s.idx = n.idx
                WHERE n.starts AND s.callable = ANY($1) AND (cardinality($8::text[]) = 0 OR EXISTS (
                    SELECT 1 FROM postroom.tasks t WHERE t.id = s.task_id",
            serves!(),
            "))
                ORDER BY 1 DESC, 2, 3),
            locked AS MATERIALIZED (
                SELECT s.task_id, s.idx, s.state, t.uuid, t.correlation_id,
                       t.state <> 'running' OR t.started_at IS NULL OR s.state = 'retry_wait' AS moves
                FROM runnable r
                JOIN postroom.steps s ON s.task_id = r.task_id AND s.idx = r.idx
                JOIN postroom.tasks t ON t.id = s.task_id + 0
                WHERE r.done IS NULL
                    AND (s.state = 'ready' OR (s.state = 'retry_wait' AND s.due_at <= $3)) AND ",
            claimable!(),
            "   ORDER BY r.priority DESC, r.task_id, r.idx LIMIT (
                    SELECT count(*) FROM (
                        SELECT done FROM runnable ORDER BY priority DESC, task_id, idx LIMIT $4) n
                    WHERE n.done IS NULL)
                FOR UPDATE OF s SKIP LOCKED FOR KEY SHARE OF t SKIP LOCKED),
            found AS MATERIALIZED (
                SELECT task_id, idx, state, uuid, correlation_id, NULL::bigint AS done, moves
                FROM locked UNION ALL (
                SELECT task_id, idx, 'pending', NULL, NULL, done, false
                FROM runnable WHERE done IS NOT NULL ORDER BY priority DESC, task_id, idx
                LIMIT $4 - (SELECT count(*) FROM locked))),
            held AS MATERIALIZED (
                SELECT t.id FROM postroom.tasks t
                WHERE t.id = ANY(ARRAY(SELECT task_id FROM found WHERE moves))
                ORDER BY t.id FOR NO KEY UPDATE SKIP LOCKED),
            taken AS (
                UPDATE postroom.steps s SET
                    state = 'running', unmet = s.unmet - coalesce(f.done, 0), epoch = s.epoch + 1,
                    attempts = s.attempts + 1, owner = $5, lease_until = $6, due_at = NULL,
                    ended_at = NULL,
                    started_at = greatest($3, (
                        SELECT max(p.ended_at) FROM unnest(s.parents) AS u (idx) CROSS JOIN LATERAL (
                            SELECT p.ended_at FROM postroom.steps p
                            WHERE p.task_id = s.task_id AND p.idx = u.idx OFFSET 0) p))
                FROM found f
                WHERE s.task_id = f.task_id AND s.idx = f.idx
                    AND (NOT f.moves OR f.task_id = ANY(ARRAY(SELECT id FROM held)))
                RETURNING s.task_id, s.idx, s.name, s.callable, s.priority, s.epoch, s.attempts,
                          s.max_attempts, s.parents, f.state, f.uuid, f.correlation_id, f.moves,
                          f.done),
            left_ready AS (
                UPDATE postroom.steps s SET unmet = s.unmet - n.done, state = 'ready'
                FROM child n
                WHERE s.task_id = n.task_id AND s.idx = n.idx
                    AND (n.task_id, n.idx) NOT IN (SELECT task_id, idx FROM taken)
                RETURNING 1)
            SELECT (SELECT count(*) FROM runnable) AS looked_at,
                   (SELECT count(*) FROM found) AS found,
                   (SELECT count(*) FROM left_ready) AS left_ready,
                   (SELECT count(*) FROM taken WHERE done IS NOT NULL) AS started, due.next_due,
                   k.task_id, k.idx, k.name, k.callable, k.epoch, k.attempts, k.max_attempts,
                   k.state, k.uuid, k.correlation_id, k.moves, k.done, p.places, p.names,
                   p.results, h.first_priority, h.first_task
            FROM (SELECT min((
                    SELECT s.due_at FROM postroom.steps s JOIN postroom.tasks t ON t.id = s.task_id
                    WHERE s.state = 'retry_wait' AND s.callable = c.callable AND ",
            claimable!(),
            serves!(),
            $due,
            "           AND NOT EXISTS (SELECT 1 FROM taken k
                                        WHERE k.task_id = s.task_id AND k.idx = s.idx)
                    ORDER BY s.due_at LIMIT 1)) AS next_due
                  FROM unnest($1::text[]) AS c (callable)) due
            LEFT JOIN (SELECT priority AS first_priority, task_id AS first_task FROM runnable
                       WHERE done IS NULL ORDER BY priority DESC, task_id LIMIT 1) h ON true
            ",
            with_parents!()
        )
    };
}

/// Of any task. For each handler the index brings its first few, so that the cost does not depend on how much
/// is waiting. The last condition is there for its parameter.
const CLAIM: &str = claim!(ready!(""), retry!(), " AND $7::uuid IS NULL ");

/// The same from `$15`, the priority, and `$16`, the task, of the first step. Three ranges of the index, for the order
/// of the one is not that of the other.
const CLAIM_FROM: &str = claim!(
    concat!(
        "(",
        ready!("s.priority > $15::smallint AND "),
        ") UNION ALL (",
        ready!("s.priority = $15 AND s.task_id >= $16::bigint AND "),
        ") UNION ALL (",
        ready!("s.priority < $15 AND "),
        ")"
    ),
    retry!(),
    " AND $7::uuid IS NULL "
);

/// Of one task.
const CLAIM_OF_TASK: &str = claim!(
    concat!(
        "SELECT s.priority, s.task_id, s.idx
         FROM postroom.tasks t JOIN postroom.steps s
            ON s.state = 'ready' AND s.callable = c.callable AND s.priority = t.priority
            AND s.task_id = t.id
         WHERE t.uuid = $7::uuid",
        serves!(),
        "ORDER BY s.priority DESC, s.task_id, s.idx LIMIT $2"
    ),
    concat!(
        "SELECT s.priority, s.task_id, s.idx
         FROM postroom.tasks t JOIN postroom.steps s
            ON s.state = 'retry_wait' AND s.callable = c.callable AND s.due_at <= $3
            AND s.task_id = t.id
         WHERE t.uuid = $7::uuid",
        serves!(),
        "ORDER BY s.priority DESC, s.task_id, s.idx LIMIT $2"
    ),
    " AND t.uuid = $7::uuid "
);

/// Whether something waits, whoever may take it.
const WAITS: &str = concat!("SELECT ", waits!("$1"));

/// One claimed step. What `taken` has is NULL if there is none.
struct Row {
    looked_at: i64,
    found: i64,
    /// Children that are ready by this transaction, and left so; those that were started.
    left_ready: i64,
    started: i64,
    next_due: Option<i64>,
    first: Option<First>,
    taken: Taken,
}

impl sqlx::FromRow<'_, PgRow> for Row {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            looked_at: row.try_get("looked_at")?,
            found: row.try_get("found")?,
            left_ready: row.try_get("left_ready")?,
            started: row.try_get("started")?,
            next_due: row.try_get("next_due")?,
            first: {
                let priority: Option<i16> = row.try_get("first_priority")?;
                let task_id: Option<i64> = row.try_get("first_task")?;
                let place = priority.zip(task_id);
                place.map(|(priority, task_id)| First { priority, task_id })
            },
            taken: <Taken as sqlx::FromRow<'_, PgRow>>::from_row(row)?,
        })
    }
}

from_row! {
    /// A step that was taken, if one was.
    pub(super) struct Taken(PgRow) {
        task_id: Option<i64>,
        idx: Option<i32>,
        name: Option<String>,
        callable: Option<String>,
        epoch: Option<i64>,
        attempts: Option<i32>,
        max_attempts: Option<i32>,
        state: Option<String>,
        uuid: Option<Uuid>,
        correlation_id: Option<Uuid>,
        moves: Option<bool>,
        done: Option<i64>,
        places: Option<Vec<i32>>,
        names: Option<Vec<String>>,
        results: Option<Vec<String>>,
    }
}

pub(super) async fn claim(unit: &mut Unit<'_>, request: &ClaimRequest) -> Result<Claims, Fault> {
    let callables: BTreeSet<&str> = request.callables.iter().map(String::as_str).collect();
    let callables: Vec<&str> = callables.into_iter().collect();
    let mut wanted = i64::from(request.limit);
    let mut look_at = (wanted + SPARE).min(MOST);
    let mut claims = Claims::default();
    let bears = unit.changes_what_can_start();
    // A claim that finds nothing but children costs mostly the start of its large statement: where the last one has found
    // nothing else, a small one asks first, as a rule as the transaction begins.
    if !bears && unit.nothing_waits == Some(true) {
        let ready = unit.ready();
        if ready == 0 {
            return Ok(claims);
        }
        let enough = usize::try_from(wanted).is_ok_and(|wanted| ready <= wanted);
        if enough && request.serves.is_empty() {
            claims.steps = start::start(unit, request, &callables).await?;
            return Ok(claims);
        }
    }
    let mut children = unit.take_ready(request.scope);
    // What else was done is to be seen, if it matters.
    if bears {
        unit.flush().await?;
    }
    let asks_now = unit.nothing_waits.is_none()
        && children.len() == 0
        && request.scope == ClaimScope::Any
        && unit.head.is_some_and(Head::is_quiet);
    if asks_now {
        let waits = unit.query_scalar(WAITS).bind(&callables);
        if !waits.fetch_one(&mut *unit.conn).await? {
            return Ok(claims);
        }
    }
    let asked_in_vain = asks_now || unit.nothing_waits == Some(false);
    let begun = begin(unit, request);
    let begin_at = begun.and_then(|begun| begun.at);
    let mut seen = None;
    loop {
        let readied = children.len();
        let left: BTreeSet<(i64, i64)> = children.places().collect();
        let children = std::mem::take(&mut children);
        let rows = take(
            unit, request, &callables, look_at, wanted, children, begin_at,
        )
        .await?;
        let Some(first) = rows.first() else {
            return Err(Fault::Corrupt("a claim was not answered".to_owned()));
        };
        let (looked_at, found) = (first.looked_at, first.found);
        let (left_ready, started) = (first.left_ready, first.started);
        if usize::try_from(left_ready + started) != Ok(readied) {
            return Err(Fault::Corrupt(format!(
                "of {readied} children that are ready {left_ready} were written and {started} started"
            )));
        }
        if let Some(head) = unit.head
            && request.scope == ClaimScope::Any
        {
            // Where something waits that nobody may take, or for its time, asking first is in vain.
            let is_quiet = first.first.is_none() && first.next_due.is_none();
            head.set_quiet(is_quiet && !asked_in_vain);
        }
        // The first look: those after it are for what others hold.
        seen = seen.or_else(|| begun.map(|begun| begun.seen(request, first.first)));
        let left_until =
            |due: i64| Duration::from_millis(u64::try_from(due - unit.ledger.now).unwrap_or(0));
        claims.next_due = first.next_due.map(left_until);
        leave_ready(unit, left, rows.iter().map(|row| &row.taken));
        let taken = rows.into_iter().map(|row| row.taken);
        let steps = claimed(unit, request, taken).await?;
        let brought = i64::try_from(steps.len()).unwrap_or(i64::MAX);
        claims.steps.extend(steps);
        wanted -= brought;
        // A task that another process starts at this moment: its other steps can be had right after.
        if brought < found {
            claims.next_due = Some(Duration::ZERO);
        }
        // Others hold what was looked at, and there is more.
        if found >= wanted + brought || looked_at < look_at || look_at == MOST {
            let seen = seen.map(|seen| Learned::Head(Box::new(seen)));
            unit.learned.extend(seen);
            return Ok(claims);
        }
        look_at = (look_at * 8).min(MOST);
    }
}

/// Those of the children that were not taken wait for whoever claims next.
pub(super) fn leave_ready<'t>(
    unit: &mut Unit<'_>,
    mut children: BTreeSet<(i64, i64)>,
    taken: impl Iterator<Item = &'t Taken>,
) {
    for taken in taken {
        if let (Some(task_id), Some(index)) = (taken.task_id, taken.idx) {
            children.remove(&(task_id, i64::from(index)));
        }
    }
    if let Some(&(task_id, _)) = children.first() {
        unit.leaves_ready(task_id);
    }
}

/// Where the claim may begin: not behind what this transaction has readied.
fn begin(unit: &Unit<'_>, request: &ClaimRequest) -> Option<Begun> {
    if request.scope != ClaimScope::Any {
        return None;
    }
    let mut begun = unit.head?.begin(request);
    let readied = unit.readied;
    begun.at = begun
        .at
        .filter(|first| readied.is_none_or(|task_id| task_id > first.task_id));
    Some(begun)
}

async fn take(
    unit: &mut Unit<'_>,
    request: &ClaimRequest,
    callables: &[&str],
    look_at: i64,
    wanted: i64,
    children: ReadiedColumns,
    begin: Option<First>,
) -> Result<Vec<Row>, Fault> {
    let (statement, task) = match (request.scope, begin) {
        (ClaimScope::Any, None) => (CLAIM, None),
        (ClaimScope::Any, Some(_)) => (CLAIM_FROM, None),
        (ClaimScope::Task(task), _) => (CLAIM_OF_TASK, Some(task)),
    };
    let serves = request.serves.iter();
    let namespaces: Vec<&str> = serves.clone().map(|one| &*one.namespace).collect();
    let names: Vec<Option<&str>> = serves.clone().map(|one| one.name.as_deref()).collect();
    let versions: Vec<Option<&str>> = serves.map(|one| one.version.as_deref()).collect();
    let query = unit
        .query_as(statement)
        .bind(callables)
        .bind(look_at)
        .bind(unit.now())
        .bind(wanted)
        .bind(request.process)
        .bind(unit.now() + settle::millis(request.lease))
        .bind(task)
        .bind(namespaces)
        .bind(names)
        .bind(versions);
    let mut query = children.bind(query);
    if let Some(first) = begin {
        query = query.bind(first.priority).bind(first.task_id);
    }
    Ok(query.fetch_all(&mut *unit.conn).await?)
}

/// The steps that were taken, whose tasks start too.
async fn claimed(
    unit: &mut Unit<'_>,
    request: &ClaimRequest,
    taken: impl Iterator<Item = Taken>,
) -> Result<Vec<ClaimedStep>, Fault> {
    let kept = unit.kept_results();
    let (steps, started) = read_taken(unit, &kept, taken)?;
    start_tasks(unit, request, started).await?;
    Ok(steps)
}

/// What steps mean for their tasks by being taken.
#[derive(Default)]
pub(super) struct Started {
    /// The first of the tasks.
    first: Option<i64>,
    /// Those that move, each with how many of its steps were to be tried again.
    moving: BTreeMap<i64, u32>,
}

/// `kept`: the results that are still to be written, by task and index.
pub(super) fn read_taken(
    unit: &Unit<'_>,
    kept: &HashMap<(i64, i64), &str>,
    all: impl Iterator<Item = Taken>,
) -> Result<(Vec<ClaimedStep>, Started), Fault> {
    let mut steps = Vec::new();
    let mut started = Started::default();
    for mut taken in all {
        let Some(task_id) = taken.task_id else {
            continue;
        };
        started.first = Some(started.first.map_or(task_id, |first| first.min(task_id)));
        if taken.done.is_some() {
            // A child: this transaction has locked its task, and knows better than the database where that stands.
            let task = unit.tasks.get(&task_id);
            let task =
                task.ok_or_else(|| Fault::Corrupt(format!("task {task_id} is not locked")))?;
            taken.uuid = Some(task.uuid);
            taken.correlation_id = Some(task.correlation_id);
            taken.moves = Some(task.state != TaskState::Running || task.started_at.is_none());
        }
        if taken.moves == Some(true) {
            let retried = taken.state.as_deref() == Some(StepState::RetryWait.as_str());
            *started.moving.entry(task_id).or_default() += u32::from(retried);
        }
        steps.extend(claimed_step(taken, kept)?);
    }
    Ok((steps, started))
}

/// Starts the tasks of the steps that were taken.
pub(super) async fn start_tasks(
    unit: &mut Unit<'_>,
    request: &ClaimRequest,
    started: Started,
) -> Result<(), Fault> {
    let Some(first) = started.first else {
        return Ok(());
    };
    unit.learned.push(Learned::Claimed(request.process, first));
    unit.wrote();
    if started.moving.is_empty() {
        return Ok(());
    }
    let moving: BTreeSet<i64> = started.moving.keys().copied().collect();
    let mut tasks = unit.load_tasks(&moving).await?;
    for task in tasks.values_mut() {
        for _ in 0..started.moving.get(&task.id).copied().unwrap_or(0) {
            settle::recount(&mut task.counts, StepState::RetryWait, StepState::Running);
        }
        task.started_at.get_or_insert(unit.ledger.now);
        unit.ledger
            .move_task(task, TaskState::Running, None, request.process);
        // What is left of it can be had by others as soon as this is committed.
        unit.made_work = true;
    }
    unit.save_tasks(tasks);
    Ok(())
}

/// The step of a row, if it has one.
fn claimed_step(
    taken: Taken,
    kept: &HashMap<(i64, i64), &str>,
) -> Result<Option<ClaimedStep>, Fault> {
    let (Some(task_id), Some(task_uuid), Some(index), Some(epoch)) =
        (taken.task_id, taken.uuid, taken.idx, taken.epoch)
    else {
        return Ok(None);
    };
    let written = taken.names.unwrap_or_default().into_iter();
    let written = written.zip(taken.results.unwrap_or_default());
    let parents = taken.places.unwrap_or_default().into_iter().zip(written);
    let parents = parents.map(|(place, (name, written))| ParentResult {
        name,
        result_json: kept
            .get(&(task_id, i64::from(place)))
            .map_or(written, |result| (*result).to_owned()),
    });
    Ok(Some(ClaimedStep {
        id: StepId {
            task_uuid,
            index: number(i64::from(index))?,
        },
        name: taken.name.unwrap_or_default(),
        callable: taken.callable.unwrap_or_default(),
        epoch: number(epoch)?,
        attempt: number(i64::from(taken.attempts.unwrap_or_default()))?,
        max_attempts: number(i64::from(taken.max_attempts.unwrap_or_default()))?,
        correlation_id: taken.correlation_id.unwrap_or_default(),
        parents: parents.collect(),
    }))
}
