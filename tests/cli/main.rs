//! The command line as its users see it: the binary, real folders, real processes.
#![cfg(feature = "cli")]

mod follow;
mod interrupt;
mod operators;
mod place;
mod resume;
mod run;
mod tasks;
mod templates;
mod workers;
mod workflows;
