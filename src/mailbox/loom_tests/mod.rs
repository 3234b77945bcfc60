//! Every interleaving of a few threads at one mailbox, with a toy in the place of an actor.
//!
//! Run by `tests/loom.sh`. Loom explores the orders in which threads may take their steps and the values that
//! each load may see, reports accesses of a cell that do not happen one before the other, threads that wait for
//! ever, and cells that are never freed.

mod cells;
mod evictions;
mod list;
mod sends;
mod set_once;
mod slots;
mod toy;
mod turns;
