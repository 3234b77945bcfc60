//! Claiming steps to run.

use std::time::Duration;

use uuid::Uuid;

use super::StepId;

/// Whose steps a claim may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClaimScope {
    /// Any task's.
    #[default]
    Any,
    /// Only this task's.
    Task(Uuid),
}

/// What a process wants to run.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// The process that will hold the leases.
    pub process: Uuid,
    /// Whose steps.
    pub scope: ClaimScope,
    /// Only steps run by one of these handlers are claimed.
    pub callables: Vec<String>,
    /// At most this many steps.
    pub limit: u32,
    /// How long the leases last without a heartbeat.
    pub lease: Duration,
}

/// What a claim brought.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// The claimed steps.
    pub steps: Vec<ClaimedStep>,
    /// Time until the next retry in scope falls due, if one is waiting.
    pub next_due: Option<Duration>,
}

/// A step that a process holds a lease on.
#[derive(Debug, Clone)]
pub struct ClaimedStep {
    /// Which step.
    pub id: StepId,
    /// Its name in the template.
    pub name: String,
    /// The handler it is run by.
    pub callable: String,
    /// Rises with every claim and operator action; the fencing token.
    pub epoch: u64,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// How many attempts it may use up.
    pub max_attempts: u32,
    /// Of the task.
    pub correlation_id: Uuid,
    /// Results of its direct parents, in template order.
    pub parents: Vec<ParentResult>,
}

impl ClaimedStep {
    /// The lease this claim stands for.
    pub fn lease(&self) -> Lease {
        Lease {
            id: self.id,
            epoch: self.epoch,
        }
    }
}

/// What a parent step returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentResult {
    /// The parent's name.
    pub name: String,
    /// Its result as JSON text; `null` if it has none.
    pub result_json: String,
}

/// The right to run one step, until it runs out or is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Which step.
    pub id: StepId,
    /// The epoch of the claim.
    pub epoch: u64,
}
