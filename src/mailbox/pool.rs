//! Memory for cells and for what runs in a seat, used again instead of going back to the allocator.
//!
//! A cell is made by its sender and freed by its actor, mostly on another thread, and in bursts as long as a
//! mailbox is deep: the case that general allocators serve worst. Here each thread keeps a shelf for each size of
//! cell, and exchanges whole magazines of them with the other threads through a depot, as in Bonwick and Adams,
//! "Magazines and Vmem" (USENIX 2001).
//!
//! ```text
//!   thread          thread            depot
//!  ┌────────────┐  ┌────────────┐   ┌────────────────────┐
//!  │ shelf      │  │ shelf      │ ◄►│ full, full, full … │ ◄► the global allocator
//!  └────────────┘  └────────────┘   └────────────────────┘
//! ```
//!
//! What is kept has a bound. For each of the [`SIZES`] sizes up to [`MAX_SIZE`] bytes it is two magazines of [`FULL`]
//! for each thread, which are given up at the thread's end, and [`DEPOT`] magazines for the process. Larger cells come
//! from the allocator. The lists themselves take 8 KiB for each thread, and 256 KiB for the process.
//!
//! With debug assertions, under miri and under loom every cell comes from the allocator, so that checkers of memory
//! see the end of each.

use super::lock;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::Mutex;

/// Whether cells come from here.
const IS_USED: bool = !cfg!(any(debug_assertions, miri, postroom_loom));

/// Sizes are multiples of this, which is also the alignment.
const STEP: usize = 16;
/// The largest size that is kept.
const MAX_SIZE: usize = 256;
/// How many sizes are kept.
const SIZES: usize = MAX_SIZE / STEP;
/// How many pieces a magazine has.
const FULL: usize = 32;
/// How many magazines of each size the depot keeps.
const DEPOT: usize = 64;

/// Memory for a `T`, which is not written.
#[inline]
pub(super) fn take<T>() -> NonNull<T> {
    match const { size_of_pieces::<T>() } {
        Some(size) => take_piece(size).cast(),
        None => allocate(Layout::new::<T>()).cast(),
    }
}

/// Gives memory back.
///
/// # Safety
/// `place` came from [`take`] for the same type, what was in it is dropped, and the caller gives it away.
#[inline]
pub(super) unsafe fn give<T>(place: NonNull<T>) {
    // SAFETY: `take` got it in the same way.
    unsafe {
        match const { size_of_pieces::<T>() } {
            Some(size) => give_piece(size, place.cast()),
            None => dealloc(place.as_ptr().cast(), Layout::new::<T>()),
        }
    }
}

/// Room of at least this layout, and the layout that it has.
#[inline]
pub(super) fn take_room(wanted: Layout) -> (NonNull<u8>, Layout) {
    if let Some(steps) = size_of_pieces_for(wanted) {
        return (take_piece(steps), layout(steps));
    }
    // No allocator serves a size of 0.
    let layout = if wanted.size() == 0 {
        layout(1)
    } else {
        wanted
    };
    (allocate(layout), layout)
}

/// Gives room back.
///
/// # Safety
/// `place` came from [`take_room`] with this layout, nothing is in it, and the caller gives it away.
#[inline]
pub(super) unsafe fn give_room(place: NonNull<u8>, layout: Layout) {
    // SAFETY: `take_room` got it in the same way: the layout that it returned is served as the one that was wanted.
    unsafe {
        match size_of_pieces_for(layout) {
            Some(steps) => give_piece(steps, place),
            None => dealloc(place.as_ptr(), layout),
        }
    }
}

/// Whether room of this layout costs next to nothing to take again. Not empty.
#[inline]
pub(super) const fn keeps(layout: Layout) -> bool {
    steps_of(layout).is_some()
}

/// The size, in steps, of the pieces that serve a `T`. `None`: the allocator does.
const fn size_of_pieces<T>() -> Option<usize> {
    size_of_pieces_for(Layout::new::<T>())
}

const fn size_of_pieces_for(layout: Layout) -> Option<usize> {
    if IS_USED { steps_of(layout) } else { None }
}

const fn steps_of(layout: Layout) -> Option<usize> {
    let steps = layout.size().div_ceil(STEP);
    if steps > 0 && steps <= SIZES && layout.align() <= STEP {
        Some(steps)
    } else {
        None
    }
}

