//! What can be said on the command line.

use std::num::NonZeroU16;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use uuid::Uuid;

/// Durable workflows from one command: run a template, survive a crash, resume where it was.
#[derive(Debug, Parser)]
#[command(
    name = "postroom",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(after_help = "\
Exit status: 0 complete, 1 ended otherwise, 2 bad usage or bad template,
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
    /// Look at the tasks in a database.
    #[command(subcommand, arg_required_else_help = true)]
    Task(TaskCommand),
}

/// What `run` is asked for.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The template, YAML or JSON.
    pub(crate) file: PathBuf,
    /// The task's input: JSON, or @FILE to read it from a file. Default: null.
    #[arg(long, value_name = "JSON|@FILE")]
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
