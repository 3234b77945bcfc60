//! A mailbox without room.

use crate::actor::{Actor, Handle, Permit};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Every slot that was free when [`fill`] was called. They are free again when it is dropped.
#[derive(Debug)]
#[must_use = "the mailbox is full until this is dropped"]
pub struct Full<'a, A: Actor> {
    permits: Vec<Permit<'a, A>>,
}

impl<A: Actor> Full<'_, A> {
    /// Frees one slot; false if none is left.
    pub fn free_one(&mut self) -> bool {
        self.permits.pop().is_some()
    }
}

/// Takes every slot that is free: until it is dropped, tries are `Full` and sends wait.
///
/// ```
/// # use postroom::actor::{Actor, Context, Handler, Message, SendError};
/// # use std::convert::Infallible;
/// # struct Sink;
/// # impl Actor for Sink { type Error = Infallible; }
/// # struct Drop;
/// # impl Message for Drop { type Response = (); type Error = Infallible; }
/// # impl Handler<Drop> for Sink {
/// #     async fn handle(&mut self, _: Drop, _: &Context<Self>) -> Result<(), Infallible> { Ok(()) }
/// # }
/// use postroom::testing::fill;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sink = Sink.spawn();
/// let full = fill(&sink).await;
/// assert!(matches!(sink.try_tell(Drop), Err(SendError::Full(Drop))));
/// drop(full);
/// sink.try_tell(Drop)?;
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
/// Dropped before it is ready, it leaves nothing behind.
pub async fn fill<A: Actor>(actor: &Handle<A>) -> Full<'_, A> {
    let mut permits = Vec::new();
    loop {
        // One that would wait for room is dropped, and leaves the line.
        let mut next = pin!(tokio::task::coop::unconstrained(actor.reserve()));
        let polled = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await;
        match polled {
            Poll::Ready(Ok(permit)) => permits.push(permit),
            Poll::Ready(Err(_)) | Poll::Pending => return Full { permits },
        }
    }
}
