//! Being at a task until it has ended: running its steps, or following the process that does.

use std::pin::pin;
use std::time::Duration;

use postroom::orchestration::store::TaskRecord;
use postroom::orchestration::{ClaimMode, OrchestrationCore, OrchestrationEvent, TaskHandle};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::ending::Ending;
use super::runner;
use crate::exit::Failure;
use crate::output;
use crate::progress::Progress;
use crate::signals::Signals;

/// How often it is looked at what other processes do.
const LOOK: Duration = Duration::from_millis(250);

/// One command's work on one task.
pub(super) struct Drive<'a> {
    core: &'a OrchestrationCore,
    task: &'a TaskHandle,
    signals: &'a Signals,
    role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Nothing is settled yet.
    Arrived,
    /// This process runs the steps.
    Runs,
    /// Another one (its process id) does.
    Follows(u32),
}

impl<'a> Drive<'a> {
    pub(super) fn new(
        core: &'a OrchestrationCore,
        task: &'a TaskHandle,
        signals: &'a Signals,
    ) -> Self {
        Self {
            core,
            task,
            signals,
            role: Role::Arrived,
        }
    }

    pub(super) async fn run(mut self) -> Result<Ending, Failure> {
        let mut events = self.core.events();
        // First of all: the sooner the steps are claimed, the sooner they run.
        if let Some(said) = self.settle().await? {
            output::note(&said);
        }
        let steps = self.core.store().steps(self.task.uuid()).await?;
        let mut progress = Progress::new(&steps);
        let ending = match self.until_the_end(&mut events, &mut progress).await {
            Ok(Ending::Interrupted) => {
                self.let_go(&mut events, &mut progress).await;
                Ok(Ending::Interrupted)
            }
            ending => ending,
        };
        progress.finish();
        ending
    }

    /// Returns with nothing under way: a read that is begun and not gone on with would hold a connection, and
    /// the shutdown that follows an interruption would wait for it.
    async fn until_the_end(
        &mut self,
        events: &mut Receiver<OrchestrationEvent>,
        progress: &mut Progress,
    ) -> Result<Ending, Failure> {
        let mut look = interval_at(Instant::now() + LOOK, LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        {
            let mut ended = pin!(self.task.wait());
            loop {
                tokio::select! {
                    biased;
                    () = self.signals.first() => break,
                    event = events.recv() => self.take_in(event, progress).await?,
                    record = &mut ended => {
                        self.catch_up(&record?, events, progress).await?;
                        return Ok(Ending::Ended);
                    }
                    _ = look.tick() => self.look(progress).await?,
                }
            }
            // The wait ends here: it may hold a connection, for which the shutdown would wait in vain.
        }
        Ok(match self.role {
            Role::Follows(_) => Ending::Unfollowed,
            Role::Arrived | Role::Runs => Ending::Interrupted,
        })
    }

    async fn take_in(
        &self,
        event: Result<OrchestrationEvent, RecvError>,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        match event {
            Ok(event) => progress.event(&event),
            // Too many at once: the database knows.
            Err(RecvError::Lagged(_)) => self.refresh(progress).await?,
            // The core holds the sender, and this holds the core.
            Err(RecvError::Closed) => {}
        }
        Ok(())
    }

    /// Sees who runs the task, and what was done to it elsewhere.
    async fn look(&mut self, progress: &mut Progress) -> Result<(), Failure> {
        if let Some(said) = self.settle().await? {
            progress.note(&said);
        }
        // Reading all steps is dear when their results are large: only when something else was counted.
        let record = self.task.status().await?;
        if self.role != Role::Runs || record.steps_complete as usize != progress.counts().0 {
            self.refresh(progress).await?;
        }
        Ok(())
    }

    /// Settles who runs the task: this process, unless another one is at it. Returns what there is to say.
    async fn settle(&mut self) -> Result<Option<String>, Failure> {
        let own = self.core.context().identity();
        let other = runner::of(self.task.uuid(), &**self.core.store(), own).await?;
        Ok(match (self.role, other) {
            // Two came at the same moment: the one that started later stands back.
            (Role::Runs, Some(other)) if other.registration.process < own.process => {
                self.core.set_claims(ClaimMode::Paused).await?;
                Some(self.follow(other.registration.pid))
            }
            (Role::Arrived, Some(other)) => Some(self.follow(other.registration.pid)),
            (Role::Arrived, None) => {
                self.lead().await?;
                None
            }
            (Role::Follows(pid), None) => {
                self.lead().await?;
                Some(format!(
                    "Process {pid} is gone or stopped; this one takes over."
                ))
            }
            (Role::Runs | Role::Follows(_), _) => None,
        })
    }

    async fn lead(&mut self) -> Result<(), Failure> {
        self.role = Role::Runs;
        let own = ClaimMode::Only(self.task.uuid());
        Ok(self.core.set_claims(own).await?)
    }

    fn follow(&mut self, pid: u32) -> String {
        self.role = Role::Follows(pid);
        let task = self.task.uuid();
        format!("Process {pid} runs task {task}; following it. Ctrl-C ends only the following.")
    }

    async fn refresh(&self, progress: &mut Progress) -> Result<(), Failure> {
        let steps = self.core.store().steps(self.task.uuid()).await?;
        progress.refresh(&steps);
        Ok(())
    }

    /// Shows what happened before the end.
    async fn catch_up(
        &self,
        record: &TaskRecord,
        events: &mut Receiver<OrchestrationEvent>,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        take_waiting(events, progress);
        if record.steps_complete as usize != progress.counts().0 {
            self.refresh(progress).await?;
        }
        Ok(())
    }

    /// Claims nothing more, lets running steps end in the time they have, and shows it.
    async fn let_go(&self, events: &mut Receiver<OrchestrationEvent>, progress: &mut Progress) {
        if let Some(running) = progress.running() {
            let patience = crate::clock::duration(self.core.context().config().drain);
            progress.note_after_key(&format!(
                "Interrupted. Waiting up to {patience} for {running}; Ctrl-C again stops at once."
            ));
        }
        let mut shutdown = pin!(self.core.shutdown());
        loop {
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Ok(event) => progress.event(&event),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => break,
                },
                report = &mut shutdown => {
                    if !report.is_balanced() {
                        output::error("messages inside were lost at shutdown; the database is not affected");
                    }
                    break;
                }
            }
        }
        take_waiting(events, progress);
    }
}

fn take_waiting(events: &mut Receiver<OrchestrationEvent>, progress: &mut Progress) {
    loop {
        match events.try_recv() {
            Ok(event) => progress.event(&event),
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        }
    }
}
