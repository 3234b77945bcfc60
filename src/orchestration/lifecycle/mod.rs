//! The services behind the lifecycle actors: the orchestration's logic over the store, in batches.
//!
//! A service decides; the store makes the decision atomic; an actor (in [`actors`](super::actors)) gives the
//! service a mailbox. Services know nothing of mailboxes, which makes them easy to test against the in-memory
//! store.

mod health;
mod result_processing;
mod step_enqueuing;
mod task_finalization;
mod task_initialization;
mod task_request;

pub(crate) use health::HealthReporter;
pub use health::{MailboxHealth, SystemHealth};
pub(crate) use result_processing::ResultProcessor;
pub use result_processing::{ProcessResultError, StepExecutionResult};
pub use step_enqueuing::ClaimError;
pub(crate) use step_enqueuing::StepEnqueuer;
pub(crate) use task_finalization::TaskFinalizer;
pub use task_finalization::{FinalizeError, Swept};
pub(crate) use task_initialization::TaskInitializer;
pub use task_request::{IdentityStrategy, SubmitError, SubmitOptions, TaskReceipt, TaskRequest};
pub(crate) use task_request::{PreparedTask, TaskRequestProcessor};
