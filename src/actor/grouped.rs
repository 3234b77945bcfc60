//! An actor's place in a group of actors that are restarted together.

use super::shared::Shared;
use super::{Actor, Level};
use crate::supervision::{Group, Membership, Peer};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::Context;
use std::time::Duration;
use tokio::time::Sleep;

/// The actor's place in a group of actors that are restarted together.
pub(super) struct Grouped {
    pub(super) membership: Membership,
    /// Runs while a handler is to finish because the incarnation has been asked to end.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Grouped {
    pub(super) fn join<A: Actor>(group: &Arc<Group>, shared: &Arc<Shared<A>>) -> Self {
        let peer: Weak<Shared<A>> = Arc::downgrade(shared);
        Self {
            membership: group.join(shared.name.clone(), peer),
            patience: None,
        }
    }

    /// The incarnation has ended.
    pub(super) fn relax(&mut self) {
        self.patience = None;
    }

    /// Whether a handler that waits has to be dropped, because the incarnation was asked to end too long ago.
    pub(super) fn is_out_of_patience(&mut self, limit: Duration, cx: &mut Context<'_>) -> bool {
        if !self.membership.is_asked() {
            return false;
        }
        let patience = &mut self.patience;
        // Without a clock there is no patience.
        let passed = catch_unwind(AssertUnwindSafe(|| {
            patience
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)))
                .as_mut()
                .poll(cx)
                .is_ready()
        }));
        passed.unwrap_or(true)
    }
}

impl<A: Actor> Peer for Shared<A> {
    fn look(&self) {
        self.mailbox.interrupt();
    }

    fn stop(&self) {
        self.raise(Level::Stop);
    }
}
