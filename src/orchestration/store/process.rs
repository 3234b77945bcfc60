//! The processes that share a store.

use uuid::Uuid;

use super::{Lease, TemplateSelector};

/// A process as it makes itself known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRegistration {
    /// Chosen anew at every start.
    pub process: Uuid,
    /// Names the machine, its boot and its process namespace: equal only where process ids can be compared.
    pub host: String,
    /// The operating system's process id.
    pub pid: u32,
    /// Tells two processes with the same id apart (the start time the kernel gives); empty if unknown.
    pub pid_birth: String,
    /// The handlers it can run.
    pub callables: Vec<String>,
    /// Which tasks it serves; empty: all.
    pub serves: Vec<TemplateSelector>,
    /// Set if it runs the steps of this task alone.
    pub only_task: Option<Uuid>,
}

/// A process as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRecord {
    /// What it said of itself.
    pub registration: ProcessRegistration,
    /// Milliseconds since its last heartbeat, by the store's clock.
    pub silent_ms: u64,
    /// How many leases it holds.
    pub leases: u32,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// The leases that the process holds, all renewed. A step that it believes to run and that is missing here
    /// was taken away from it.
    pub held: Vec<Lease>,
    /// Those of them whose steps are to stop: their tasks fail fast.
    pub stop: Vec<Lease>,
    /// Whether the process is known. If it is not (it was silent for long and forgotten), it has to register
    /// again.
    pub registered: bool,
}
