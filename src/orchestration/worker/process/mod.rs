//! Processes of the operating system: who this one is, whether another one lives, and ending what a dead one
//! left running.
//!
//! Leases alone would make everybody wait until a killed process's leases run out. Where its death can be
//! *known* (same host, same boot, same process namespace), its steps are taken over at once.

mod identity;
mod orphans;

pub use identity::{Liveness, ProcessIdentity};
pub(crate) use orphans::MARKER;
pub use orphans::end_orphans;
