//! Ctrl-C: the first lets go, the second stops.

use std::io;

use postroom::orchestration::worker::builtin::ProcessGroups;
use postroom::orchestration::worker::end_orphans;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::exit::Status;
use crate::output;

/// Listens for `SIGINT`, `SIGTERM` and `SIGHUP`, which mean the same here.
#[derive(Debug)]
pub(crate) struct Signals {
    first: CancellationToken,
    _listening: AbortOnDropHandle<()>,
}

impl Signals {
    /// From here on the first signal is reported by [`first`](Self::first) and the second ends the process at
    /// once, and before that every child process; `process` is the mark they carry.
    pub(crate) fn listen(process: Uuid, groups: ProcessGroups) -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let first = CancellationToken::new();
        let told = first.clone();
        let listening = tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
            };
            next().await;
            told.cancel();
            next().await;
            groups.kill_all();
            // What left its group can still be told by its mark.
            end_orphans(process);
            output::note_after_key("Stopped at once; the same command resumes.");
            std::process::exit(Status::Interrupted as i32);
        });
        Ok(Self {
            first,
            _listening: AbortOnDropHandle::new(listening),
        })
    }

    /// Waits for the first signal; returns at once if it was there.
    pub(crate) async fn first(&self) {
        self.first.cancelled().await;
    }
}
