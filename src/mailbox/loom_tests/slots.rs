//! The slots alone: senders that go by what had left some time ago, against the receiver.

use super::toy::model;
use crate::mailbox::Refused;
use crate::mailbox::outlet::Outlet;
use crate::mailbox::slots::Slots;
use loom::sync::Arc;
use loom::thread::{self, JoinHandle};

struct Both {
    slots: Slots,
    outlet: Outlet,
}

impl Both {
    /// Full, as senders know: its last message was accepted.
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

#[test]
fn a_sender_finds_no_room_only_if_there_was_none() {
    model(|| {
        let both = Both::full(2);
        assert!(both.outlet.take().are_none());
        // From now on at most one slot is taken besides this sender's.
        let receiver = {
            let both = Arc::clone(&both);
            thread::spawn(move || {
                assert!(both.outlet.take().are_none());
                both.accept()
            })
        };
        assert_eq!(both.accept(), Ok(()));
        assert_eq!(receiver.join().unwrap(), Ok(()));
        assert_eq!(both.accept(), Err(Refused::Full));
    });
}
