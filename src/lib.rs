//! Actors with bounded mailboxes for async Rust, and durable workflows run by those actors.
//!
//! # Actors
//!
//! An actor owns its state and a bounded mailbox. Others hold a [`Handle`](actor::Handle) and ask or tell it;
//! its handlers are plain `async fn`s with `&mut self`, one at a time. See [`actor`] for how to write one, and
//! [`semantics`] for what exactly is promised, and which tests prove it.
//!
//! ```
//! use std::convert::Infallible;
//! use postroom::actor::{Actor, Context, Handler, Message};
//!
//! struct Counter(u64);
//! struct Add(u64);
//!
//! impl Actor for Counter {
//!     type Error = Infallible;
//! }
//!
//! impl Message for Add {
//!     type Response = u64;
//!     type Error = Infallible;
//! }
//!
//! impl Handler<Add> for Counter {
//!     async fn handle(&mut self, Add(n): Add, _: &Context<Self>) -> Result<u64, Infallible> {
//!         self.0 += n;
//!         Ok(self.0)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let counter = Counter(0).spawn();
//! counter.tell(Add(40)).await?;
//! assert_eq!(counter.ask(Add(2)).await?, 42);
//! # Ok(())
//! # }
//! ```
//!
//! # A registry of actors
//!
//! A [`registry`] starts actors in order, each ready before the next, finds the actor for a message by the
//! message's type, and drains the mailboxes in reverse order at shutdown. Its report accounts for every
//! message that was ever accepted.
//!
//! ```
//! # use std::convert::Infallible;
//! # use postroom::actor::{Actor, Context, Handler, Message};
//! # struct Counter(u64);
//! # struct Add(u64);
//! # impl Actor for Counter { type Error = Infallible; }
//! # impl Message for Add { type Response = u64; type Error = Infallible; }
//! # impl Handler<Add> for Counter {
//! #     async fn handle(&mut self, Add(n): Add, _: &Context<Self>) -> Result<u64, Infallible> {
//! #         self.0 += n;
//! #         Ok(self.0)
//! #     }
//! # }
//! use postroom::registry::ActorRegistry;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut builder = ActorRegistry::builder();
//! builder.add(Counter(0)).handles::<Add>().register()?;
//! let registry = builder.start().await?;
//! assert_eq!(registry.ask(Add(1)).await?, 1);
//! assert!(registry.shutdown().await.is_balanced());
//! # Ok(())
//! # }
//! ```
//!
//! # Durable workflows
//!
//! With the feature `orchestration` (or `sqlite`, which stores them in a file, or `postgres`, which stores them
//! on a server for many processes), `orchestration` runs graphs of steps that survive the loss of the process.
//!
//! # Features
//!
//! | feature | brings |
//! |---|---|
//! | (none) | actors, mailboxes, supervision, registry: tokio and little else |
//! | `orchestration` | workflows on the in-memory store |
//! | `sqlite` | workflows on an SQLite file |
//! | `postgres` | workflows on PostgreSQL, for many processes on many machines |
//! | `cli` | the command line `postroom` |
//! | `metrics` | counters, gauges and histograms of actors for any recorder of the crate `metrics` |
//! | `testing` | the kit for testing actors, and the conformance suite for stores |

pub mod actor;
mod mailbox;
pub mod patterns;
pub mod registry;
pub mod semantics;
pub mod supervision;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;

#[cfg(feature = "orchestration")]
pub mod orchestration;

/// Every block of code in the README is compiled and run with the tests.
#[cfg(all(doctest, feature = "sqlite", feature = "postgres", feature = "metrics"))]
#[doc = include_str!("../README.md")]
struct Readme;
