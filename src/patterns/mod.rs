//! Small things built on top of actors.

pub mod timer;