const fn layout(steps: usize) -> Layout {
    match Layout::from_size_align(steps * STEP, STEP) {
        Ok(layout) => layout,
        Err(_) => panic!("sizes and their alignment are powers and multiples of the step"),
    }
}

fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: no layout here is of size 0: a cell has a header, and a piece at least one step.
    let place = unsafe { alloc(layout) };
    NonNull::new(place).unwrap_or_else(|| handle_alloc_error(layout))
}

#[inline]
fn take_piece(steps: usize) -> NonNull<u8> {
    let kept = RACK.try_with(|rack| rack.0[steps - 1].take(steps));
    // A thread at its end has no rack any more.
    kept.ok()
        .flatten()
        .unwrap_or_else(|| allocate(layout(steps)))
}

/// # Safety
/// `piece` has this size, is owned by the caller, and is given away by this.
#[inline]
unsafe fn give_piece(steps: usize, piece: NonNull<u8>) {
    // SAFETY: by the contract of this function.
    let kept = RACK.try_with(|rack| unsafe { rack.0[steps - 1].give(steps, piece) });
    if kept.is_err() {
        // SAFETY: a piece of this size was allocated with this layout.
        unsafe { dealloc(piece.as_ptr(), layout(steps)) };
    }
}

thread_local! {
    static RACK: Rack = const { Rack([const { Shelf::new() }; SIZES]) };
}

static DEPOTS: [Mutex<Depot>; SIZES] = [const { Mutex::new(Depot::new()) }; SIZES];

/// Full of pieces of one size, which it owns.
#[derive(Clone, Copy)]
struct Magazine([*mut u8; FULL]);

// SAFETY: nobody else has a magazine's pieces.
unsafe impl Send for Magazine {}

impl Magazine {
    const EMPTY: Self = Self([ptr::null_mut(); FULL]);

    /// Leaves it to other threads if they do not have many, else gives its pieces back to the allocator.
    fn put_away(self, steps: usize) {
        let is_kept = lock(&DEPOTS[steps - 1]).push(self);
        if !is_kept {
            for piece in self.0 {
                // SAFETY: the magazine owns its pieces, which were allocated with the layout of their size.
                unsafe { dealloc(piece, layout(steps)) };
            }
        }
    }
}

/// What one thread keeps, by size.
struct Rack([Shelf; SIZES]);

impl Drop for Rack {
    fn drop(&mut self) {
        for (shelf, steps) in self.0.iter().zip(1..) {
            shelf.clear(steps);
        }
    }
}

/// What one thread keeps of one size: the youngest last. Nothing is borrowed while the depot or the allocator is called,
/// for an allocator may be anything, even one that sends messages.
///
/// Pieces are listed here and not linked by what is in them: to know the next, a thread would have to wait for memory that
/// another has freed, once to read it and once more to write it.
struct Shelf {
    pieces: [Cell<*mut u8>; 2 * FULL],
    len: Cell<usize>,
}

impl Shelf {
    const fn new() -> Self {
        Self {
            pieces: [const { Cell::new(ptr::null_mut()) }; 2 * FULL],
            len: Cell::new(0),
        }
    }

    #[inline]
    fn take(&self, steps: usize) -> Option<NonNull<u8>> {
        let Some(last) = self.len.get().checked_sub(1) else {
            return self.refill(steps);
        };
        self.len.set(last);
        NonNull::new(self.pieces.get(last)?.get())
    }

    #[cold]
    fn refill(&self, steps: usize) -> Option<NonNull<u8>> {
        let magazine = lock(&DEPOTS[steps - 1]).pop()?;
        for (place, piece) in self.pieces.iter().zip(magazine.0) {
            place.set(piece);
        }
        self.len.set(FULL);
        self.take(steps)
    }

    /// # Safety
    /// `piece` has this size, is owned by the caller, and is given away by this.
    #[inline]
    unsafe fn give(&self, steps: usize, piece: NonNull<u8>) {
        let mut len = self.len.get();
        while len == 2 * FULL {
            self.pass_on(steps);
            len = self.len.get();
        }
        self.pieces[len].set(piece.as_ptr());
        self.len.set(len + 1);
    }

    /// Passes the oldest on.
    #[cold]
    fn pass_on(&self, steps: usize) {
        let (oldest, others) = self.pieces.split_at(FULL);
        let mut magazine = Magazine::EMPTY;
        for ((place, other), passed) in oldest.iter().zip(others).zip(&mut magazine.0) {
            *passed = place.replace(other.get());
        }
        self.len.set(FULL);
        magazine.put_away(steps);
    }

