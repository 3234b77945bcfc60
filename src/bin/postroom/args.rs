//! What can be said on the command line.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use postroom::orchestration::store::TemplateSelector;
use uuid::Uuid;

use crate::clock;

/// Durable workflows from one command: run a template, survive a crash, resume where it was.
#[derive(Debug, Parser)]
#[command(
    name = "postroom",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(after_help = "\
Exit status: 0 complete, 1 ended otherwise (or refused, or unsound), 2 bad usage or bad template,
3 database or internal trouble, 130 interrupted and resumable.

Environment: NO_COLOR switches colours off, POSTROOM_LOG (as RUST_LOG) sets what is logged.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a template to its end, or resume it.
    ///
    /// The task is found again by the template's content and the input. If it is unfinished, it is resumed:
    /// finished steps are not run again. If it is complete, its result is shown. If it has failed, that is shown,
    /// and --retry continues it. An edited file is a new task. If another process runs the task, this one follows
    /// it, and takes over when that process is gone.
    ///
    /// Ctrl-C lets running steps end within ten seconds and stops; a second Ctrl-C stops at once. The same command
    /// resumes.
    #[command(verbatim_doc_comment)]
    Run(RunArgs),
    /// Check or draw a template.
    #[command(subcommand, arg_required_else_help = true)]
    Template(TemplateCommand),
    /// Look at the tasks in a database, and operate on them.
    #[command(subcommand, arg_required_else_help = true)]
    Task(TaskCommand),
    /// Store a task for workers to run, and print its id.
    Submit(SubmitArgs),
    /// Serve the tasks in a database until told to stop: run their steps, take over from dead processes.
    Worker(WorkerArgs),
    /// Do what a worker does besides running steps: take back what dead processes left, delete what is old.
    Orchestrator(OrchestratorArgs),
    /// Check that what is stored is sound: every unfinished task has an owner, all counters agree.
    ///
    /// Exit status 0 if it is, 1 if not.
    Doctor {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Print one JSON object: healthy, problems, remarks.
        #[arg(long)]
        json: bool,
    },
    /// Delete tasks that ended long ago, with their results and their history.
    Cleanup(CleanupArgs),
}

/// What `submit` is asked for.
#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// The template, YAML or JSON. Its handlers are those of the workers.
    pub(crate) file: PathBuf,
    /// The task's input: JSON, or @FILE to read it from a file. Default: null.
    #[arg(long, value_name = "JSON|@FILE", allow_negative_numbers = true)]
    pub(crate) input: Option<String>,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Higher is run first; 0 is normal.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    pub(crate) priority: i16,
    /// Run nothing of it before so much time has passed, such as 90s, 15m, 12h or 7d.
    #[arg(long, value_name = "DURATION", value_parser = clock::parse)]
    pub(crate) delay: Option<Duration>,
    /// The task's identity: the same key finds the same task.
    #[arg(long, conflicts_with = "again")]
    pub(crate) key: Option<String>,
    /// A new task even if the same template was submitted with the same input before.
    #[arg(long)]
    pub(crate) again: bool,
    /// Print one JSON object.
    #[arg(
        long,
        long_help = "Print one JSON object: task_uuid, duplicate (the state of the task, if it was there before)."
    )]
    pub(crate) json: bool,
}

/// What `worker` is asked for.
#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    pub(crate) orchestrator: OrchestratorArgs,
    /// Steps that may run at once. Default: the number of CPUs.
    #[arg(long, value_name = "N")]
    pub(crate) concurrency: Option<NonZeroU16>,
    /// Serve only these templates: NAMESPACE, NAMESPACE/NAME or NAMESPACE/NAME@VERSION; may be given several
    /// times. Default: all.
    #[arg(long, value_name = "TEMPLATES")]
    pub(crate) serve: Vec<TemplateSelector>,
    /// Run `shell` steps too: whoever can submit a task can then run any command as this user.
    #[arg(long)]
    pub(crate) allow_shell: bool,
}

/// What `orchestrator` is asked for.
#[derive(Debug, Args)]
pub(crate) struct OrchestratorArgs {
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Delete tasks that ended this long ago, such as 12h or 30d. Default: keep them.
    #[arg(long, value_name = "DURATION", value_parser = clock::parse)]
    pub(crate) retention: Option<Duration>,
}

/// What `cleanup` is asked for.
#[derive(Debug, Args)]
pub(crate) struct CleanupArgs {
    /// How long ago a task must have ended, such as 12h or 30d.
    #[arg(long, value_name = "DURATION", value_parser = clock::parse)]
    pub(crate) older_than: Duration,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Only count them.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print one JSON object.
    #[arg(long, long_help = "Print one JSON object: tasks, dry_run.")]
    pub(crate) json: bool,
}

/// Which task an operator means.
#[derive(Debug, Args)]
pub(crate) struct OneTask {
    /// The task's id.
    pub(crate) uuid: Uuid,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Print one JSON object.
    #[arg(long, long_help = "Print one JSON object: task_uuid, state.")]
    pub(crate) json: bool,
}

