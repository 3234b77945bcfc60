//! Where the measured code runs.

use crate::library::Library;
use std::cell::OnceCell;
use std::future::Future;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Flavor {
    /// Two workers.
    Multi,
    /// One thread.
    Current,
}

impl Flavor {
    pub const ALL: [Self; 2] = [Self::Multi, Self::Current];

    pub fn name(self) -> &'static str {
        match self {
            Self::Multi => "multi-thread, 2 workers",
            Self::Current => "current-thread",
        }
    }
}

/// The runtimes, each made when first used and kept for the whole run.
#[derive(Default)]
pub struct Runtimes {
    multi: OnceCell<Runtime>,
    current: OnceCell<Runtime>,
    arbiter: OnceCell<actix_rt::SystemRunner>,
}

fn build(mut builder: Builder) -> Runtime {
    let runtime = builder.worker_threads(2).enable_all().build();
    runtime.expect("a runtime can be built")
}

impl Runtimes {
    /// Runs a future as a task like any other, and waits for it: the thread that blocks is a worker of
    /// neither runtime.
    pub fn run<L, F>(&self, flavor: Flavor, future: F) -> F::Output
    where
        L: Library,
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let task = async { spawn::<L, F>(future).await };
        let result = if L::ON_ARBITER {
            self.arbiter
                .get_or_init(actix_rt::System::new)
                .block_on(task)
        } else {
            let runtime = match flavor {
                Flavor::Multi => self
                    .multi
                    .get_or_init(|| build(Builder::new_multi_thread())),
                Flavor::Current => self
                    .current
                    .get_or_init(|| build(Builder::new_current_thread())),
            };
            runtime.block_on(task)
        };
        result.expect("a measurement does not panic")
    }
}

/// Spawns a task beside the library's actors.
pub fn spawn<L, F>(future: F) -> JoinHandle<F::Output>
where
    L: Library,
    F: Future<Output: Send + 'static> + Send + 'static,
{
    if L::ON_ARBITER {
        actix_rt::spawn(future)
    } else {
        tokio::spawn(future)
    }
}
