//! `postroom submit`: stores a task for workers to run.

use std::sync::Arc;
use std::time::SystemTime;

use postroom::orchestration::{
    ClaimMode, IdentityStrategy, OrchestrationConfig, OrchestrationCore, SubmitError,
    SubmitOptions, TaskHandle,
};
use serde_json::{Value, json};

use crate::args::SubmitArgs;
use crate::exit::{Failure, Status};
use crate::{database, input, output, template};

pub(crate) async fn submit(args: &SubmitArgs) -> Result<Status, Failure> {
    let input = input::read(args.input.as_deref())?;
    // The handlers are those of the workers, whatever they are.
    let template = Arc::new(template::parse(&args.file)?);
    let store = database::open(&args.database).await?;
    let core = OrchestrationCore::builder(store)
        .config(OrchestrationConfig {
            require_known_handlers: false,
            ..OrchestrationConfig::default()
        })
        .claims(ClaimMode::Paused)
        .start()
        .await?;
    let submitted = core.submit_with(&template, &input, options(args)).await;
    // Said before the rest is tidied up: should the database go away now, that takes its time.
    let status = match submitted {
        Ok(task) => answer(args, &task),
        Err(error) => Err(error.into()),
    };
    core.shutdown().await;
    status
}

fn options(args: &SubmitArgs) -> SubmitOptions {
    SubmitOptions {
        identity: match (&args.key, args.again) {
            (Some(key), _) => IdentityStrategy::Caller(key.clone()),
            (None, true) => IdentityStrategy::Unique,
            (None, false) => IdentityStrategy::Strict,
        },
        priority: args.priority,
        run_at: args.delay.map(|delay| SystemTime::now() + delay),
        ..SubmitOptions::default()
    }
}

fn answer(args: &SubmitArgs, task: &TaskHandle) -> Result<Status, Failure> {
    let (uuid, duplicate) = (task.uuid(), task.duplicate());
    if args.json {
        let state: Value = duplicate.map_or(Value::Null, |state| state.as_str().into());
        output::answer(&json!({ "task_uuid": uuid, "duplicate": state }).to_string())?;
        return Ok(Status::Complete);
    }
    if let Some(state) = duplicate {
        output::note(&format!(
            "It was submitted before and is {state}; --again submits it anew."
        ));
    }
    output::answer(&uuid.to_string())?;
    Ok(Status::Complete)
}

impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Self {
        match &error {
            SubmitError::Template(problems) => Self::template(problems.as_slice()),
            SubmitError::Input(_)
            | SubmitError::InputTooLarge { .. }
            | SubmitError::KeyConflict { .. } => Self::usage(&error),
            SubmitError::Store(store) => Self::from(&**store),
            _ => Self::trouble(&error),
        }
    }
}
