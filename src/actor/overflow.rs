//! What a full mailbox does with one more message.

use super::guard::guarded;
use super::resident::Resident;
use super::shared::Shared;
use super::target::LetterOf;
use super::{Actor, Message, Receive};
use crate::mailbox::{Envelope, Refused, Return};

/// What a full mailbox does with one more message.
///
/// | a full mailbox | gets, who tells | gets, who asks | counted |
/// |---|---|---|---|
/// | makes its senders [`Wait`](Self::Wait) | room, in line | room, in line | as `waiting` |
/// | [drops its newest](Self::DropNewest) | `Ok(Told::Dropped)` | `Full(M)` | as `dropped`, if told |
/// | [evicts its oldest](Self::EvictOldest) | `Ok(Told::Accepted)` | a place; the evicted asker `Evicted(M)` | as `evicted` |
///
/// Permits keep their slots under every policy, and [`reserve`](super::Handle::reserve) always waits. The message
/// that is being handled is none of the queue, and neither is a request to drain, stop or kill.
///
/// ```
/// use postroom::actor::{Actor, Builder, Context, Handler, Message, Overflow, Told};
/// # use std::convert::Infallible;
///
/// struct Display(u32);
/// struct Show(u32);
/// # impl Actor for Display { type Error = Infallible; }
/// # impl Message for Show { type Response = u32; type Error = Infallible; }
/// # impl Handler<Show> for Display {
/// #     async fn handle(&mut self, Show(n): Show, _: &Context<Self>) -> Result<u32, Infallible> {
/// #         self.0 = n;
/// #         Ok(n)
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Only the latest reading is worth showing.
/// let display = Builder::new(Display(0)).capacity(1).overflow(Overflow::EvictOldest).spawn()?;
/// for reading in 1..=3 {
///     assert_eq!(display.try_tell(Show(reading))?, Told::Accepted);
/// }
/// display.drain();
/// let account = &display.closed().await.account;
/// assert_eq!((account.ok, account.evicted), (1, 2));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// Its sender waits for room, or has the message back if it does not want to wait.
    #[default]
    Wait,
    /// A told message is dropped, and its sender gets [`Told::Dropped`]; an asker gets
    /// [`AskError::Full`](super::AskError::Full) at once.
    DropNewest,
    /// It takes the place of the oldest that is queued: a told one is dropped, an asker gets
    /// [`AskError::Evicted`](super::AskError::Evicted). If permits take all the slots, its sender waits for room.
    EvictOldest,
}

/// What became of a message that was told and not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Told {
    /// It is queued.
    Accepted,
    /// It was dropped, because the mailbox is full and [drops its newest](Overflow::DropNewest).
    Dropped,
}

/// What has become of a message that found no room.
pub(crate) enum Overflowed<M: Message> {
    Told(Told),
    /// Its sender may wait for room.
    Waits(LetterOf<M>),
    Refused(LetterOf<M>, Refused),
}

/// What is done with a message that found no room.
#[cold]
pub(super) fn overflow<A: Receive<M>, M: Message>(
    shared: &Shared<A>,
    letter: LetterOf<M>,
) -> Overflowed<M> {
    match shared.overflow() {
        Overflow::Wait => Overflowed::Waits(letter),
        // Whoever asks wants an answer, and has the message back.
        Overflow::DropNewest if letter.was_asked() => Overflowed::Refused(letter, Refused::Full),
        Overflow::DropNewest => {
            // Counted first: whoever sees the message dropped finds it counted.
            shared.mailbox.count_dropped();
            drop(letter);
            Overflowed::Told(Told::Dropped)
        }
        Overflow::EvictOldest => match shared.mailbox.push_in_place_of_oldest(letter) {
            Ok(oldest) => {
                if let Some(oldest) = oldest {
                    give_back(shared, oldest);
                }
                Overflowed::Told(Told::Accepted)
            }
            Err((letter, Refused::Full)) => Overflowed::Waits(letter),
            Err((letter, Refused::Closed)) => Overflowed::Refused(letter, Refused::Closed),
        },
    }
}

/// Gives an evicted message back. Its drop is none of this sender's business, even if it panics.
fn give_back<A: Actor>(shared: &Shared<A>, oldest: Envelope<Resident<A>>) {
    let message = oldest.message();
    let given_back = guarded(shared.id(), || {
        oldest.give_back(Return::Evicted, &shared.mailbox)
    });
    if let Err(text) = given_back {
        let _ = guarded(shared.id(), || {
            tracing::error!(
                actor = &*shared.name,
                message,
                %text,
                "a message that was evicted panicked when it was dropped"
            );
        });
    }
}
