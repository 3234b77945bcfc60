//! A kit for testing actors: without sleeping, and without guessing when something has happened.
//!
//! Feature `testing`, for dev-dependencies:
//!
//! ```toml
//! [dev-dependencies]
//! postroom = { version = "0.1", features = ["testing"] }
//! tokio = { version = "1", features = ["macros", "rt", "test-util"] }
//! ```
//!
//! # Step by step
//!
//! An actor that is [stepped](crate::actor::Builder::stepped) has no task. Its handle is like any other, and messages
//! wait in its mailbox until the test has one handled. Between two steps the test can look at both.
//!
//! ```
//! # use postroom::actor::{Actor, Context, Handler, Message};
//! # use std::convert::Infallible;
//! # struct Counter(u64);
//! # impl Actor for Counter { type Error = Infallible; }
//! # struct Add(u64);
//! # impl Message for Add { type Response = u64; type Error = Infallible; }
//! # impl Handler<Add> for Counter {
//! #     async fn handle(&mut self, Add(n): Add, _: &Context<Self>) -> Result<u64, Infallible> {
//! #         self.0 += n;
//! #         Ok(self.0)
//! #     }
//! # }
//! use postroom::actor::Builder;
//! use postroom::testing::Step;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (counter, mut steps) = Builder::new(Counter(0)).stepped()?;
//! counter.tell(Add(40)).await?;
//! let sum = counter.ask(Add(2)).enqueue().await?;
//! assert_eq!(steps.queued().len(), 2);
//! assert!(matches!(steps.step().await, Step::Handled(message) if message.ends_with("Add")));
//! assert_eq!(steps.state().map(|counter| counter.0), Some(40));
//! assert_eq!(steps.queued().len(), 1);
//! assert_eq!(steps.run().await, 1);
//! assert_eq!(sum.await?, 42);
//! # Ok(())
//! # }
//! ```
//!
//! # In place of a collaborator
//!
//! A [`StandIn`] is a [`Recipient`](crate::actor::Recipient) whose messages the test receives, each with its reply
//! token; [`answering`] is one that answers by itself and keeps what it was sent.
//!
//! ```
//! # use postroom::actor::{Actor, Context, Handler, Message, Recipient};
//! # use std::convert::Infallible;
//! # struct Charge(u32);
//! # impl Message for Charge { type Response = bool; type Error = Infallible; }
//! struct Shop { bank: Recipient<Charge> }
//! # impl Actor for Shop { type Error = Infallible; }
//! # struct Buy(u32);
//! # impl Message for Buy { type Response = &'static str; type Error = Infallible; }
//! # impl Handler<Buy> for Shop {
//! #     async fn handle(&mut self, Buy(price): Buy, _: &Context<Self>) -> Result<&'static str, Infallible> {
//! #         Ok(match self.bank.ask(Charge(price)).await { Ok(true) => "sold", _ => "refused" })
//! #     }
//! # }
//! use postroom::testing::{StandIn, answering};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut bank = StandIn::<Charge>::new();
//! let shop = Shop { bank: bank.recipient() }.spawn();
//! let sale = shop.ask(Buy(5)).enqueue().await?;
//! let (Charge(amount), reply) = bank.next().await;
//! assert_eq!(amount, 5);
//! reply.ok(false);
//! assert_eq!(sale.await?, "refused");
//!
//! let (bank, charges) = answering(|Charge(amount): &Charge| Ok(*amount < 100));
//! let shop = Shop { bank }.spawn();
//! assert_eq!(shop.ask(Buy(99)).await?, "sold");
//! assert_eq!(shop.ask(Buy(100)).await?, "refused");
//! assert_eq!(charges.taken().len(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! # An actor's end
//!
//! [`Handle::closed`](crate::actor::Handle::closed) waits for it and gives the report, as often as it is called:
//! why the actor ended, and what became of every message. For one that is stepped, [`Step::Ended`] has it.
//!
//! ```
//! # use postroom::actor::{Actor, Context, Handler, Message};
//! # use std::convert::Infallible;
//! # struct Fragile;
//! # impl Actor for Fragile { type Error = Infallible; }
//! # struct Drop;
//! # impl Message for Drop { type Response = (); type Error = Infallible; }
//! # impl Handler<Drop> for Fragile {
//! #     async fn handle(&mut self, _: Drop, _: &Context<Self>) -> Result<(), Infallible> { Ok(()) }
//! # }
//! use postroom::actor::{Builder, StopReason};
//! use postroom::testing::Faults;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let fragile = Builder::new(Fragile).faults(Faults::new().panic_on(2)).spawn()?;
//! for _ in 0..3 {
//!     fragile.tell(Drop).await?;
//! }
//! let exit = fragile.closed().await;
//! assert!(matches!(exit.reason, StopReason::Panicked { .. }));
//! let account = &exit.account;
//! assert_eq!((account.ok, account.panicked, account.undelivered), (1, 1, 1));
//! # Ok(())
//! # }
//! ```
//!
//! # Faults
//!
//! [`Faults`] make a handler or a start panic, or a start slow; [`fill`] makes a mailbox full.
//!
//! # Virtual time
//!
//! Everything here that waits for a time uses tokio's clock, which a test can stop: under
//! `#[tokio::test(start_paused = true)]` timeouts, backoffs, deadlines and timers pass at once when nothing else is
//! left to do, and in their order.
//!
//! ```
//! # use postroom::actor::{Actor, AskError, Builder, Context, Handler, Message};
//! # use std::{convert::Infallible, time::Duration};
//! # struct Slow;
//! # impl Actor for Slow { type Error = Infallible; }
//! # struct Work;
//! # impl Message for Work { type Response = (); type Error = Infallible; }
//! # impl Handler<Work> for Slow {
//! #     async fn handle(&mut self, _: Work, _: &Context<Self>) -> Result<(), Infallible> { Ok(()) }
//! # }
//! use postroom::testing::Faults;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let an_hour = Duration::from_secs(3600);
//! let slow = Builder::new(Slow)
//!     .start_deadline(an_hour * 2)
//!     .faults(Faults::new().slow_start(an_hour))
//!     .spawn()?;
//! let error = slow.ask(Work).timeout(an_hour / 2).await.unwrap_err();
//! assert!(matches!(error, AskError::Expired(Work)));
//! slow.ask(Work).await?;
//! # Ok(())
//! # }
//! ```

mod full;
mod stand_in;

pub use crate::actor::{Faults, Step, Stepper};
pub use full::{Full, fill};
pub use stand_in::{Record, StandIn, answering};
