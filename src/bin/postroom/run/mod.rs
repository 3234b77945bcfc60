//! `postroom run`: a template to its end, in one command that can be repeated.

mod choice;
mod drive;
mod ending;
mod runner;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use postroom::orchestration::state::TaskState;
use postroom::orchestration::store::{Store, TaskFilter, TaskRecord};
use postroom::orchestration::template::{TaskTemplate, content_hash};
use postroom::orchestration::worker::ProcessIdentity;
use postroom::orchestration::{
    ClaimMode, IdentityStrategy, OrchestrationConfig, OrchestrationCore, SubmitOptions, TaskError,
    TaskHandle,
};
use serde_json::Value;
use uuid::Uuid;

use self::choice::{Choice, Wish};
use self::drive::Drive;
use self::ending::Ending;
use crate::args::RunArgs;
use crate::exit::{Failure, Status};
use crate::signals::Signals;
use crate::worker::leave_no_child;
use crate::{clock, database, handlers, input, output, template};

pub(crate) async fn run(args: &RunArgs) -> Result<Status, Failure> {
    // Everything that can be wrong with what was asked comes before the database is touched.
    let input = input::read(args.input.as_deref())?;
    let identity = ProcessIdentity::current();
    let process = identity.process;
    let (table, groups) = handlers::for_process(process)?;
    let template = Arc::new(template::load(&args.file, &table)?);

    let signals = Signals::listen(process, groups).map_err(|error| Failure::trouble(&error))?;
    let store = database::open(&args.database).await?;
    let config = OrchestrationConfig::default();
    let config = OrchestrationConfig {
        concurrency: args
            .concurrency
            .map_or(config.concurrency, |given| usize::from(given.get())),
        ..config
    };
    let core = OrchestrationCore::builder(store)
        .handlers(table)
        .config(config)
        .identity(identity)
        .claims(ClaimMode::Paused)
        .start()
        .await?;
    let run = Run {
        args,
        template,
        input,
        core,
        signals,
        started: Cell::new(Instant::now()),
    };
    let ended = run.to_the_end().await;
    // Also when it went wrong: leases are given back, and nobody has to wait for them to run out.
    run.core.shutdown().await;
    if !matches!(ended, Ok(Status::Complete | Status::Ended)) {
        leave_no_child(process).await;
    }
    ended
}

struct Run<'a> {
    args: &'a RunArgs,
    template: Arc<TaskTemplate>,
    input: Value,
    core: OrchestrationCore,
    signals: Signals,
    /// When the work on the task began.
    started: Cell<Instant>,
}

