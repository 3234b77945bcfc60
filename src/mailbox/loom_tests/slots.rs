//! The slots alone: senders that go by what had left some time ago, against the receiver.

use super::toy::model;
use crate::mailbox::Refused;
use crate::mailbox::outlet::Outlet;
use crate::mailbox::slots::Slots;
use loom::future::block_on;
use loom::sync::Arc;
use loom::thread::{self, JoinHandle};
use std::future::poll_fn;

struct Both {
    slots: Slots,
    outlet: Outlet,
}

impl Both {
    /// No slot is free, and no sender has looked at what has left.
    fn full(capacity: usize) -> Arc<Self> {
        let both = Self {
            slots: Slots::new(capacity),
            outlet: Outlet::default(),
        };
        for _ in 0..capacity {
            assert_eq!(both.accept(), Ok(()));
        }
        Arc::new(both)
    }

    /// What the receiver does, but for the queue.
    fn receive(&self) {
        if self.outlet.take().is_waited_for() {
            self.slots.grant(&self.outlet);
        }
    }

    fn accept(&self) -> Result<(), Refused> {
        self.slots.accept(&self.outlet)
    }
}

fn sender(both: &Arc<Both>) -> JoinHandle<bool> {
    let both = Arc::clone(both);
    thread::spawn(move || both.accept().is_ok())
}

#[test]
fn each_slot_that_a_message_leaves_is_taken_once() {
    model(|| {
        let both = Both::full(1);
        let senders = [sender(&both), sender(&both)];
        assert!(both.outlet.take().are_none());
        let [first, second] = senders.map(|it| it.join().unwrap());
        assert!(!(first && second), "there is one slot");
        assert_eq!(
            both.accept().is_ok(),
            !(first || second),
            "and it is free until it is taken"
        );
        assert_eq!(both.accept(), Err(Refused::Full));
    });
}

/// What is remembered goes back: one sender looks, another that looks later remembers first.
#[test]
fn a_sender_that_remembers_late_gives_no_slot_away_twice() {
    model(|| {
        let both = Both::full(1);
        let slow = sender(&both);
        both.receive();
        let mut queued = 0;
        if both.accept().is_ok() {
            both.receive();
            queued += u32::from(both.accept().is_ok());
        }
        queued += u32::from(slow.join().unwrap());
        assert!(queued <= 1, "there is one slot");
        assert_eq!(both.accept().is_ok(), queued == 0);
    });
}

#[test]
fn a_slot_goes_to_who_waits_or_to_who_comes_and_to_nobody_else() {
    model(|| {
        let both = Both::full(1);
        let comer = sender(&both);
        let waiter = {
            let both = Arc::clone(&both);
            thread::spawn(move || {
                let mut ticket = None;
                let wait = poll_fn(|cx| both.slots.poll_line(&mut ticket, cx, &both.outlet));
                assert_eq!(block_on(wait), Ok(()));
                assert_eq!(both.accept(), Err(Refused::Full), "it has the only slot");
                assert!(both.slots.accept_reserved());
            })
        };
        both.receive();
        // If another has come before it, the waiter needs this one's slot.
        let has_come = comer.join().unwrap();
        if has_come {
            both.receive();
        }
        waiter.join().unwrap();
        assert_eq!(both.accept(), Err(Refused::Full));
        assert_eq!(both.slots.high_water(2), 1);
    });
}

#[test]
fn a_sender_finds_no_room_only_if_there_was_none() {
    model(|| {
        let both = Both::full(2);
        both.receive();
        both.receive();
        // Another message comes and leaves, and one more comes: never is more than one slot taken by them.
        let others = {
            let both = Arc::clone(&both);
            thread::spawn(move || {
                assert_eq!(both.accept(), Ok(()));
                both.receive();
                both.accept()
            })
        };
        assert_eq!(both.accept(), Ok(()));
        assert_eq!(others.join().unwrap(), Ok(()));
        assert_eq!(both.accept(), Err(Refused::Full));
    });
}
