//! Gathering messages before they are worked on together.
//!
//! One commit answers many callers, and each of them soon comes back with its next message. The first to do so wakes
//! the actor, which would go to the database with that one message while all others wait for a commit of their own.
//! So the actor first lets everybody run who can, and then works on all that has come by then. When nobody else has
//! anything to do, this takes no time.

use std::convert::Infallible;

use crate::actor::{Context, Message, Receive};

/// Tells an actor to work on what it has gathered; stands in its queue behind all that has come.
#[derive(Debug)]
pub(super) struct Go;

impl Message for Go {
    type Response = ();
    type Error = Infallible;
}

/// Lets the others run, then has [`Go`] come. `false`: it does not, and the work is to be done at once.
pub(super) async fn gather<A: Receive<Go>>(ctx: &Context<A>) -> bool {
    tokio::task::yield_now().await;
    ctx.handle()
        .is_some_and(|handle| handle.try_tell(Go).is_ok())
}
