//! `postroom task`: looking at what is in the database, and operating on it.

mod dead_letters;
mod operate;
mod outlook;
mod show;

use postroom::orchestration::store::{Store, TaskFilter, TaskRecord, without_password};
use uuid::Uuid;

use crate::args::{DatabaseArgs, TaskCommand};
use crate::exit::{Failure, Status};
use crate::output::{self, Paint};
use crate::table::Table;
use crate::{clock, database};

pub(crate) async fn task(command: &TaskCommand) -> Result<Status, Failure> {
    match command {
        TaskCommand::List {
            database,
            limit,
            json,
        } => {
            let store = database::open_existing(database).await?;
            let listed = list(&*store, *limit, *json).await;
            store.close().await;
            listed
        }
        TaskCommand::Show {
            uuid,
            database,
            json,
        } => {
            let store = database::open_existing(database).await?;
            let shown = show(&*store, *uuid, database, *json).await;
            store.close().await;
            shown
        }
        TaskCommand::DeadLetters {
            database,
            namespace,
            limit,
            json,
        } => {
            let store = database::open_existing(database).await?;
            let listed = dead_letters::list(&*store, namespace.clone(), *limit, *json).await;
            store.close().await;
            listed
        }
        TaskCommand::Operate(command) => operate::operate(command).await,
    }
}

async fn list(store: &dyn Store, limit: u32, json: bool) -> Result<Status, Failure> {
    // One more than shown tells whether there are more.
    let filter = TaskFilter {
        limit: limit + 1,
        ..TaskFilter::default()
    };
    let mut tasks = store.tasks(filter).await?;
    let more = tasks.len() > limit as usize;
    tasks.truncate(limit as usize);
    if json {
        let array = serde_json::to_string(&tasks).map_err(|error| Failure::trouble(&error))?;
        output::answer(&array)?;
    } else if tasks.is_empty() {
        output::note("There are no tasks yet; `postroom run FILE` makes one.");
    } else {
        output::answer(&table(&tasks))?;
    }
    if more {
        output::note(&format!(
            "There are more than these {limit}; --limit N shows more."
        ));
    }
    Ok(Status::Complete)
}

fn table(tasks: &[TaskRecord]) -> String {
    let paint = Paint::for_stdout();
    let mut table = Table::new(["TASK", "STATE", "STEPS", "SUBMITTED", "TEMPLATE"]);
    for task in tasks {
        let state = task.state.to_string();
        table.row([
            (task.task_uuid.to_string(), None),
            (state, Some(output::task_colour(task.state))),
            (
                format!("{}/{}", task.steps_complete, task.steps_total),
                None,
            ),
            (clock::date(task.created_at), None),
            (output::clean(&template_name(task)), None),
        ]);
    }
    table.render(paint)
}

async fn show(
    store: &dyn Store,
    uuid: Uuid,
    database: &DatabaseArgs,
    json: bool,
) -> Result<Status, Failure> {
    let Some(task) = store.task(uuid).await? else {
        let problem = format!(
            "there is no task {uuid} in {}",
            without_password(&database.url)
        );
        return Err(
            Failure::usage(problem).advise("`postroom task list` shows those that are there.")
        );
    };
    let steps = store.steps(uuid).await?;
    let definition = store.definition(uuid).await?;
    let input_json = definition
        .as_ref()
        .map_or("null", |definition| &definition.input_json);
    let shown = show::Shown::new(&task, &steps, input_json);
    if json {
        let object = serde_json::to_string(&shown).map_err(|error| Failure::trouble(&error))?;
        output::answer(&object)?;
    } else {
        output::answer(&shown.for_people(Paint::for_stdout()))?;
    }
    Ok(Status::Complete)
}

/// `namespace/name version`.
pub(crate) fn template_name(task: &TaskRecord) -> String {
    format!("{}/{} {}", task.namespace, task.name, task.version)
}