    /// Gives everything up.
    fn clear(&self, steps: usize) {
        if self.len.get() == 2 * FULL {
            self.pass_on(steps);
        }
        while let Some(last) = self.len.get().checked_sub(1) {
            self.len.set(last);
            // SAFETY: the shelf owns its pieces, which were allocated with the layout of their size.
            unsafe { dealloc(self.pieces[last].get(), layout(steps)) };
        }
    }
}

/// Full magazines of one size, for every thread.
struct Depot {
    magazines: [Magazine; DEPOT],
    len: usize,
}

impl Depot {
    const fn new() -> Self {
        Self {
            magazines: [Magazine::EMPTY; DEPOT],
            len: 0,
        }
    }

    fn pop(&mut self) -> Option<Magazine> {
        self.len = self.len.checked_sub(1)?;
        Some(self.magazines[self.len])
    }

    /// False if there is no room: the magazine remains the caller's.
    fn push(&mut self, magazine: Magazine) -> bool {
        let Some(place) = self.magazines.get_mut(self.len) else {
            return false;
        };
        *place = magazine;
        self.len += 1;
        true
    }
}

#[cfg(all(test, not(postroom_loom)))]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::mpsc::sync_channel;
    use std::thread;

    /// A size that no cell of these tests' other threads has: debug builds take none from here.
    const STEPS: usize = SIZES;

    fn is_apart(pieces: &[NonNull<u8>]) -> bool {
        let starts: HashSet<_> = pieces.iter().map(|piece| piece.addr()).collect();
        let aligned = pieces.iter().all(|piece| piece.addr().get() % STEP == 0);
        starts.len() == pieces.len() && aligned
    }

    fn mark(n: usize) -> u8 {
        n.to_le_bytes()[0]
    }

    fn fill(piece: NonNull<u8>, with: u8) {
        // SAFETY: the piece is the caller's, and so large.
        unsafe { piece.write_bytes(with, STEPS * STEP) };
    }

    fn is_full_of(piece: NonNull<u8>, with: u8) -> bool {
        // SAFETY: the piece is the caller's, so large, and was filled.
        let bytes = unsafe { std::slice::from_raw_parts(piece.as_ptr(), STEPS * STEP) };
        bytes.iter().all(|byte| *byte == with)
    }

    #[test]
    fn what_is_taken_belongs_to_one() {
        // More than the thread and the depot keep, so that every way is taken.
        let many = (DEPOT + 4) * FULL;
        for round in 0..3_u8 {
            let pieces: Vec<_> = (0..many).map(|_| take_piece(STEPS)).collect();
            assert!(is_apart(&pieces));
            for (piece, n) in pieces.iter().zip(0_usize..) {
                fill(*piece, mark(n) ^ round);
            }
            for (piece, n) in pieces.iter().zip(0_usize..) {
                assert!(is_full_of(*piece, mark(n) ^ round));
            }
            for piece in pieces {
                // SAFETY: taken above, and given once.
                unsafe { give_piece(STEPS, piece) };
            }
            assert!(lock(&DEPOTS[STEPS - 1]).len <= DEPOT);
        }
    }

    #[test]
    fn what_one_thread_gives_another_takes() {
        struct Sent(NonNull<u8>);
        // SAFETY: the piece goes from one owner to the next.
        unsafe impl Send for Sent {}
        let (sender, receiver) = sync_channel::<Sent>(FULL * 3);
        thread::scope(|scope| {
            scope.spawn(move || {
                for n in 0..20 * FULL {
                    let piece = take_piece(STEPS);
                    fill(piece, mark(n));
                    if sender.send(Sent(piece)).is_err() {
                        return;
                    }
                }
            });
            scope.spawn(move || {
                for (Sent(piece), n) in receiver.iter().zip(0_usize..) {
                    assert!(is_full_of(piece, mark(n)));
                    // SAFETY: received, and so this thread's.
                    unsafe { give_piece(STEPS, piece) };
                }
            });
        });
    }

    #[test]
    fn a_piece_is_used_again_at_once() {
        thread::spawn(|| {
            let piece = take_piece(STEPS);
            // SAFETY: just taken.
            unsafe { give_piece(STEPS, piece) };
            let again = take_piece(STEPS);
            assert_eq!(again, piece);
            // SAFETY: just taken.
            unsafe { give_piece(STEPS, again) };
        })
        .join()
        .unwrap();
    }
}
