//! Running steps: the handlers a program offers, and what happens around one attempt of one.
//!
//! A program registers its handlers under names with [`StepHandlers`] and builds a [`HandlerTable`] from
//! them, in which types and shared state are no longer visible. A worker hands a claimed step and that table
//! to the executor, which decodes the input, runs the handler under its timeout, its cancellation and a
//! guard against panics, and reports one [`Result`] whatever happened.
//!
//! Handlers run **at least once**: a process that dies between the work and the record of it makes the step
//! run again. [`StepContext::epoch`] is the fencing token for side effects that must not be doubled.

mod actor;
pub mod builtin;
mod context;
mod decode;
mod dispatcher;
mod erased;
mod error;
mod executor;
mod handler;
mod heart;
mod joined;
mod process;
mod running;
mod table;

pub use actor::{WorkerActor, WorkerStatus, WorkerStatusMessage};
pub use context::StepContext;
pub(crate) use dispatcher::{Dispatcher, Place};
pub use error::StepError;
pub use handler::{StepHandler, StepHandlers};
#[cfg(test)]
pub(crate) use heart::Heart;
pub use process::{Liveness, ProcessIdentity, end_orphans};
pub(crate) use running::RunningSteps;
pub use table::{HandlerTable, InvalidHandlers};
