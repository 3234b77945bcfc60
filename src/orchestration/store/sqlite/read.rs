//! Reading back. Every answer is one statement, and so one moment of the database.

use sqlx::Row;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::fault::Fault;
use super::unit::{hex, json, uuid};
use crate::orchestration::store::sql::{failure_policy, from_row, history_kind, number};
use crate::orchestration::store::{
    DeadLetter, DeadLetterFilter, HistoryRecord, ProcessRecord, ProcessRegistration, StepId,
    StepRecord, TaskDefinition, TaskFilter, TaskRecord,
};

/// What a [`TaskRecord`] is made of.
pub(super) fn task_record(row: &SqliteRow) -> Result<TaskRecord, Fault> {
    Ok(TaskRecord {
        task_uuid: uuid(row.try_get("uuid")?)?,
        namespace: row.try_get("namespace")?,
        name: row.try_get("name")?,
        version: row.try_get("version")?,
        state: row.try_get::<&str, _>("state")?.parse()?,
        reason: row.try_get("reason")?,
        run: number(row.try_get("run")?)?,
        correlation_id: uuid(row.try_get("correlation_id")?)?,
        steps_total: number(row.try_get("steps_total")?)?,
        steps_complete: number(row.try_get("steps_satisfied")?)?,
        steps_failed: number(row.try_get("steps_failed")?)?,
        priority: number(row.try_get("priority")?)?,
        failure_policy: failure_policy(row.try_get("failure_policy")?)?,
        content: hex(row.try_get("content")?),
        created_at: row.try_get("created_at")?,
        started_at: row.try_get("started_at")?,
        ended_at: row.try_get("ended_at")?,
    })
}

/// What a [`StepRecord`] is made of; `parents` is a JSON array.
pub(super) fn step_record(row: &SqliteRow) -> Result<StepRecord, Fault> {
    let owner: Option<&[u8]> = row.try_get("owner")?;
    Ok(StepRecord {
        index: number(row.try_get("idx")?)?,
        name: row.try_get("name")?,
        callable: row.try_get("callable")?,
        state: row.try_get::<&str, _>("state")?.parse()?,
        attempts: number(row.try_get("attempts")?)?,
        max_attempts: number(row.try_get("max_attempts")?)?,
        lost_leases: number(row.try_get("lost_leases")?)?,
        epoch: number(row.try_get("epoch")?)?,
        unmet_dependencies: number(row.try_get("unmet")?)?,
        parents: serde_json::from_str(row.try_get("parent_list")?)?,
        owner: owner.map(uuid).transpose()?,
        lease_until: row.try_get("lease_until")?,
        due_at: row.try_get("due_at")?,
        started_at: row.try_get("started_at")?,
        ended_at: row.try_get("ended_at")?,
        result_json: row.try_get("result")?,
        error: row.try_get("error")?,
    })
}

pub(super) async fn task(pool: &SqlitePool, task: Uuid) -> Result<Option<TaskRecord>, Fault> {
    let row = sqlx::query("SELECT * FROM postroom_tasks WHERE uuid = ?1")
        .bind(task.as_bytes().as_slice())
        .fetch_optional(pool)
        .await?;
    row.as_ref().map(task_record).transpose()
}

pub(super) async fn definition(
    pool: &SqlitePool,
    task: Uuid,
) -> Result<Option<TaskDefinition>, Fault> {
    let found: Option<(String, String)> = sqlx::query_as(
        "SELECT d.template, d.input FROM postroom_tasks t
         JOIN postroom_definitions d ON d.task_id = t.id WHERE t.uuid = ?1",
    )
    .bind(task.as_bytes().as_slice())
    .fetch_optional(pool)
    .await?;
    Ok(found.map(|(template_json, input_json)| TaskDefinition {
        template_json,
        input_json,
    }))
}

macro_rules! steps_where {
    ($condition:literal) => {
        concat!(
            "SELECT s.*, (SELECT json_group_array(e.parent ORDER BY e.parent) FROM postroom_edges e
                      WHERE e.task_id = s.task_id AND e.child = s.idx) AS parent_list
             FROM postroom_tasks t CROSS JOIN postroom_steps s ON s.task_id = t.id
             WHERE ",
            $condition,
            " ORDER BY s.idx"
        )
    };
}

