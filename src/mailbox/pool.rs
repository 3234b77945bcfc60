//! Memory for cells and for what runs in a seat, used again instead of going back to the allocator.
//!
//! A cell is made by its sender and freed by its actor, mostly on another thread, and in bursts as long as a
//! mailbox is deep: the case that general allocators serve worst. Here each thread keeps two stacks for each size of
//! cell, and exchanges whole stacks with the other threads through a depot: the magazines of Bonwick and Adams,
//! "Magazines and Vmem" (USENIX 2001).
//!
//! ```text
//!   thread             thread               depot
//!  ┌────────┬───────┐ ┌────────┬───────┐   ┌────────────────────┐
//!  │ loaded │ spare │ │ loaded │ spare │ ◄►│ full, full, full … │ ◄► the global allocator
//!  └────────┴───────┘ └────────┴───────┘   └────────────────────┘
//! ```
//!
//! What is kept has a bound. For each of the [`SIZES`] sizes up to [`MAX_SIZE`] bytes it is two stacks of [`FULL`]
//! for each thread, which are given up at the thread's end, and [`DEPOT`] stacks for the process. Larger cells come
//! from the allocator.
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
/// How many pieces a stack has when it is passed on.
const FULL: usize = 32;
/// How many stacks of each size the depot keeps.
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

/// A piece of memory that nobody uses.
struct Piece {
    below: *mut Piece,
}

/// Pieces of one size, which it owns.
#[derive(Clone, Copy)]
struct Stack {
    top: *mut Piece,
    len: usize,
}

// SAFETY: nobody else has a stack's pieces.
unsafe impl Send for Stack {}

impl Stack {
    const EMPTY: Self = Self {
        top: ptr::null_mut(),
        len: 0,
    };

    /// Gives every piece back to the allocator.
    fn free(mut self, steps: usize) {
        while !self.top.is_null() {
            let piece = self.top;
            // SAFETY: the stack owns its pieces, each of which says what is below it; they were allocated with the
            // layout of their size.
            unsafe {
                self.top = (*piece).below;
                dealloc(piece.cast(), layout(steps));
            }
        }
    }
}

/// What one thread keeps, by size.
struct Rack([Shelf; SIZES]);

impl Drop for Rack {
    fn drop(&mut self) {
        for (shelf, steps) in self.0.iter().zip(1..) {
            for stack in [&shelf.loaded, &shelf.spare] {
                put_away(steps, stack.replace(Stack::EMPTY));
            }
        }
    }
}

/// What one thread keeps of one size. Nothing is borrowed while the depot or the allocator is called, for an allocator
/// may be anything, even one that sends messages.
struct Shelf {
    loaded: Cell<Stack>,
    /// Full or empty.
    spare: Cell<Stack>,
}

impl Shelf {
    const fn new() -> Self {
        Self {
            loaded: Cell::new(Stack::EMPTY),
            spare: Cell::new(Stack::EMPTY),
        }
    }

    #[inline]
    fn take(&self, steps: usize) -> Option<NonNull<u8>> {
        let Stack { top, len } = self.loaded.get();
        let Some(piece) = NonNull::new(top) else {
            return self.refill(steps);
        };
        // SAFETY: the stack owns its pieces, which hold what `give` has written.
        let below = unsafe { piece.as_ref() }.below;
        self.loaded.set(Stack {
            top: below,
            len: len - 1,
        });
        Some(piece.cast())
    }

    #[cold]
    fn refill(&self, steps: usize) -> Option<NonNull<u8>> {
        let mut full = self.spare.replace(Stack::EMPTY);
        if full.top.is_null() {
            full = lock(&DEPOTS[steps - 1]).pop()?;
        }
        put_away(steps, self.loaded.replace(full));
        self.take(steps)
    }

    /// # Safety
    /// `piece` has this size, is owned by the caller, and is given away by this.
    #[inline]
    unsafe fn give(&self, steps: usize, piece: NonNull<u8>) {
        if self.loaded.get().len >= FULL {
            self.pass_on(steps);
        }
        let piece = piece.cast::<Piece>();
        let Stack { top, len } = self.loaded.get();
        // SAFETY: owned by the caller, and a step is as large and aligned as this.
        unsafe { piece.write(Piece { below: top }) };
        self.loaded.set(Stack {
            top: piece.as_ptr(),
            len: len + 1,
        });
    }

    #[cold]
    fn pass_on(&self, steps: usize) {
        let full = self.loaded.replace(Stack::EMPTY);
        put_away(steps, self.spare.replace(full));
    }
}

/// Leaves a stack to other threads if it is full and they do not have many, else to the allocator.
fn put_away(steps: usize, stack: Stack) {
    let is_kept = stack.len == FULL && lock(&DEPOTS[steps - 1]).push(stack);
    if !is_kept {
        stack.free(steps);
    }
}

/// Full stacks of one size, for every thread.
struct Depot {
    stacks: [Stack; DEPOT],
    len: usize,
}

impl Depot {
    const fn new() -> Self {
        Self {
            stacks: [Stack::EMPTY; DEPOT],
            len: 0,
        }
    }

    fn pop(&mut self) -> Option<Stack> {
        self.len = self.len.checked_sub(1)?;
        Some(self.stacks[self.len])
    }

    /// False if there is no room: the stack remains the caller's.
    fn push(&mut self, stack: Stack) -> bool {
        let Some(place) = self.stacks.get_mut(self.len) else {
            return false;
        };
        *place = stack;
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
