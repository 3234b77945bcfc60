//! Senders against what ends a mailbox, and against each other for its slots.

use super::toy::{Answer, LetterOf, Note, actor, ask, assert_settled, large_model, model, tell};
use crate::mailbox::{Level, Refused};
use loom::future::block_on;
use loom::sync::Arc;
use loom::thread;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

#[test]
fn a_send_against_each_end() {
    for level in [Level::Drain, Level::Stop, Level::Kill] {
        model(move || {
            let (mailbox, task, log) = actor(4);
            let sender = {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || tell(&mailbox, 1))
            };
            let ender = {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || mailbox.raise(level))
            };
            task.run();
            let sent = sender.join().unwrap();
            assert!(ender.join().unwrap());
            let account = mailbox.account();
            assert_settled(&account);
            assert_eq!(account.accepted, u64::from(sent));
            if level == Level::Drain {
                assert_eq!(log.handled().len(), usize::from(sent), "{account}");
            }
        });
    }
}

/// What the last handle does when it is dropped, against a send of another.
#[test]
fn sends_against_the_drop_of_the_last_handle() {
    struct Anchor(super::toy::Shared);

    impl Drop for Anchor {
        fn drop(&mut self) {
            self.0.raise(Level::Drain);
        }
    }

    model(|| {
        let (mailbox, task, log) = actor(4);
        let handle = Arc::new(Anchor(Arc::clone(&mailbox)));
        let other = Arc::clone(&handle);
        let first = thread::spawn(move || assert!(tell(&handle.0, 1)));
        let second = thread::spawn(move || assert!(tell(&other.0, 2)));
        task.run();
        first.join().unwrap();
        second.join().unwrap();
        assert_settled(&mailbox.account());
        let mut handled = log.handled();
        handled.sort_unstable();
        assert_eq!(handled, [1, 2]);
    });
}

#[test]
fn two_senders_keep_their_order_and_are_woken_for() {
    large_model(|| {
        let (mailbox, task, log) = actor(4);
        let sender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                assert!(tell(&mailbox, 1));
                assert!(tell(&mailbox, 2));
            })
        };
        let ender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                assert!(tell(&mailbox, 3));
                sender.join().unwrap();
                mailbox.raise(Level::Drain);
            })
        };
        task.run();
        ender.join().unwrap();
        let handled = log.handled();
        let at = |n| handled.iter().position(|&it| it == n).expect("handled");
        assert!(at(1) < at(2), "{handled:?}");
        assert_eq!(handled.len(), 3);
    });
}

#[test]
fn a_permit_against_a_drain() {
    model(|| {
        let (mailbox, task, log) = actor(1);
        let reserved = mailbox.poll_reserve(&mut None, &Context::from_waker(Waker::noop()));
        assert!(matches!(reserved, Poll::Ready(Ok(()))));
        let sender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(
                move || match mailbox.push_reserved(LetterOf::tell(Note::new(1))) {
                    Ok(()) => true,
                    Err(letter) => {
                        drop(letter.take_back(None));
                        false
                    }
                },
            )
        };
        let ender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.raise(Level::Drain))
        };
        task.run();
        let sent = sender.join().unwrap();
        ender.join().unwrap();
        assert_settled(&mailbox.account());
        assert_eq!(log.handled().len(), usize::from(sent));
    });
}

#[test]
fn a_wait_for_room_ends_with_a_slot_or_with_the_mailbox() {
    model(|| {
        let (mailbox, task, log) = actor(1);
        assert!(tell(&mailbox, 1));
        let sender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                let mut ticket = None;
                let room = block_on(poll_fn(|cx| mailbox.poll_reserve(&mut ticket, cx)));
                match room {
                    Ok(()) => mailbox
                        .push_reserved(LetterOf::tell(Note::new(2)))
                        .map_err(|letter| drop(letter.take_back(None)))
                        .is_ok(),
                    Err(refused) => {
                        assert_eq!(refused, Refused::Closed);
                        false
                    }
                }
            })
        };
        let ender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.raise(Level::Drain))
        };
        task.run();
        let sent = sender.join().unwrap();
        ender.join().unwrap();
        assert_settled(&mailbox.account());
        assert_eq!(log.handled().len(), 1 + usize::from(sent));
    });
}

#[test]
fn a_wait_for_room_that_is_dropped_passes_its_slot_on() {
    model(|| {
        let (mailbox, mut task, _) = actor(1);
        assert!(tell(&mailbox, 1));
        let mut first = None;
        let cx = Context::from_waker(Waker::noop());
        assert!(mailbox.poll_reserve(&mut first, &cx).is_pending());
        let second = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                let mut ticket = None;
                block_on(poll_fn(|cx| mailbox.poll_reserve(&mut ticket, cx))).is_ok()
            })
        };
        let leaver = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.leave(first.expect("it waits")))
        };
        task.settle();
        leaver.join().unwrap();
        assert!(second.join().unwrap());
        assert!(!tell(&mailbox, 2), "the one slot is taken");
        mailbox.release();
        assert!(tell(&mailbox, 2), "and nothing else is left behind");
    });
}

#[test]
fn an_ask_is_answered_or_given_back_however_the_actor_ends() {
    for level in [Level::Drain, Level::Stop, Level::Kill] {
        large_model(move || {
            let (mailbox, task, _) = actor(4);
            let asker = {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || ask(&mailbox, Note::new(1)))
            };
            let ender = {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || mailbox.raise(level))
            };
            task.run();
            let answer = asker.join().unwrap();
            ender.join().unwrap();
            assert_settled(&mailbox.account());
            if level == Level::Drain {
                assert!(matches!(answer, None | Some(Answer::Done(1))));
            }
        });
    }
}
