//! The states of tasks and steps, and what may follow what: pure code, no I/O.
//!
//! Each machine is one table of legal transitions; everything that is not in it is refused. Stores change
//! states by compare-and-swap on these values.
#![doc = include_str!("lifecycles.md")]

mod evaluation;
mod machine;
mod policy;
mod step;
mod task;

#[cfg(test)]
mod page;

pub use evaluation::{Evaluation, StepCounts};
pub use machine::{IllegalTransition, UnknownState};
pub use policy::FailurePolicy;
pub use step::{STEP_TRANSITIONS, StepEvent, StepState};
pub use task::{TASK_TRANSITIONS, TaskEvent, TaskState};
