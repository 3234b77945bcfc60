//! Actors that belong together: started in order, reached by message type, drained in reverse.
//!
//! A registry is a value: there is no global one. It is built in three steps, so that handles can be
//! wired in any direction: all mailboxes exist when [`Registration::register`] returns, the
//! actors start in the order of registration when [`ActorRegistryBuilder::start`] is awaited, each
//! ready before the next, and [`ActorRegistry::shutdown`] drains them in reverse order, so that an
//! actor can still reach the ones it depends on while it finishes its work.
//!
//! ```
//! use postroom::actor::{Actor, Context, Handler, Message};
//! use postroom::registry::ActorRegistry;
//! use std::convert::Infallible;
//!
//! struct Greeter;
//! impl Actor for Greeter {
//!     type Error = Infallible;
//! }
//!
//! struct Greet(&'static str);
//! impl Message for Greet {
//!     type Response = String;
//!     type Error = Infallible;
//! }
//!
//! impl Handler<Greet> for Greeter {
//!     async fn handle(&mut self, Greet(whom): Greet, _: &Context<Self>) -> Result<String, Infallible> {
//!         Ok(format!("Good morning, {whom}"))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut builder = ActorRegistry::builder();
//! builder.add(Greeter).name("greeter").handles::<Greet>().register()?;
//! let registry = builder.start().await?;
//!
//! // Whoever sends needs to know the message, and not the actor.
//! assert_eq!(registry.ask(Greet("Ada")).await?, "Good morning, Ada");
//!
//! let report = registry.shutdown().await;
//! assert!(report.is_balanced());
//! # Ok(())
//! # }
//! ```

mod builder;
mod change;
mod closing;
mod error;
mod group;
mod member;
mod order;
mod registration;
mod report;
mod roster;
mod routes;
mod running;
mod shutdown;

pub use builder::{ActorRegistryBuilder, Slot};
pub use error::{AddError, BuildError, RemoveError, StartError, Unrouted};
pub use group::Group;
pub use registration::Registration;
pub use report::{ActorReport, ShutdownReport};
pub use routes::Routes;
pub use running::ActorRegistry;
