//! The one shutdown of a registry: begun once, whoever asks for it, and reported to everybody.

use super::member::Member;
use super::running::Inner;
use super::shutdown::end_all;
use super::{ActorReport, ShutdownReport};
use crate::actor::{Exit, Level};
use std::sync::{Arc, OnceLock};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Where the report appears.
#[derive(Default)]
pub(super) struct Report {
    report: OnceLock<Arc<ShutdownReport>>,
    done: Notify,
}

impl Report {
    pub(super) async fn wait(&self) -> Arc<ShutdownReport> {
        loop {
            let mut done = std::pin::pin!(self.done.notified());
            // Listening starts before looking, so that no report falls between.
            done.as_mut().enable();
            if let Some(report) = self.report.get() {
                return Arc::clone(report);
            }
            done.await;
        }
    }

    fn publish(&self, report: ShutdownReport) {
        let _ = self.report.set(Arc::new(report));
        self.done.notify_waiters();
    }
}

impl Inner {
    pub(super) fn begin_shutdown(self: &Arc<Self>, cause: Option<Arc<Exit>>) {
        let Some(members) = self.roster().close() else {
            return;
        };
        self.routes.close();
        let closing = Closing {
            inner: Arc::clone(self),
            members,
            begun: Instant::now(),
            cause,
            actors: None,
        };
        self.runtime.spawn(closing.run());
    }
}

/// The shutdown's task. It publishes a report even if its runtime drops it.
struct Closing {
    inner: Arc<Inner>,
    members: Vec<Arc<Member>>,
    begun: Instant,
    cause: Option<Arc<Exit>>,
    actors: Option<Vec<ActorReport>>,
}

impl Closing {
    async fn run(mut self) {
        let actors = end_all(&self.members, &self.inner.settings, Level::Drain).await;
        self.actors = Some(actors);
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let actors = self.actors.take().unwrap_or_else(|| {
            let members = self.members.iter().rev();
            members.map(|member| member.end_without_runtime()).collect()
        });
        self.inner.report.publish(ShutdownReport {
            actors,
            elapsed: self.begun.elapsed(),
            cause: self.cause.take(),
        });
    }
}
