//! What a transaction begins with. Every statement is a journey to the server and back, and where few steps are
//! completed the journeys are what takes the time: so the rows that completions are about come with BEGIN, and whether
//! there is anything to claim, and numbers for new tasks.

use sqlx::{AssertSqlSafe, Executor, FromRow, PgConnection, Row};

use super::connect::{BEGIN, clock};
use super::fault::Fault;
use super::step_row::{self, Found};
use super::task_row;
use crate::orchestration::store::StepId;
use crate::orchestration::store::sql::task_row::TaskRow;

/// Whether a step waits for one of the handlers, whoever may take it.
macro_rules! waits {
    ($handlers:literal) => {
        concat!(
            "(EXISTS (
            SELECT 1 FROM unnest(",
            $handlers,
            "::text[]) AS c (callable) CROSS JOIN LATERAL (
                SELECT 1 FROM postroom.steps s WHERE s.state = 'ready' AND s.callable = c.callable
                ORDER BY s.priority DESC, s.task_id, s.idx LIMIT 1) r)
         OR EXISTS (
            SELECT 1 FROM unnest(",
            $handlers,
            "::text[]) AS c (callable) CROSS JOIN LATERAL (
                SELECT 1 FROM postroom.steps s WHERE s.state = 'retry_wait' AND s.callable = c.callable
                ORDER BY s.due_at LIMIT 1) r))"
        )
    };
}
pub(super) use waits;

/// Numbers for new tasks, in rising order, as one row.
macro_rules! numbers {
    () => {
        "SELECT array_agg(n.number) AS numbers FROM (
            SELECT nextval('postroom.tasks_id_seq') AS number FROM generate_series(1, $1::bigint) OFFSET 0) n"
    };
}
pub(super) use numbers;

/// Statements without parameters of the protocol's can go together, and those that are prepared need not be planned
/// again. What is asked after the locks is one statement, for each costs the server as much as its answer.
const PREPARE: &str = concat!(
    "PREPARE postroom_lock (uuid[]) AS ",
    task_row::locking!("t.uuid = ANY($1)", "NO KEY UPDATE"),
    "; PREPARE postroom_open (uuid[], bigint[], text[]) AS
      SELECT o.now, o.waits, s.* FROM (
          SELECT ",
    clock!(),
    " AS now, CASE WHEN $3 IS NOT NULL THEN ",
    waits!("$3"),
    " END AS waits OFFSET 0) o LEFT JOIN (",
    step_row::reading!(
        "unnest($1, $2) WITH ORDINALITY AS n (uuid, idx, place)
         JOIN postroom.tasks t ON t.uuid = n.uuid CROSS JOIN LATERAL (
             SELECT s.* FROM postroom.steps s WHERE s.task_id = t.id AND s.idx = n.idx OFFSET 0) s"
    ),
    ") s ON true; PREPARE postroom_numbers (bigint) AS ",
    numbers!(),
);

/// For more steps than these the journeys do not matter, and the protocol's own parameters cost less than text.
const MOST: usize = 32;

/// Prepares on a connection what transactions begin with there.
pub(super) async fn prepare(conn: &mut PgConnection) -> Result<(), Fault> {
    match conn.execute(PREPARE).await.map_err(Fault::from) {
        // By a writer that had this connection before.
        Err(fault) if !fault.is_code("42P05") => Err(fault),
        _ => Ok(()),
    }
}

/// A transaction that has begun.
pub(super) struct Opening {
    /// The moment of everything in it.
    pub(super) now: i64,
    /// What it was opened for, if it was.
    pub(super) completed: Option<Completed>,
    /// Whether nothing waits for a claim, if that was asked.
    pub(super) nothing_waits: Option<bool>,
    /// For the tasks that it stores.
    pub(super) numbers: Vec<i64>,
}

impl Opening {
    /// BEGIN alone, at this moment.
    pub(super) fn at(now: i64) -> Self {
        Self {
            now,
            completed: None,
            nothing_waits: None,
            numbers: Vec::new(),
        }
    }
}

/// The tasks of the steps that are completed, locked; and these steps in the order in which they were asked for.
pub(super) struct Completed {
    pub(super) tasks: Vec<TaskRow>,
    pub(super) ids: Vec<StepId>,
    pub(super) steps: Vec<Option<Found>>,
}

/// Begins a transaction that completes these steps and locks no other tasks, on a connection that is prepared: with their
/// rows, and whether something waits for one of these handlers, if there are any; with neither for many steps. With
/// numbers for so many new tasks, if it has all its locks by then.
pub(super) async fn open(
    conn: &mut PgConnection,
    completed: Vec<StepId>,
    claimed: &[&str],
    submitted: usize,
) -> Result<Opening, Fault> {
    let mut statements = vec![BEGIN.to_owned()];
    let few = completed.len() <= MOST;
    let locks = few && !completed.is_empty();
    let known: &[StepId] = if few { &completed } else { &[] };
    let uuids = array(known.iter().map(|id| id.task_uuid));
    let indexes = array(known.iter().map(|id| id.index));
    if locks {
        statements.push(format!("EXECUTE postroom_lock ({uuids})"));
    }
    let asks = few && !claimed.is_empty() && claimed.iter().all(|callable| is_plain(callable));
    let callables = if asks {
        array(claimed.iter().map(|callable| format!("\"{callable}\"")))
    } else {
        "NULL".to_owned()
    };
    // After the locks: others may have been waited for, and what they have done was done before now.
    statements.push(format!(
        "EXECUTE postroom_open ({uuids}, {indexes}, {callables})"
    ));
    // Nor before them: whoever claims looks for lower numbers first.
    if submitted > 0 && few {
        statements.push(format!("EXECUTE postroom_numbers ({submitted})"));
    }
    let rows = conn
        .fetch_all(sqlx::raw_sql(AssertSqlSafe(statements.join("; "))))
        .await?;
    let mut now = None;
    let mut nothing_waits = None;
    let mut tasks: Vec<TaskRow> = Vec::new();
    let mut steps = step_row::none_of(completed.len());
    let mut numbers = Vec::new();
    for row in &rows {
        // Told apart by what only they have.
        if row.try_get_raw("correlation_id").is_ok() {
            tasks.push(task_row::Stored::from_row(row)?.try_into()?);
        } else if row.try_get_raw("numbers").is_ok() {
            numbers = row.try_get("numbers")?;
        } else {
            now = Some(row.try_get("now")?);
            let waits: Option<bool> = row.try_get("waits")?;
            nothing_waits = waits.map(|waits| !waits);
            if row.try_get::<Option<i64>, _>("place")?.is_none() {
                continue;
            }
            let step = step_row::Stored::from_row(row)?;
            // A task that came between the two was not locked.
            if tasks.iter().any(|task| task.id == step.task_id) {
                step_row::put(&mut steps, step)?;
            }
        }
    }
    let now = now.ok_or_else(|| Fault::Corrupt("the time was not told".to_owned()))?;
    let completed = locks.then_some(Completed {
        tasks,
        ids: completed,
        steps,
    });
    Ok(Opening {
        now,
        completed,
        nothing_waits,
        numbers,
    })
}

/// Whether a word means itself between quotes, in an array and in a string.
fn is_plain(word: &str) -> bool {
    !word.contains(['"', '\'', '\\', '\0'])
}

/// The text of an array, of what has no character that means something in a string.
fn array<T: std::fmt::Display>(values: impl Iterator<Item = T>) -> String {
    let mut array = String::from("'{");
    for (number, value) in values.enumerate() {
        if number > 0 {
            array.push(',');
        }
        array.push_str(&value.to_string());
    }
    array.push_str("}'");
    array
}
