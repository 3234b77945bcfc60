//! What operators do to a task.

use std::sync::Arc;

use postroom::orchestration::state::TaskState;
use postroom::orchestration::{Operator, OperatorIntent, TaskError};
use serde::Serialize;
use uuid::Uuid;

use crate::args::{OneTask, OperateCommand};
use crate::exit::{Failure, Status};
use crate::{database, input, output};

/// The JSON output; the field names stay.
#[derive(Serialize)]
struct Done {
    task_uuid: Uuid,
    state: TaskState,
}

pub(super) async fn operate(command: &OperateCommand) -> Result<Status, Failure> {
    let (task, intent) = intended(command)?;
    let store = database::open_existing(&task.database).await?;
    let operator = Operator::new(Arc::clone(&store), Uuid::now_v7());
    let done = operator.operate(task.uuid, intent).await;
    store.close().await;
    let (task_uuid, state) = (task.uuid, done?);
    if task.json {
        let done = serde_json::to_string(&Done { task_uuid, state });
        output::answer(&done.map_err(|error| Failure::trouble(&error))?)?;
    } else {
        output::answer(&format!("Task {task_uuid} is {state}."))?;
    }
    Ok(Status::Complete)
}

fn intended(command: &OperateCommand) -> Result<(&OneTask, OperatorIntent), Failure> {
    Ok(match command {
        OperateCommand::Cancel { task, reason } => {
            let reason = reason.clone();
            (task, OperatorIntent::Cancel { reason })
        }
        OperateCommand::Pause { task, reason } => {
            let reason = reason.clone();
            (task, OperatorIntent::Pause { reason })
        }
        OperateCommand::Resume { task } => (task, OperatorIntent::Resume),
        OperateCommand::Retry { task } => (task, OperatorIntent::Retry),
        OperateCommand::Resolve { task, step, reason } => {
            let reason = reason.clone();
            let intent = match step.clone() {
                Some(step) => OperatorIntent::ResolveStep { step, reason },
                None => OperatorIntent::Resolve { reason },
            };
            (task, intent)
        }
        OperateCommand::Complete { task, step, result } => {
            let result = input::read_option("--result", result.as_deref())?;
            let step = step.clone();
            (task, OperatorIntent::CompleteStep { step, result })
        }
        OperateCommand::Rerun { task, from } => {
            let from = from.clone();
            (task, OperatorIntent::Rerun { from })
        }
    })
}

impl From<TaskError> for Failure {
    fn from(error: TaskError) -> Self {
        match &error {
            TaskError::Store(store) => Self::from(&**store),
            TaskError::NotFound { .. } => {
                Self::usage(&error).advise("`postroom task list` shows those that are there.")
            }
            TaskError::NoSuchStep { .. } => {
                Self::usage(&error).advise("`postroom task show UUID` shows its steps.")
            }
            TaskError::ResultTooLarge { .. } => Self::usage(&error),
            TaskError::NotApplicable { .. }
            | TaskError::StepNotApplicable { .. }
            | TaskError::Busy { .. } => Self::refused(&error),
            _ => Self::trouble(&error),
        }
    }
}
