//! The process groups of the shell steps that run, so that none outlives this process.

use std::collections::HashSet;
use std::io;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// The process groups of the shell steps that run in this process. Clones are the same set.
#[derive(Debug, Clone, Default)]
pub struct ProcessGroups(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    // Held for reading while a child is started, so that none slips past `kill_all`.
    closed: RwLock<bool>,
    live: Mutex<HashSet<Pid>>,
}

impl ProcessGroups {
    /// No groups yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends (`SIGKILL`) every process group at once, and lets no more be started. For a program that is about
    /// to exit without waiting for its steps: they have not failed, and do not end before they are interrupted.
    pub fn kill_all(&self) {
        *self
            .0
            .closed
            .write()
            .unwrap_or_else(PoisonError::into_inner) = true;
        for &group in &*self.0.live() {
            signal(group, Signal::KILL);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.live().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Starts a command in a process group of its own, which ends when the returned value is dropped.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<Group> {
        let closed = self.0.closed.read().unwrap_or_else(PoisonError::into_inner);
        if *closed {
            return Err(io::Error::other("this process is being ended"));
        }
        let child = command.process_group(0).spawn()?;
        let id = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        // A child that was not waited for has an id.
        let id = id.ok_or_else(|| io::Error::other("the child process has no id"))?;
        self.0.live().insert(id);
        Ok(Group {
            child,
            id,
            ended: false,
            set: Arc::clone(&self.0),
        })
    }
}

impl Inner {
    fn is_closed(&self) -> bool {
        *self.closed.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self) -> MutexGuard<'_, HashSet<Pid>> {
        // Single operations on a set: there is no half-done state to fear.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running child and its process group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) child: Child,
    id: Pid,
    ended: bool,
    set: Arc<Inner>,
}

impl Group {
    /// Waits until the child ends, then ends whatever is left of its group.
    ///
    /// Cancel safe.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.end();
        Ok(status)
    }

    /// Whether this process is being ended, and all groups with it.
    pub(super) fn is_given_up(&self) -> bool {
        self.set.is_closed()
    }

    /// Asks the group to end.
    pub(super) fn terminate(&self) {
        if !self.ended {
            signal(self.id, Signal::TERM);
        }
    }

    /// Ends the group.
    pub(super) fn kill(&self) {
        if !self.ended {
            signal(self.id, Signal::KILL);
        }
    }

    /// The leader is waited for, or given up: from here on the id could in time belong to others. Ids are
    /// given out in turn, so the one signal right after the wait reaches nobody else.
    fn end(&mut self) {
        if !self.ended {
            let mut live = self.set.live();
            signal(self.id, Signal::KILL);
            live.remove(&self.id);
            self.ended = true;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

fn signal(group: Pid, signal: Signal) {
    // It fails only if nothing is left of the group.
    let _ = kill_process_group(group, signal);
}
