//! A message in a queue, with its type erased, and what can be done with it.

use super::account::Outcome;
use super::cell::Letter;
use super::hold::Hold;
use super::mailbox::Mailbox;
use super::queue::{Header, kind_of};
use super::seat::Polled;
use std::any::TypeId;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::task::Context;

/// What an actor's state does with messages of type `M`.
pub(crate) trait Takes<M: Send + 'static>: Sized + Send + 'static {
    /// What travels back.
    type Answer: Send + 'static;

    /// Begins to handle a message that has just left the queue: claims it, starts its handler in the seat, and
    /// polls it once.
    fn open(
        letter: Letter<M, Self::Answer>,
        hold: &mut Hold<'_, Self>,
        cx: &mut Context<'_>,
    ) -> Polled;

    /// The message will not be handled: its asker gets it back, a told one is dropped, and it is counted, but for
    /// an evicted one, which is counted already. False if it had been revoked before.
    fn give_back(letter: Letter<M, Self::Answer>, why: Return, mailbox: &Mailbox<Self>) -> bool;
}

/// Why a message is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Return {
    /// The actor has ended.
    Stopped,
    /// A later message has pushed it out of a full mailbox.
    Evicted,
}

/// What a queue's owner does with the messages of one type.
pub(super) struct Kind<S: 'static> {
    message: fn() -> TypeId,
    name: fn() -> &'static str,
    open: unsafe fn(NonNull<Header>, &mut Hold<'_, S>, &mut Context<'_>) -> Polled,
    evict: unsafe fn(NonNull<Header>) -> Outcome,
    give_back: unsafe fn(NonNull<Header>, Return, &Mailbox<S>) -> bool,
    discard: unsafe fn(NonNull<Header>),
}

struct KindOf<S, M>(PhantomData<fn(S, M)>);

impl<S: Takes<M>, M: Send + 'static> KindOf<S, M> {
    const KIND: &'static Kind<S> = &Kind {
        message: TypeId::of::<M>,
        name: std::any::type_name::<M>,
        open: |header, hold, cx| {
            // SAFETY: a kind is attached to a header only by `Mailbox::push`, which takes a letter of this type; and
            // who calls this uses the header up.
            S::open(unsafe { Letter::from_header(header) }, hold, cx)
        },
        evict: |header| {
            // SAFETY: as in `open`, but that the header is not used up: the letter is not dropped.
            let letter = ManuallyDrop::new(unsafe { Letter::<M, S::Answer>::from_header(header) });
            letter
                .withhold()
                .map_or_else(Outcome::from, |()| Outcome::Evicted)
        },
        give_back: |header, why, mailbox| {
            // SAFETY: as in `open`.
            S::give_back(unsafe { Letter::from_header(header) }, why, mailbox)
        },
        discard: |header| {
            // SAFETY: as in `open`.
            drop(unsafe { Letter::<M, S::Answer>::from_header(header) });
        },
    };
}

/// The kind of messages of type `M`, for the queue.
pub(super) fn kind<S: Takes<M>, M: Send + 'static>() -> *const () {
    std::ptr::from_ref(KindOf::<S, M>::KIND).cast()
}

/// Whether a kind from the queue of a mailbox of `S` is that of messages of type `M`.
///
/// # Safety
/// `kind` came from such a queue.
pub(super) unsafe fn is_kind<S: 'static, M: 'static>(kind: *const ()) -> bool {
    // SAFETY: only kinds of `S`, which are static, get into its queue.
    let kind = unsafe { &*kind.cast::<Kind<S>>() };
    (kind.message)() == TypeId::of::<M>()
}

/// The name of the message type of a kind from the queue of a mailbox of `S`.
///
/// # Safety
/// `kind` came from such a queue.
#[cfg(feature = "testing")]
pub(super) unsafe fn name_of<S: 'static>(kind: *const ()) -> &'static str {
    // SAFETY: only kinds of `S`, which are static, get into its queue.
    let kind = unsafe { &*kind.cast::<Kind<S>>() };
    (kind.name)()
}

/// A message that has left the queue. Dropped, it drops the message.
pub(crate) struct Envelope<S: 'static> {
    header: NonNull<Header>,
    state: PhantomData<fn(S)>,
}

// SAFETY: it is a letter whose type is erased, and letters are `Send` if their message and answer are, which
// `Takes` demands.
unsafe impl<S: 'static> Send for Envelope<S> {}

impl<S: 'static> Envelope<S> {
    /// # Safety
    /// `header` was popped from the queue of a mailbox of `S`, and is used up by this.
    pub(super) unsafe fn new(header: NonNull<Header>) -> Self {
        Self {
            header,
            state: PhantomData,
        }
    }

    fn kind(&self) -> &'static Kind<S> {
        // SAFETY: the header is this envelope's, and in a queue of `S` there are only kinds of `S`.
        unsafe { &*kind_of(self.header).cast() }
    }

    /// The message's type.
    pub(crate) fn message(&self) -> &'static str {
        (self.kind().name)()
    }

    /// Begins to handle the message.
    #[inline]
    pub(crate) fn open(self, hold: &mut Hold<'_, S>, cx: &mut Context<'_>) -> Polled {
        let this = ManuallyDrop::new(self);
        // SAFETY: the header has its own kind, and is used up: `this` is not dropped.
        unsafe { (this.kind().open)(this.header, hold, cx) }
    }

    /// For a letter of the right type.
    pub(super) fn into_header(self) -> NonNull<Header> {
        ManuallyDrop::new(self).header
    }

    /// It will not be handled, because a later message has pushed it out. Returns how it counts.
    pub(super) fn evict(&self) -> Outcome {
        // SAFETY: the header has its own kind.
        unsafe { (self.kind().evict)(self.header) }
    }

    /// Gives the message back to its asker.
    pub(crate) fn give_back(self, why: Return, mailbox: &Mailbox<S>) -> bool {
        let this = ManuallyDrop::new(self);
        // SAFETY: as in `open`.
        unsafe { (this.kind().give_back)(this.header, why, mailbox) }
    }
}

impl<S: 'static> Drop for Envelope<S> {
    fn drop(&mut self) {
        // SAFETY: the header has its own kind, and is used up.
        unsafe { (self.kind().discard)(self.header) }
    }
}
