//! An actor as a sender sees it: something that takes one type of message.

use super::envelope::Envelope;
use super::reply::MessageCell;
use super::shared::Anchor;
use super::{ActorId, Message, Receive};
use crate::mailbox::{MailboxStats, Refused, Ticket};
use std::sync::Arc;
use std::task::{Context, Poll};

/// The erased actor behind a handle, a recipient or a route. Sends are generic in the message alone,
/// which keeps the futures of mutually asking actors from containing each other.
pub(crate) trait Target<M: Message>: Send + Sync {
    fn id(&self) -> ActorId;
    fn name(&self) -> &Arc<str>;
    fn stats(&self) -> MailboxStats;
    fn try_push(&self, cell: Arc<MessageCell<M>>) -> Result<(), Refused>;
    fn poll_reserve(
        &self,
        ticket: &mut Option<Ticket>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), Refused>>;
    fn push_reserved(&self, cell: Arc<MessageCell<M>>) -> Result<(), Refused>;
    fn leave(&self, ticket: Ticket);
}

impl<A: Receive<M>, M: Message> Target<M> for Anchor<A> {
    fn id(&self) -> ActorId {
        self.shared.id
    }

    fn name(&self) -> &Arc<str> {
        &self.shared.name
    }

    fn stats(&self) -> MailboxStats {
        self.shared.stats()
    }

    fn try_push(&self, cell: Arc<MessageCell<M>>) -> Result<(), Refused> {
        let envelope: Arc<dyn Envelope<A>> = cell;
        self.shared
            .mailbox
            .try_push(envelope)
            .map_err(|(_, refused)| refused)
    }

    fn poll_reserve(
        &self,
        ticket: &mut Option<Ticket>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), Refused>> {
        self.shared.mailbox.poll_reserve(ticket, cx)
    }

    fn push_reserved(&self, cell: Arc<MessageCell<M>>) -> Result<(), Refused> {
        let envelope: Arc<dyn Envelope<A>> = cell;
        self.shared
            .mailbox
            .push_reserved(envelope)
            .map_err(|_| Refused::Closed)
    }

    fn leave(&self, ticket: Ticket) {
        self.shared.mailbox.leave(ticket);
    }
}
