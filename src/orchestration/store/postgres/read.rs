//! Reading back. Every answer is one statement, and so one moment of the database.

use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::query::{Query, QueryAs};
use sqlx::{FromRow, Row};
use uuid::Uuid;

use super::connect::Reading;
use super::fault::Fault;
use crate::orchestration::store::sql::{failure_policy, from_row, history_kind, number};
use crate::orchestration::store::{
    DeadLetter, DeadLetterFilter, HistoryRecord, ProcessRecord, ProcessRegistration, StepId,
    StepRecord, TaskDefinition, TaskFilter, TaskRecord,
};

impl Reading {
    fn query<'q>(&self, sql: &'static str) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(sql).persistent(self.named())
    }

    pub(super) fn query_as<'q, O>(&self, sql: &'static str) -> QueryAs<'q, Postgres, O, PgArguments>
    where
        O: for<'r> FromRow<'r, PgRow>,
    {
        sqlx::query_as(sql).persistent(self.named())
    }
}

/// A number of the database's 32 bits.
pub(super) fn small(row: &PgRow, column: &str) -> Result<u32, Fault> {
    let value: i32 = row.try_get(column)?;
    Ok(number(i64::from(value))?)
}

/// What a [`TaskRecord`] is made of; `content` is in hexadecimal.
pub(super) fn task_record(row: &PgRow) -> Result<TaskRecord, Fault> {
    Ok(TaskRecord {
        task_uuid: row.try_get("uuid")?,
        namespace: row.try_get("namespace")?,
        name: row.try_get("name")?,
        version: row.try_get("version")?,
        state: row.try_get::<&str, _>("state")?.parse()?,
        reason: row.try_get("reason")?,
        run: small(row, "run")?,
        correlation_id: row.try_get("correlation_id")?,
        steps_total: small(row, "steps_total")?,
        steps_complete: small(row, "steps_satisfied")?,
        steps_failed: small(row, "steps_failed")?,
        priority: row.try_get("priority")?,
        failure_policy: failure_policy(row.try_get("failure_policy")?)?,
        content: row.try_get("content_hex")?,
        created_at: row.try_get("created_at")?,
        started_at: row.try_get("started_at")?,
        ended_at: row.try_get("ended_at")?,
    })
}

pub(super) fn step_record(row: &PgRow) -> Result<StepRecord, Fault> {
    let epoch: i64 = row.try_get("epoch")?;
    let parents: Vec<i32> = row.try_get("parents")?;
    let parents = parents.into_iter().map(|parent| number(i64::from(parent)));
    Ok(StepRecord {
        index: small(row, "idx")?,
        name: row.try_get("name")?,
        callable: row.try_get("callable")?,
        state: row.try_get::<&str, _>("state")?.parse()?,
        attempts: small(row, "attempts")?,
        max_attempts: small(row, "max_attempts")?,
        lost_leases: small(row, "lost_leases")?,
        epoch: number(epoch)?,
        unmet_dependencies: small(row, "unmet")?,
        parents: parents.collect::<Result<_, _>>()?,
        owner: row.try_get("owner")?,
        lease_until: row.try_get("lease_until")?,
        due_at: row.try_get("due_at")?,
        started_at: row.try_get("started_at")?,
        ended_at: row.try_get("ended_at")?,
        result_json: row.try_get("result")?,
        error: row.try_get("error")?,
    })
}

pub(super) async fn task(reading: &mut Reading, task: Uuid) -> Result<Option<TaskRecord>, Fault> {
    let row = reading
        .query(
            "SELECT *, encode(content, 'hex') AS content_hex FROM postroom.tasks WHERE uuid = $1",
        )
        .bind(task)
        .fetch_optional(reading.conn())
        .await?;
    row.as_ref().map(task_record).transpose()
}

pub(super) async fn definition(
    reading: &mut Reading,
    task: Uuid,
) -> Result<Option<TaskDefinition>, Fault> {
    let found: Option<(String, String)> = reading
        .query_as(
            "SELECT d.template, d.input FROM postroom.tasks t
             JOIN postroom.definitions d ON d.task_id = t.id WHERE t.uuid = $1",
        )
        .bind(task)
        .fetch_optional(reading.conn())
        .await?;
    Ok(found.map(|(template_json, input_json)| TaskDefinition {
        template_json,
        input_json,
    }))
}

pub(super) async fn step(reading: &mut Reading, id: StepId) -> Result<Option<StepRecord>, Fault> {
    let row = reading
        .query(
            "SELECT s.* FROM postroom.tasks t JOIN postroom.steps s ON s.task_id = t.id
             WHERE t.uuid = $1 AND s.idx = $2",
        )
        .bind(id.task_uuid)
        .bind(i64::from(id.index))
        .fetch_optional(reading.conn())
        .await?;
    row.as_ref().map(step_record).transpose()
}

pub(super) async fn steps(reading: &mut Reading, task: Uuid) -> Result<Vec<StepRecord>, Fault> {
    let rows = reading
        .query(
            "SELECT s.* FROM postroom.tasks t JOIN postroom.steps s ON s.task_id = t.id
             WHERE t.uuid = $1 ORDER BY s.idx",
        )
        .bind(task)
        .fetch_all(reading.conn())
        .await?;
    rows.iter().map(step_record).collect()
}

from_row! {
    struct History(PgRow) {
        at: i64,
        run: i32,
        kind: String,
        step: Option<i32>,
        attempt: Option<i32>,
        epoch: Option<i64>,
        from_state: Option<String>,
        to_state: Option<String>,
        process: Option<Uuid>,
        detail: Option<String>,
        result: Option<String>,
    }
}

