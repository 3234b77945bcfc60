//! Actors with bounded mailboxes for async Rust, and durable workflows run by those actors.
//!
//! # Actors
//!
//! An [actor] owns its state and handles one message at a time. Senders hold a cheap handle; the
//! mailbox between them is bounded, so a sender that is too fast waits. A [registry] starts
//! actors in order, routes messages to them by type, and drains them in reverse order, with a report in
//! which every accepted message is accounted for. [Supervision](supervision) brings back what has
//! failed. What exactly is promised is written down in [`semantics`].
//!
//! ```
//! use postroom::actor::{Actor, Context, Handler, Message};
//! use std::convert::Infallible;
//!
//! struct Counter(u64);
//!
//! impl Actor for Counter {
//!     type Error = Infallible;
//! }
//!
//! struct Increment;
//!
//! impl Message for Increment {
//!     type Response = u64;
//!     type Error = Infallible;
//! }
//!
//! impl Handler<Increment> for Counter {
//!     async fn handle(&mut self, _: Increment, _: &Context<Self>) -> Result<u64, Infallible> {
//!         self.0 += 1;
//!         Ok(self.0)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let counter = Counter(0).spawn();
//! counter.tell(Increment).await?;
//! assert_eq!(counter.ask(Increment).await?, 2);
//!
//! counter.drain();
//! let exit = counter.closed().await;
//! assert_eq!(exit.account.ok, 2);
//! # Ok(())
//! # }
//! ```

pub mod actor;
mod mailbox;
pub mod registry;
pub mod semantics;
pub mod supervision;
pub mod telemetry;