pub(super) async fn steps(pool: &SqlitePool, task: Uuid) -> Result<Vec<StepRecord>, Fault> {
    let rows = sqlx::query(steps_where!("t.uuid = ?1"))
        .bind(task.as_bytes().as_slice())
        .fetch_all(pool)
        .await?;
    rows.iter().map(step_record).collect()
}

pub(super) async fn step(pool: &SqlitePool, id: StepId) -> Result<Option<StepRecord>, Fault> {
    let row = sqlx::query(steps_where!("t.uuid = ?1 AND s.idx = ?2"))
        .bind(id.task_uuid.as_bytes().as_slice())
        .bind(id.index)
        .fetch_optional(pool)
        .await?;
    row.as_ref().map(step_record).transpose()
}

from_row! {
    struct History(SqliteRow) {
        at: i64,
        run: i64,
        kind: String,
        step: Option<i64>,
        attempt: Option<i64>,
        epoch: Option<i64>,
        from_state: Option<String>,
        to_state: Option<String>,
        process: Option<Vec<u8>>,
        detail: Option<String>,
        result: Option<String>,
    }
}

pub(super) async fn history(pool: &SqlitePool, task: Uuid) -> Result<Vec<HistoryRecord>, Fault> {
    let rows: Vec<History> = sqlx::query_as(
        "SELECT h.at, h.run, h.kind, h.step, h.attempt, h.epoch, h.from_state, h.to_state,
                h.process, h.detail, h.result
         FROM postroom_tasks t CROSS JOIN postroom_history h ON h.task_id = t.id
         WHERE t.uuid = ?1 ORDER BY h.id",
    )
    .bind(task.as_bytes().as_slice())
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(HistoryRecord {
                at: row.at,
                run: number(row.run)?,
                kind: history_kind(&row.kind)?,
                step: row.step.map(number).transpose()?,
                attempt: row.attempt.map(number).transpose()?,
                epoch: row.epoch.map(number).transpose()?,
                from: row.from_state,
                to: row.to_state,
                process: row.process.as_deref().map(uuid).transpose()?,
                detail: row.detail,
                result_json: row.result,
            })
        })
        .collect()
}

/// What a list of tasks is asked for. `+`: not to be looked up by.
macro_rules! asked {
    () => {
        "(?1 = '[]' OR state IN (SELECT value FROM json_each(?1)))
         AND (?2 IS NULL OR +namespace = ?2) AND (?3 IS NULL OR +name = ?3)
         AND (?4 IS NULL OR +content = ?4)"
    };
}

/// A list of tasks; the first condition decides which index is used.
macro_rules! list {
    ($first:expr) => {
        concat!(
            "SELECT * FROM postroom_tasks WHERE ",
            $first,
            " AND ",
            asked!(),
            " ORDER BY id DESC LIMIT ?5 + 0"
        )
    };
}

#[cfg(test)]
pub(super) use list;

