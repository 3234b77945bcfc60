//! Durable workflows run by actors.
//!
//! A [`template`] is a graph of steps as data. Submitting it with an input makes a *task* in a
//! [`store`]; lifecycle [`actors`] initialise it, hand its ready steps to a [`worker`], record
//! what becomes of them, and finalise it exactly once. The store is the truth: mailboxes only carry work, and
//! losing every process at any moment loses nothing that was acknowledged.
//!
//! ```
//! # use std::sync::Arc;
//! # use postroom::orchestration::OrchestrationCore;
//! # use postroom::orchestration::state::TaskState;
//! # use postroom::orchestration::store::memory::MemoryStore;
//! # use postroom::orchestration::template::TaskTemplate;
//! # use postroom::orchestration::worker::{StepContext, StepError, StepHandlers};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut greeting = TaskTemplate::builder("greeting");
//! greeting.step("greet", "greet");
//! let greeting = Arc::new(greeting.build()?);
//!
//! let handlers = StepHandlers::new()
//!     .register("greet", |name: String, _: StepContext| async move {
//!         Ok::<_, StepError>(format!("hello, {name}"))
//!     })
//!     .build()?;
//! let core = OrchestrationCore::builder(Arc::new(MemoryStore::new()))
//!     .handlers(handlers)
//!     .start()
//!     .await?;
//! let task = core.submit(&greeting, "world").await?;
//! assert_eq!(task.wait().await?.state, TaskState::Complete);
//! assert!(core.shutdown().await.is_balanced());
//! # Ok(())
//! # }
//! ```
//!
//! | to read about | see |
//! |---|---|
//! | starting and stopping, submitting | [`OrchestrationCore`], [`TaskHandle`] |
//! | writing steps | [`worker`] |
//! | submitting and completing in a transaction of one's own | `OrchestrationCore::submit_in`, `StepContext::complete_in` |
//! | templates | [`template`] |
//! | what operators can do | [`OperatorIntent`], [`TaskHandle`], [`Operator`] |
//! | states and lifecycles | [`state`] |
//! | commands and events | [`command`] |
//! | bounds and intervals | [`OrchestrationConfig`] |
//! | other databases | [`store`] |

pub mod actors;
mod assembly;
pub mod command;
mod config;
mod context;
mod core;
mod definition;
pub mod doctor;
mod events;
mod handle;
mod joining;
mod lifecycle;
mod operator;
mod retention;
#[cfg(test)]
mod simulation;
pub mod state;
pub mod store;
pub mod template;
pub mod worker;

pub use self::core::{CoreBuilder, CoreError, OrchestrationCore, OrchestrationReport};
pub use command::{CommandError, OrchestrationCommand, OrchestrationResponse, ProcessingStats};
pub use config::{ConfigError, OrchestrationConfig};
pub use context::{ClaimMode, SystemContext};
pub use events::OrchestrationEvent;
pub use handle::TaskHandle;
pub use joining::{JoinError, JoinedTask};
pub use lifecycle::{
    ClaimError, FinalizeError, IdentityStrategy, MailboxHealth, ProcessResultError,
    StepExecutionResult, SubmitError, SubmitOptions, Swept, SystemHealth, TaskReceipt, TaskRequest,
};
pub use operator::{Operator, OperatorIntent, TaskError};
pub use retention::delete_old_tasks;
