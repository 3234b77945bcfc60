//! Durable workflows run by actors.

pub mod state;