/// Tasks of a content: the few of the identities that begin with it, `?6` to `?7`, and the latest of the others.
macro_rules! of_content {
    () => {
        concat!(
            "id IN (
                SELECT id FROM postroom_tasks WHERE identity BETWEEN ?6 AND ?7
                UNION ALL
                SELECT id FROM (
                    SELECT id FROM postroom_tasks
                    WHERE content = ?4 AND substr(identity, 1, 16) <> substr(content, 1, 16) AND ",
            asked!(),
            "       ORDER BY id DESC LIMIT ?5 + 0))"
        )
    };
}
#[cfg(test)]
pub(super) use {asked, of_content};

/// The first or last of the identities that begin with a content.
fn beginning_with(content: [u8; 32], rest: u8) -> Vec<u8> {
    [&content[..16], &[rest; 16]].concat()
}

pub(super) async fn tasks(
    pool: &SqlitePool,
    filter: &TaskFilter,
) -> Result<Vec<TaskRecord>, Fault> {
    let (namespace, name) = filter.template.clone().unzip();
    let list = match (&filter.content, &filter.template) {
        (Some(_), _) => list!(of_content!()),
        (None, Some(_)) => list!("namespace = ?2 AND name = ?3"),
        (None, None) => list!("true"),
    };
    let rows = sqlx::query(list)
        .bind(json(&filter.states)?)
        .bind(namespace)
        .bind(name)
        .bind(filter.content.map(|content| content.to_vec()))
        .bind(filter.limit)
        .bind(filter.content.map(|content| beginning_with(content, 0)))
        .bind(
            filter
                .content
                .map(|content| beginning_with(content, u8::MAX)),
        )
        .fetch_all(pool)
        .await?;
    rows.iter().map(task_record).collect()
}

pub(super) async fn dead_letters(
    pool: &SqlitePool,
    filter: &DeadLetterFilter,
) -> Result<Vec<DeadLetter>, Fault> {
    let rows = sqlx::query(
        "SELECT t.uuid, t.namespace, t.name, t.version, t.state, t.correlation_id, s.idx,
                s.name AS step, s.callable, s.attempts, s.max_attempts, s.lost_leases, s.error,
                s.ended_at
         FROM postroom_steps s INDEXED BY postroom_steps_failed
         CROSS JOIN postroom_tasks t ON t.id = s.task_id
         WHERE s.state = 'failed' AND t.state NOT IN ('cancelled', 'resolved_manually')
            AND (?1 IS NULL OR t.namespace = ?1)
         ORDER BY s.ended_at DESC, s.task_id DESC, s.idx DESC LIMIT ?2 + 0",
    )
    .bind(&filter.namespace)
    .bind(filter.limit)
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(DeadLetter {
                task_uuid: uuid(row.try_get("uuid")?)?,
                namespace: row.try_get("namespace")?,
                name: row.try_get("name")?,
                version: row.try_get("version")?,
                task_state: row.try_get::<&str, _>("state")?.parse()?,
                correlation_id: uuid(row.try_get("correlation_id")?)?,
                index: number(row.try_get("idx")?)?,
                step: row.try_get("step")?,
                callable: row.try_get("callable")?,
                attempts: number(row.try_get("attempts")?)?,
                max_attempts: number(row.try_get("max_attempts")?)?,
                lost_leases: number(row.try_get("lost_leases")?)?,
                error: row.try_get("error")?,
                failed_at: row.try_get("ended_at")?,
            })
        })
        .collect()
}

from_row! {
    struct Process(SqliteRow) {
        uuid: Vec<u8>,
        host: String,
        pid: i64,
        pid_birth: String,
        callables: String,
        only_task: Option<Vec<u8>>,
        serves: String,
        silent: i64,
        leases: i64,
    }
}

pub(super) async fn processes(pool: &SqlitePool) -> Result<Vec<ProcessRecord>, Fault> {
    let rows: Vec<Process> = sqlx::query_as(
        "SELECT p.process AS uuid, p.host, p.pid, p.pid_birth, p.callables, p.only_task, p.serves,
                CAST(round(unixepoch('subsec') * 1000) AS INTEGER) - p.heard_at AS silent,
                (SELECT count(*) FROM postroom_steps s INDEXED BY postroom_steps_running
                 WHERE s.state = 'running' AND s.owner = p.process) AS leases
         FROM postroom_processes p ORDER BY p.process",
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ProcessRecord {
                registration: ProcessRegistration {
                    process: uuid(&row.uuid)?,
                    host: row.host,
                    pid: number(row.pid)?,
                    pid_birth: row.pid_birth,
                    callables: serde_json::from_str(&row.callables)?,
                    serves: serde_json::from_str(&row.serves)?,
                    only_task: row.only_task.as_deref().map(uuid).transpose()?,
                },
                silent_ms: u64::try_from(row.silent).unwrap_or(0),
                leases: number(row.leases)?,
            })
        })
        .collect()
}

pub(super) async fn ping(pool: &SqlitePool) -> Result<(), Fault> {
    let (_,): (i64,) = sqlx::query_as("SELECT count(*) FROM postroom_migrations")
        .fetch_one(pool)
        .await?;
    Ok(())
}
