//! The bounded mailbox: one queue, many senders, one receiver at a time.
//!
//! This layer knows messages only as envelopes, and what handles them only as something that runs. It decides
//! five things, and nothing above it can decide them differently: who gets a free slot (`slots`,
//! `outlet`), in what order accepted messages leave (`queue`), whose turn it is to touch the actor's state (`turn`), how far
//! an actor has been told to stop ([`Level`]), and how many messages are where ([`Account`]).
//!
//! ```text
//!   senders                                             whoever has the turn: the actor's task, or a sender
//!  ┌─────────────────────────────────────────────────┐ ┌─────────────────────────────────────────────────────┐
//!  │ Slots: closed, waiting, reserved, accepted      │ │ Outlet: what has left the queue                     │
//!  │ Queue: ──► cell ──► cell ──► cell (Cell<M, R>)  │ │ Seat: the state, and the handler that runs on it    │
//!  └──────────────────────────┬──────────────────────┘ └──────────────────────┬──────────────────────────────┘
//!                             └────────────── Turn: free, held, lent ─────────┘
//! ```
//!
//! # Why the unsafe code here is sound
//!
//! It is about four things, each in one file with its own proof: a message and its answer share one allocation
//! (`cell`), which is linked into a list (`queue`); one holder at a time reaches the state and what runs on
//! it (`turn`, `hold`, `mailbox`); and what runs is kept in a buffer without its type and lifetime (`seat`). Where memory
//! comes from (`pool`), and two small tools (`set_once`, `arc`), have proofs of their own. What is exported has a safe
//! interface.
//!
//! Running a handler in the task of its sender, which borrows the turn, adds these questions:
//!
//! - *Who may touch the state when?* Whoever has the turn. The task gets it by [`Mailbox::enter`], with the one
//!   [`Tenancy`]; a sender by [`Mailbox::borrow`], which succeeds only while nobody has it.
//! - *How does a half-run handler change hands?* It lives in the seat and not in the sender's future. The sender
//!   returns the turn to the task ([`Loan::hand_over`]), whose next poll goes on with it; the release and the
//!   acquisition of the turn make all that the sender did happen before.
//! - *What if the sender is dropped?* During its poll it cannot be. Before, nothing has started. Afterwards one that
//!   asks holds a [`Receipt`], whose drop is noted in the cell and touches nothing else; one that tells holds nothing.
//! - *What if the runtime goes away?* It drops the task, which resigns ([`Mailbox::resign`]). If a sender has
//!   the turn just then, it is told so when it returns it, and ends the actor in the task's place.
//! - *Who frees the state?* Whoever ends the actor while it has the turn; the mailbox's own drop at the latest.

#![allow(unsafe_code)] // here and nowhere else

mod account;
mod arc;
mod cell;
mod envelope;
#[cfg(feature = "testing")]
mod gate;
mod hold;
mod layout;
mod level;
#[cfg(all(test, postroom_loom))]
mod loom_tests;
#[expect(clippy::module_inception)] // the parts put together
mod mailbox;
mod outlet;
mod pool;
mod prefetch;
mod queue;
mod seat;
mod set_once;
mod slots;
mod sync;
mod terms;
mod turn;
mod waiting;

pub(crate) use account::Outcome;
pub use account::{Account, MailboxStats};
pub(crate) use arc::arc;
pub(crate) use cell::{Conclusion, Duty, Expiry, Letter, Receipt, Witness};
pub(crate) use envelope::{Envelope, Return, Takes};
#[cfg(all(test, postroom_loom))]
pub(crate) use hold::First;
pub(crate) use hold::{Hold, Loan};
pub use level::Level;
pub(crate) use mailbox::{Found, Mailbox, Tenancy};
pub(crate) use seat::{
    Begin, Ending, Guard, InPlace, Polled, Sequel, SequelInPlace, Start, StartInPlace, Verdict,
};
pub(crate) use set_once::SetOnce;
pub(crate) use slots::Refused;
pub(crate) use sync::lock;
pub(crate) use terms::{More, Terms};
pub(crate) use waiting::{Ticket, let_go, wake};