pub(super) async fn history(
    reading: &mut Reading,
    task: Uuid,
) -> Result<Vec<HistoryRecord>, Fault> {
    let rows: Vec<History> = reading
        .query_as(
            "SELECT h.at, h.run, h.kind, h.step, h.attempt, h.epoch, h.from_state, h.to_state,
                    h.process, h.detail, h.result
             FROM postroom.tasks t JOIN postroom.history h ON h.task_id = t.id
             WHERE t.uuid = $1 ORDER BY h.id",
        )
        .bind(task)
        .fetch_all(reading.conn())
        .await?;
    let small = |value: Option<i32>| value.map(|value| number(i64::from(value))).transpose();
    rows.into_iter()
        .map(|row| {
            Ok(HistoryRecord {
                at: row.at,
                run: number(i64::from(row.run))?,
                kind: history_kind(&row.kind)?,
                step: small(row.step)?,
                attempt: small(row.attempt)?,
                epoch: row.epoch.map(number).transpose()?,
                from: row.from_state,
                to: row.to_state,
                process: row.process,
                detail: row.detail,
                result_json: row.result,
            })
        })
        .collect()
}

/// A list of tasks; the first condition decides which index is used.
macro_rules! list {
    ($first:literal) => {
        concat!(
            "SELECT *, encode(content, 'hex') AS content_hex FROM postroom.tasks WHERE ",
            $first,
            " AND (cardinality($1::text[]) = 0 OR state = ANY($1))
              AND ($2::text IS NULL OR namespace = $2) AND ($3::text IS NULL OR name = $3)
              AND ($4::bytea IS NULL OR content = $4)
              ORDER BY id DESC LIMIT $5"
        )
    };
}

pub(super) async fn tasks(
    reading: &mut Reading,
    filter: &TaskFilter,
) -> Result<Vec<TaskRecord>, Fault> {
    let (namespace, name) = filter.template.clone().unzip();
    let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
    let list = match (&filter.content, &filter.template) {
        (Some(_), _) => list!("content = $4"),
        (None, Some(_)) => list!("namespace = $2 AND name = $3"),
        (None, None) => list!("true"),
    };
    let rows = reading
        .query(list)
        .bind(states)
        .bind(namespace)
        .bind(name)
        .bind(filter.content.map(|content| content.to_vec()))
        .bind(i64::from(filter.limit))
        .fetch_all(reading.conn())
        .await?;
    rows.iter().map(task_record).collect()
}

pub(super) async fn dead_letters(
    reading: &mut Reading,
    filter: &DeadLetterFilter,
) -> Result<Vec<DeadLetter>, Fault> {
    let rows = reading
        .query(
            "SELECT t.uuid, t.namespace, t.name, t.version, t.state, t.correlation_id, s.idx,
                    s.name AS step, s.callable, s.attempts, s.max_attempts, s.lost_leases, s.error,
                    s.ended_at
             FROM postroom.steps s JOIN postroom.tasks t ON t.id = s.task_id
             WHERE s.state = 'failed' AND t.state NOT IN ('cancelled', 'resolved_manually')
                AND ($1::text IS NULL OR t.namespace = $1)
             ORDER BY s.ended_at DESC, s.task_id DESC, s.idx DESC LIMIT $2",
        )
        .bind(&filter.namespace)
        .bind(i64::from(filter.limit))
        .fetch_all(reading.conn())
        .await?;
    rows.iter()
        .map(|row| {
            Ok(DeadLetter {
                task_uuid: row.try_get("uuid")?,
                namespace: row.try_get("namespace")?,
                name: row.try_get("name")?,
                version: row.try_get("version")?,
                task_state: row.try_get::<&str, _>("state")?.parse()?,
                correlation_id: row.try_get("correlation_id")?,
                index: small(row, "idx")?,
                step: row.try_get("step")?,
                callable: row.try_get("callable")?,
                attempts: small(row, "attempts")?,
                max_attempts: small(row, "max_attempts")?,
                lost_leases: small(row, "lost_leases")?,
                error: row.try_get("error")?,
                failed_at: row.try_get("ended_at")?,
            })
        })
        .collect()
}

from_row! {
    struct Process(PgRow) {
        uuid: Uuid,
        host: String,
        pid: i64,
        pid_birth: String,
        callables: Vec<String>,
        only_task: Option<Uuid>,
        serves: String,
        silent: i64,
        leases: i64,
    }
}

pub(super) async fn processes(reading: &mut Reading) -> Result<Vec<ProcessRecord>, Fault> {
    let rows: Vec<Process> = reading
        .query_as(
            "SELECT p.process AS uuid, p.host, p.pid, p.pid_birth, p.callables, p.only_task, p.serves,
                    (extract(epoch FROM clock_timestamp()) * 1000)::bigint - p.heard_at AS silent,
                    (SELECT count(*) FROM postroom.steps s
                     WHERE s.state = 'running' AND s.owner = p.process) AS leases
             FROM postroom.processes p ORDER BY p.process",
        )
        .fetch_all(reading.conn())
        .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ProcessRecord {
                registration: ProcessRegistration {
                    process: row.uuid,
                    host: row.host,
                    pid: number(row.pid)?,
                    pid_birth: row.pid_birth,
                    callables: row.callables,
                    serves: serde_json::from_str(&row.serves)?,
                    only_task: row.only_task,
                },
                silent_ms: u64::try_from(row.silent).unwrap_or(0),
                leases: number(row.leases)?,
            })
        })
        .collect()
}

pub(super) async fn ping(reading: &mut Reading) -> Result<(), Fault> {
    let _: (i64,) = reading
        .query_as("SELECT count(*) FROM postroom.migrations")
        .fetch_one(reading.conn())
        .await?;
    Ok(())
}
