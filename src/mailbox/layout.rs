//! What the compiler checks of the layout and of what may cross threads: notes on the design that cannot age.

#![cfg(not(postroom_loom))]

use super::Terms;
use super::cell::{Cell, Duty, Letter, Receipt, Witness};
use super::envelope::Envelope;
use super::hold::{Hold, Loan};
use super::mailbox::{Mailbox, Tenancy};
use super::outlet::Outlet;
use super::queue::{Header, Queue};
use super::seat::Seated;
use super::slots::Slots;
use super::turn::Turn;
use std::marker::PhantomData;
use std::mem::{offset_of, size_of};
use std::task::Waker;

/// `Send`, and neither `Sync` nor anything else: what a message and an answer have to be, and no more.
type Moves = PhantomData<std::cell::Cell<u8>>;
/// Neither `Send` nor `Sync`.
type Stays = PhantomData<*const u8>;

// The queue reaches a cell through its header.
const _: () = assert!(offset_of!(Cell<u64, u64>, header) == 0);

#[cfg(target_pointer_width = "64")]
const _: () = {
    // What a send allocates, besides the larger of its message and its answer.
    assert!(size_of::<Header>() == 16);
    assert!(size_of::<Cell<u64, u64>>() <= 56 + 16);
    // A side of a cell is a pointer, and so is the turn: it has no reference into the seat.
    assert!(size_of::<Letter<u64, u64>>() == 8);
    assert!(size_of::<Option<Receipt<u64, u64>>>() == 8);
    assert!(size_of::<Hold<'_, u64>>() == 8);
    assert!(size_of::<Loan<'_, u64>>() == 8);
    // What every actor has, idle or not.
    assert!(size_of::<Queue>() == 16 + 56);
    assert!(size_of::<Slots>() <= 48);
    assert!(size_of::<Outlet>() <= 24);
    assert!(size_of::<Turn>() <= 24);
    assert!(size_of::<Mailbox<()>>() <= 224 + 56);
};

const fn is_send<T: Send>() {}
const fn is_sync<T: Sync>() {}

// The sides of a cell cross threads if what is in it moves, which need not be `Sync`.
const _: () = {
    is_send::<Letter<Moves, Moves>>();
    is_send::<Receipt<Moves, Moves>>();
    is_send::<Duty<Moves, Moves>>();
    is_send::<Witness<Moves, Moves>>();
    is_sync::<Receipt<Moves, Moves>>();
    is_send::<Envelope<Moves>>();
    is_send::<Tenancy>();
    // The rest of a cell is no parameter of its proof.
    is_send::<Terms>();
    is_sync::<Terms>();
    is_send::<Waker>();
    is_sync::<Waker>();
};

// Senders share a mailbox whose state only moves.
const _: () = {
    is_send::<Mailbox<Moves>>();
    is_sync::<Mailbox<Moves>>();
};

/// Does not compile if `$type` is `$auto`: the method is found twice.
macro_rules! is_not {
    ($auto:ident: $($type:ty),+) => {$(
        const _: fn() = || {
            trait Twice<A> {
                fn found() {}
            }
            impl<T: ?Sized> Twice<()> for T {}
            struct Auto;
            impl<T: ?Sized + $auto> Twice<Auto> for T {}
            let _ = <$type as Twice<_>>::found;
        };
    )+};
}

is_not!(Send: Letter<Stays, u8>, Receipt<u8, Stays>, Duty<Stays, u8>, Mailbox<Stays>);
is_not!(Sync: Letter<Stays, u8>, Receipt<u8, Stays>, Mailbox<Stays>);
// The seat is used where the turn is taken.
is_not!(Send: Seated<'static, Moves>);
is_not!(Sync: Seated<'static, Moves>);