/// What `run` is asked for.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The template, YAML or JSON.
    pub(crate) file: PathBuf,
    /// The task's input: JSON, or @FILE to read it from a file. Default: null.
    #[arg(long, value_name = "JSON|@FILE", allow_negative_numbers = true)]
    pub(crate) input: Option<String>,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Steps that may run at once. Default: the number of CPUs.
    #[arg(long, value_name = "N")]
    pub(crate) concurrency: Option<NonZeroU16>,
    /// Continue a failed task: failed steps run again, finished ones keep their results.
    #[arg(long, conflicts_with = "again")]
    pub(crate) retry: bool,
    /// Run anew even if it is complete or has failed. An unfinished task is still resumed.
    #[arg(long)]
    pub(crate) again: bool,
    /// Print one JSON object as the last line of standard output.
    #[arg(
        long,
        long_help = "\
Print one JSON object as the last line of standard output: task_uuid, namespace, name, version, state, reason, run, \
steps_total, steps_complete, steps_failed, elapsed_ms (what this command spent on the task; if it had ended before, \
what it took), results (of the steps on which no other depends, by name)"
    )]
    pub(crate) json: bool,
}

/// Where the tasks are.
#[derive(Debug, Args)]
pub(crate) struct DatabaseArgs {
    /// The database.
    #[arg(
        long = "database",
        value_name = "URL",
        default_value = DatabaseArgs::DEFAULT,
        help = "The database: a file, sqlite:FILE, or postgres://USER@HOST/NAME"
    )]
    pub(crate) url: String,
}

impl DatabaseArgs {
    pub(crate) const DEFAULT: &str = "postroom.db";
}

#[derive(Debug, Subcommand)]
pub(crate) enum TemplateCommand {
    /// Say what is wrong with a template: all of it, with lines.
    Check {
        /// The template, YAML or JSON.
        file: PathBuf,
        /// Accept handlers that this program does not have: the template is for another one.
        #[arg(long)]
        any_handler: bool,
    },
    /// Print a template's graph of steps.
    Graph {
        /// The template, YAML or JSON.
        file: PathBuf,
        /// The language to draw it in.
        #[arg(long, value_enum, default_value_t = GraphFormat::Mermaid)]
        format: GraphFormat,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// For Markdown and mermaid.live.
    Mermaid,
    /// For Graphviz.
    Dot,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// List tasks, newest first.
    List {
        #[command(flatten)]
        database: DatabaseArgs,
        /// At most this many.
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// Print a JSON array of tasks.
        #[arg(long)]
        json: bool,
    },
    /// Show a task: its steps, states, attempts, results, errors, and what is not reached and why.
    Show {
        /// The task's id.
        uuid: Uuid,
        #[command(flatten)]
        database: DatabaseArgs,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// List steps that failed for good and that nobody has dealt with, the latest first, with their reasons.
    DeadLetters {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Only of templates of this namespace.
        #[arg(long)]
        namespace: Option<String>,
        /// At most this many.
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    #[command(flatten)]
    Operate(OperateCommand),
}

/// What operators do to a task.
#[derive(Debug, Subcommand)]
pub(crate) enum OperateCommand {
    /// End a task: nothing more starts, steps that run are interrupted.
    Cancel {
        #[command(flatten)]
        task: OneTask,
        /// Shown with the task.
        #[arg(long, default_value = "cancelled by an operator")]
        reason: String,
    },
    /// Hold a task back: nothing more starts until it is resumed, steps that run go on.
    Pause {
        #[command(flatten)]
        task: OneTask,
        /// Shown with the task.
        #[arg(long, default_value = "paused by an operator")]
        reason: String,
    },
    /// Let a paused task go on.
    Resume {
        #[command(flatten)]
        task: OneTask,
    },
    /// Continue a failed task: what failed runs again, what is complete stays.
    Retry {
        #[command(flatten)]
        task: OneTask,
    },
    /// Declare a task done, or one of its steps, so that what depends on it goes on without a result.
    Resolve {
        #[command(flatten)]
        task: OneTask,
        /// The step; without it: the whole task.
        #[arg(long)]
        step: Option<String>,
        /// Shown with the task.
        #[arg(long, default_value = "resolved by an operator")]
        reason: String,
    },
    /// Hand in the result of a step by hand, so that what depends on it goes on.
    Complete {
        #[command(flatten)]
        task: OneTask,
        /// The step.
        #[arg(long)]
        step: String,
        /// Its result: JSON, or @FILE to read it from a file. Default: null.
        #[arg(long, value_name = "JSON|@FILE", allow_negative_numbers = true)]
        result: Option<String>,
    },
    /// Run a task again from a step on: the step and what depends on it are reset, their results kept as history.
    Rerun {
        #[command(flatten)]
        task: OneTask,
        /// The step.
        #[arg(long, value_name = "STEP")]
        from: String,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_declaration_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn again_and_retry_exclude_each_other() {
        assert!(Cli::try_parse_from(["postroom", "run", "f", "--again", "--retry"]).is_err());
        assert!(Cli::try_parse_from(["postroom", "run", "f", "--concurrency", "0"]).is_err());
        let cli = Cli::try_parse_from(["postroom", "run", "f"]).unwrap();
        let Command::Run(args) = cli.command else {
            panic!("not run: {cli:?}");
        };
        assert_eq!(args.database.url, "postroom.db");
    }
}
