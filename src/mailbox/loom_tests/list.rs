//! The list of accepted messages alone.

use super::toy::model;
use crate::mailbox::queue::{Header, Queue, kind_of};
use loom::alloc::Track;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use std::ptr::{self, NonNull};

#[repr(C)]
struct Node {
    header: Header,
    n: UnsafeCell<usize>,
    _allocated: Track<()>,
}

static KINDS: [u8; 4] = [0; 4];

fn push(queue: &Queue, n: usize) {
    let node = Box::new(Node {
        header: Header::new(),
        n: UnsafeCell::new(0),
        _allocated: Track::new(()),
    });
    // SAFETY: nobody else has it yet.
    node.n.with_mut(|own| unsafe { *own = n });
    let header = NonNull::from(Box::leak(node)).cast();
    // SAFETY: valid, and in no queue.
    unsafe { queue.push(header, ptr::from_ref(&KINDS[n]).cast()) };
}

/// Takes a node that was pushed.
fn pop(queue: &Queue) -> usize {
    // SAFETY: one thread pops, and only what was pushed.
    let header = unsafe { queue.pop_accepted() };
    // SAFETY: popped, and given to nobody.
    let kind = unsafe { kind_of(header) };
    // SAFETY: it came from a box of a node, and nobody else has it.
    let node = unsafe { Box::from_raw(header.cast::<Node>().as_ptr()) };
    // SAFETY: as above.
    let n = node.n.with(|n| unsafe { *n });
    assert!(ptr::eq(kind.cast(), &raw const KINDS[n]), "its own kind");
    n
}

#[test]
fn what_was_pushed_is_popped_whole_once_and_in_order() {
    model(|| {
        let queue = Arc::new(Queue::new());
        let other = Arc::clone(&queue);
        let third = Arc::clone(&queue);
        let pushes = thread::spawn(move || {
            push(&other, 0);
            push(&other, 1);
        });
        let push_one = thread::spawn(move || push(&third, 2));
        let popped = [pop(&queue), pop(&queue), pop(&queue)];
        pushes.join().unwrap();
        push_one.join().unwrap();
        let at = |n| popped.iter().position(|&it| it == n).expect("popped");
        assert!(at(0) < at(1) && popped.contains(&2), "{popped:?}");
        // SAFETY: nobody else pops.
        assert!(unsafe { queue.pop() }.is_none() && !queue.has_first());
    });
}

#[test]
fn a_look_at_the_first_finds_it_whole() {
    model(|| {
        let queue = Arc::new(Queue::new());
        let other = Arc::clone(&queue);
        let pushes = thread::spawn(move || {
            push(&other, 0);
            push(&other, 1);
        });
        for n in 0..2 {
            // SAFETY: one thread pops and looks.
            if let Some(kind) = unsafe { queue.peek() } {
                assert!(ptr::eq(kind.cast(), &raw const KINDS[n]));
            }
            assert_eq!(pop(&queue), n);
        }
        pushes.join().unwrap();
    });
}
