//! What the writer is asked to do, and what it answers.

use std::time::Duration;

use uuid::Uuid;

use crate::actor::Message;
use crate::orchestration::store::{
    ClaimRequest, ClaimedStep, Claims, CleanupReport, CleanupRequest, Completion,
    CompletionOutcome, Heartbeat, Lease, NewTask, Operation, OperationOutcome, ProcessRegistration,
    StoreError, Submission, SweepReport, SweepRequest, TransactionError,
};

/// One intent of one caller.
#[derive(Debug)]
pub(crate) enum Write {
    Submit(Vec<NewTask>, Option<ClaimRequest>),
    Claim(ClaimRequest),
    Complete(Vec<Completion>, Option<ClaimRequest>),
    Heartbeat(Uuid, Duration),
    Release(Uuid, Vec<Lease>),
    Sweep(SweepRequest),
    Operate(Vec<Operation>),
    Register(ProcessRegistration),
    Unregister(Uuid),
    Cleanup(CleanupRequest),
}

impl Write {
    /// Completes the sentence "the database failed while it should ...".
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Submit(..) => "store new tasks",
            Self::Claim(_) => "claim steps",
            Self::Complete(..) => "record results",
            Self::Heartbeat(..) => "renew leases",
            Self::Release(..) => "release leases",
            Self::Sweep(_) => "sweep",
            Self::Operate(_) => "operate on tasks",
            Self::Register(_) => "register a process",
            Self::Unregister(_) => "unregister a process",
            Self::Cleanup(_) => "delete old tasks",
        }
    }
}

/// The answer to an intent, of the same name.
#[derive(Debug)]
pub(crate) enum Answer {
    Submit(Vec<Result<Submission, StoreError>>, Vec<ClaimedStep>),
    Claim(Claims),
    Complete(Vec<CompletionOutcome>, Vec<ClaimedStep>),
    Heartbeat(Heartbeat),
    Release(u32),
    Sweep(SweepReport),
    Operate(Vec<OperationOutcome>),
    Cleanup(CleanupReport),
    Done,
}

impl Answer {
    /// It answers another question: a mistake of this crate's.
    pub(crate) fn unexpected(&self) -> TransactionError {
        TransactionError::Broken(StoreError::Corrupt {
            what: format!("an intent was answered as another one: {self:?}"),
        })
    }
}

impl Message for Write {
    type Response = Answer;
    type Error = StoreError;
}