impl Run<'_> {
    async fn to_the_end(&self) -> Result<Status, Failure> {
        let task = match self.choose().await? {
            Choice::Show(record) => return self.show(&record).await,
            Choice::Submit(identity) => {
                self.mention_others().await?;
                self.submit(identity).await?
            }
            Choice::Resume(record) => {
                output::note(&format!(
                    "Resuming task {}: {} of {} steps are complete.",
                    record.task_uuid, record.steps_complete, record.steps_total
                ));
                self.handle(&record).await?
            }
            Choice::Retry(record) => {
                output::note(&format!(
                    "Retrying task {}: {} of {} steps are complete, {} failed.",
                    record.task_uuid,
                    record.steps_complete,
                    record.steps_total,
                    record.steps_failed
                ));
                let task = self.handle(&record).await?;
                match task.retry().await {
                    // Somebody else was quicker: then it runs.
                    Ok(_) | Err(TaskError::NotApplicable { .. }) => task,
                    Err(error) => return Err(error.into()),
                }
            }
        };
        let ending = Drive::new(&self.core, &task, &self.signals).run().await?;
        self.end(&task, ending).await
    }

    /// What is to be done, from the tasks of the same template and input that are there.
    async fn choose(&self) -> Result<Choice, Failure> {
        let filter = TaskFilter {
            content: Some(content_hash(&self.template, &self.input)),
            ..TaskFilter::default()
        };
        let earlier = self.store().tasks(filter).await?;
        let wish = match (self.args.again, self.args.retry) {
            (true, _) => Wish::Again,
            (false, true) => Wish::Retry,
            (false, false) => Wish::Whatever,
        };
        Ok(choice::choose(earlier, wish))
    }

    async fn submit(&self, identity: IdentityStrategy) -> Result<TaskHandle, Failure> {
        // Known to the others before the task is: its steps can then be claimed as soon as it is stored.
        let task_uuid = Uuid::now_v7();
        self.core.set_claims(ClaimMode::Only(task_uuid)).await?;
        self.started.set(Instant::now());
        let options = SubmitOptions {
            identity,
            task_uuid: Some(task_uuid),
            ..SubmitOptions::default()
        };
        let submitted = self
            .core
            .submit_with(&self.template, &self.input, options)
            .await;
        let task = submitted?;
        if task.uuid() != task_uuid {
            // Somebody else submitted the same a moment before.
            self.core.set_claims(ClaimMode::Paused).await?;
        }
        output::note(&format!(
            "Task {}: {}/{} {}, {} steps, up to {} at a time.",
            task.uuid(),
            self.template.namespace(),
            self.template.name(),
            self.template.version(),
            self.template.steps().len(),
            self.core.context().config().concurrency
        ));
        Ok(task)
    }

    /// An edited file is a new task; what is left of the old one should not be forgotten.
    async fn mention_others(&self) -> Result<(), Failure> {
        let filter = TaskFilter {
            states: TaskState::ALL
                .iter()
                .copied()
                .filter(|state| !state.is_terminal())
                .collect(),
            template: Some((
                self.template.namespace().to_owned(),
                self.template.name().to_owned(),
            )),
            ..TaskFilter::default()
        };
        let unfinished = self.store().tasks(filter).await?;
        let content = hex(&content_hash(&self.template, &self.input));
        for other in unfinished.iter().filter(|other| other.content != content) {
            output::note(&format!(
                "Note: task {} of the same name, with another template or input, is unfinished: {} of {} steps are \
                 complete, submitted {}.",
                other.task_uuid,
                other.steps_complete,
                other.steps_total,
                clock::date(other.created_at)
            ));
        }
        Ok(())
    }

    async fn handle(&self, record: &TaskRecord) -> Result<TaskHandle, Failure> {
        let found = self.core.task(record.task_uuid).await?;
        Ok(found.ok_or(TaskError::NotFound {
            task_uuid: record.task_uuid,
        })?)
    }

    /// Shows a task that has ended before.
    async fn show(&self, record: &TaskRecord) -> Result<Status, Failure> {
        let task = record.task_uuid;
        let steps = self.store().steps(task).await?;
        let took = clock::between(
            record.created_at,
            record.ended_at.unwrap_or(record.created_at),
        );
        let status = Ending::Ended.report(self.args, record, &steps, took)?;
        let ended = record
            .ended_at
            .map_or_else(String::new, |ended| format!(" on {}", clock::date(ended)));
        output::note(&match record.state {
            TaskState::Complete => format!("It was complete already{ended}; --again runs it anew."),
            state => format!("It was {state} already{ended}; --again runs it anew."),
        });
        Ok(status)
    }

    /// Stops, looks at what came of it, and says so.
    async fn end(&self, task: &TaskHandle, ending: Ending) -> Result<Status, Failure> {
        // Reading it back is not the task's time.
        let elapsed = self.started.get().elapsed();
        // After an interruption the core has been shut down, and its store with it: only a new look at the
        // database tells what the steps made of the time they were given.
        let own = match ending {
            Ending::Interrupted => Some(database::open(&self.args.database).await?),
            Ending::Ended | Ending::Unfollowed => None,
        };
        let store = own.as_ref().unwrap_or(self.core.store());
        let looked = look(&**store, task).await;
        if let Some(own) = &own {
            own.close().await;
        }
        let (record, steps) = looked?;
        ending.report(self.args, &record, &steps, elapsed)
    }

    fn store(&self) -> &Arc<dyn Store> {
        self.core.store()
    }
}

async fn look(
    store: &dyn Store,
    task: &TaskHandle,
) -> Result<(TaskRecord, Vec<postroom::orchestration::store::StepRecord>), Failure> {
    let record = store.task(task.uuid()).await?;
    let record = record.ok_or(TaskError::NotFound {
        task_uuid: task.uuid(),
    })?;
    let steps = store.steps(task.uuid()).await?;
    Ok((record, steps))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
