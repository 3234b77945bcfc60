//! `postroom worker` and `postroom orchestrator`: processes that serve until they are told to stop.

use postroom::orchestration::worker::{HandlerTable, ProcessIdentity, end_orphans};
use postroom::orchestration::{CoreError, OrchestrationConfig, OrchestrationCore};
use uuid::Uuid;

use crate::args::{OrchestratorArgs, WorkerArgs};
use crate::exit::{Failure, Status};
use crate::signals::Signals;
use crate::{clock, database, handlers, output};

/// Runs steps, and does everything an orchestrator does.
pub(crate) async fn worker(args: &WorkerArgs) -> Result<Status, Failure> {
    let identity = ProcessIdentity::current();
    let (table, groups) = handlers::for_worker(identity.process, args.allow_shell)?;
    let signals =
        Signals::listen(identity.process, groups).map_err(|error| Failure::trouble(&error))?;
    let config = OrchestrationConfig::default();
    let config = OrchestrationConfig {
        concurrency: args
            .concurrency
            .map_or(config.concurrency, |given| usize::from(given.get())),
        serves: args.serve.clone(),
        retention: args.orchestrator.retention,
        ..config
    };
    let served = if args.serve.is_empty() {
        "every template".to_owned()
    } else {
        let served: Vec<String> = args.serve.iter().map(ToString::to_string).collect();
        served.join(", ")
    };
    let said = format!(
        "Worker {} runs {} of {served}, up to {} at a time",
        identity.process,
        table.names().join(", "),
        config.concurrency
    );
    serve(&args.orchestrator, identity, table, config, &signals, &said).await
}

/// Takes back what dead processes left behind, and deletes what is old; runs no steps.
pub(crate) async fn orchestrator(args: &OrchestratorArgs) -> Result<Status, Failure> {
    let identity = ProcessIdentity::current();
    let (_, groups) = handlers::for_worker(identity.process, false)?;
    let signals =
        Signals::listen(identity.process, groups).map_err(|error| Failure::trouble(&error))?;
    let config = OrchestrationConfig {
        retention: args.retention,
        ..OrchestrationConfig::default()
    };
    let said = format!("Orchestrator {} runs no steps", identity.process);
    let table = HandlerTable::default();
    serve(args, identity, table, config, &signals, &said).await
}

async fn serve(
    args: &OrchestratorArgs,
    identity: ProcessIdentity,
    table: HandlerTable,
    config: OrchestrationConfig,
    signals: &Signals,
    said: &str,
) -> Result<Status, Failure> {
    let process = identity.process;
    let drain = config.drain;
    let store = database::open(&args.database).await?;
    let core = OrchestrationCore::builder(store)
        .handlers(table)
        .config(config)
        .identity(identity)
        .start()
        .await?;
    output::note(&format!("{said}; Ctrl-C ends it."));
    let ended = tokio::select! {
        () = signals.first() => Ok(Status::Complete),
        _ = core.closed() => Err(Failure::internal("the actors inside kept failing; see the log")),
    };
    let running = core.running_steps();
    if running > 0 {
        output::note_after_key(&format!(
            "Waiting up to {} for {running} steps that run; Ctrl-C again stops at once.",
            clock::duration(drain)
        ));
    }
    let report = core.shutdown().await;
    if let Some(problem) = &report.unregister {
        output::error(&format!("leases were not given back: {problem}"));
    }
    leave_no_child(process).await;
    ended
}

/// Steps that were let go have ended with their process groups; what left its group is told by its mark.
pub(crate) async fn leave_no_child(process: Uuid) {
    // It reads files, and fails only by a panic.
    let _ = tokio::task::spawn_blocking(move || end_orphans(process)).await;
}

impl From<CoreError> for Failure {
    fn from(error: CoreError) -> Self {
        match &error {
            CoreError::Register(store) => Self::from(store),
            _ => Self::trouble(&error),
        }
    }
}
