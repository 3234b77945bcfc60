//! Durable workflows run by actors.

pub mod state;
pub mod template;
