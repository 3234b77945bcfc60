//! Senders that push the oldest message out, against whoever else takes it, waits for its slot or ends the mailbox.

use super::toy::{
    Answer, Begun, LetterOf, Note, ReceiptOf, Shared, Task, actor, ask, assert_settled, begin,
    give_up, large_model, model, tell, tell_evicting,
};
use crate::mailbox::{Level, Refused};
use loom::future::block_on;
use loom::sync::Arc;
use loom::thread::{self, JoinHandle};
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

/// An actor that evicts and is full: its messages are numbered from 1.
fn full(capacity: u32) -> (Shared, Task, super::toy::Log) {
    let (mailbox, task, log) = actor(capacity as usize);
    mailbox.set_evicts();
    for n in 1..=capacity {
        assert!(tell(&mailbox, n));
    }
    (mailbox, task, log)
}

fn evicting(mailbox: &Shared, n: u32) -> JoinHandle<Result<(), Refused>> {
    let mailbox = Arc::clone(mailbox);
    thread::spawn(move || tell_evicting(&mailbox, n))
}

fn answer(mut receipt: ReceiptOf) -> Answer {
    block_on(poll_fn(|cx| receipt.poll_answer(cx)))
}

#[test]
fn the_oldest_is_either_evicted_or_handled() {
    model(|| {
        let (mailbox, task, log) = actor(1);
        mailbox.set_evicts();
        let Begun::Accepted(receipt) = begin(&mailbox, Note::new(1)) else {
            panic!("there is room, and nobody has rested yet");
        };
        let sender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                assert_eq!(tell_evicting(&mailbox, 2), Ok(()));
                mailbox.raise(Level::Drain);
            })
        };
        task.run();
        sender.join().unwrap();
        let account = mailbox.account();
        assert_settled(&account);
        let handled = log.handled();
        match answer(receipt) {
            Answer::Done(1) => assert_eq!((handled.as_slice(), account.evicted), (&[1, 2][..], 0)),
            _ => assert_eq!((handled.as_slice(), account.evicted), (&[2][..], 1)),
        }
    });
}

#[test]
fn two_senders_evict_two_messages_and_not_one_twice() {
    model(|| {
        let (mailbox, task, log) = full(2);
        let senders = [3, 4].map(|n| evicting(&mailbox, n));
        for sender in senders {
            assert_eq!(sender.join().unwrap(), Ok(()));
        }
        mailbox.raise(Level::Drain);
        task.run();
        let account = mailbox.account();
        assert_settled(&account);
        assert_eq!((account.accepted, account.evicted), (4, 2));
        let mut handled = log.handled();
        handled.sort_unstable();
        assert_eq!(handled, [3, 4]);
    });
}

#[test]
fn two_senders_and_the_receiver() {
    large_model(|| {
        let (mailbox, task, log) = full(1);
        let senders = [2, 3].map(|n| evicting(&mailbox, n));
        let ender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                for sender in senders {
                    assert_eq!(sender.join().unwrap(), Ok(()));
                }
                mailbox.raise(Level::Drain);
            })
        };
        task.run();
        ender.join().unwrap();
        let account = mailbox.account();
        assert_settled(&account);
        assert_eq!(account.accepted, 3, "{account}");
        assert_eq!(account.ok, log.handled().len() as u64, "{account}");
    });
}

/// A sender that stands between being accepted and being queued is waited for, and its message may be the one that
/// is evicted.
#[test]
fn a_message_may_be_evicted_before_its_send_has_returned() {
    model(|| {
        let (mailbox, mut task, log) = actor(1);
        mailbox.set_evicts();
        task.settle();
        let first = evicting(&mailbox, 1);
        assert_eq!(tell_evicting(&mailbox, 2), Ok(()));
        assert_eq!(first.join().unwrap(), Ok(()));
        mailbox.raise(Level::Drain);
        task.run();
        let account = mailbox.account();
        assert_settled(&account);
        assert_eq!((account.accepted, account.evicted), (2, 1), "{account}");
        assert_eq!(log.handled().len(), 1);
    });
}

/// The account that the receiver reads when it has ended is the final one, whatever evictors are at.
#[test]
fn an_eviction_against_each_end() {
    for level in [Level::Drain, Level::Stop, Level::Kill] {
        model(move || {
            let (mailbox, task, _) = full(1);
            let sender = evicting(&mailbox, 2);
            let ender = {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || mailbox.raise(level))
            };
            task.run();
            let account = mailbox.account();
            assert_settled(&account);
            let sent = sender.join().unwrap();
            ender.join().unwrap();
            assert!(matches!(sent, Ok(()) | Err(Refused::Closed)), "{sent:?}");
            assert_eq!(mailbox.account(), account);
            assert_eq!(account.accepted, 1 + u64::from(sent.is_ok()), "{account}");
        });
    }
}

#[test]
fn an_eviction_against_the_drop_of_the_last_handle() {
    struct Anchor(Shared);

    impl Drop for Anchor {
        fn drop(&mut self) {
            self.0.raise(Level::Drain);
        }
    }

    model(|| {
        let (mailbox, task, log) = full(1);
        let handle = Arc::new(Anchor(Arc::clone(&mailbox)));
        let other = Arc::clone(&handle);
        let first = thread::spawn(move || assert_eq!(tell_evicting(&handle.0, 2), Ok(())));
        drop(other);
        task.run();
        first.join().unwrap();
        let account = mailbox.account();
        assert_settled(&account);
        assert_eq!((account.accepted, account.undelivered), (2, 0), "{account}");
        assert_eq!(log.handled().last(), Some(&2));
    });
}

#[test]
fn an_eviction_against_the_seizure_of_the_queue() {
    model(|| {
        let (mailbox, task, _) = full(1);
        let sender = evicting(&mailbox, 2);
        let thief = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                mailbox.raise(Level::Kill);
                give_up(&mailbox);
            })
        };
        task.run();
        let sent = sender.join().unwrap();
        thief.join().unwrap();
        let account = mailbox.account();
        assert_settled(&account);
        assert_eq!(account.accepted, 1 + u64::from(sent.is_ok()), "{account}");
    });
}

#[test]
fn an_eviction_against_a_batch() {
    model(|| {
        let (mailbox, mut task, _) = full(2);
        let sender = evicting(&mailbox, 3);
        let mut batch = task.take_batch();
        assert_eq!(sender.join().unwrap(), Ok(()));
        batch.extend(task.take_batch());
        mailbox.raise(Level::Drain);
        task.run();
        let account = mailbox.account();
        assert_settled(&account);
        assert_eq!((account.accepted, account.ok), (3, batch.len() as u64));
        assert!(
            [&[1, 2, 3][..], &[2, 3]].contains(&batch.as_slice()),
            "{batch:?}"
        );
    });
}

#[test]
fn an_eviction_against_a_batch_and_the_seizure_of_the_queue() {
    large_model(|| {
        let (mailbox, mut task, _) = full(1);
        let sender = evicting(&mailbox, 2);
        let thief = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                mailbox.raise(Level::Kill);
                give_up(&mailbox);
            })
        };
        task.take_batch();
        sender.join().unwrap().ok();
        thief.join().unwrap();
        assert_settled(&mailbox.account());
        task.run();
        assert_settled(&mailbox.account());
    });
}

/// An asker gives up at the moment at which its message is evicted: it counts as one of the two.
#[test]
fn an_eviction_against_the_asker_that_gives_up() {
    model(|| {
        let (mailbox, task, _) = actor(1);
        mailbox.set_evicts();
        let (letter, receipt) = LetterOf::ask(Note::new(1), None);
        assert!(mailbox.try_push(letter).is_ok());
        let sender = evicting(&mailbox, 2);
        receipt.abandon(false);
        assert_eq!(sender.join().unwrap(), Ok(()));
        let account = mailbox.account();
        assert_eq!(
            (
                account.accepted,
                account.evicted + account.abandoned,
                account.queued
            ),
            (2, 1, 1),
            "{account}"
        );
        mailbox.raise(Level::Drain);
        task.run();
        assert_settled(&mailbox.account());
    });
}

/// An asker runs its handler in place, which waits, and the task takes over, while others evict behind it.
#[test]
fn evictions_behind_a_handler_that_was_taken_over() {
    large_model(|| {
        let (mailbox, mut task, log) = actor(1);
        mailbox.set_evicts();
        task.settle();
        let asker = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || ask(&mailbox, Note::waiting(1, 1)))
        };
        let sender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                assert_eq!(tell_evicting(&mailbox, 2), Ok(()));
                assert_eq!(tell_evicting(&mailbox, 3), Ok(()));
                asker.join().unwrap();
                mailbox.raise(Level::Drain);
            })
        };
        task.run();
        sender.join().unwrap();
        let account = mailbox.account();
        assert_settled(&account);
        assert!(log.handled().contains(&3));
    });
}

/// A permit is not evicted, and whoever waits for one gets the slot that the receiver frees.
#[test]
fn evictions_against_permits_and_who_waits_for_one() {
    large_model(|| {
        let (mailbox, task, log) = actor(1);
        mailbox.set_evicts();
        let reserved = mailbox.poll_reserve(&mut None, &Context::from_waker(Waker::noop()));
        assert!(matches!(reserved, Poll::Ready(Ok(()))));
        let waiter = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                let mut ticket = None;
                let reserved = block_on(poll_fn(|cx| mailbox.poll_reserve(&mut ticket, cx)));
                assert_eq!(reserved, Ok(()));
                assert_eq!(tell_evicting(&mailbox, 2), Err(Refused::Full));
                assert!(mailbox.push_reserved(LetterOf::tell(Note::new(3))).is_ok());
                mailbox.raise(Level::Drain);
            })
        };
        let sender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                assert!(mailbox.push_reserved(LetterOf::tell(Note::new(1))).is_ok());
            })
        };
        task.run();
        waiter.join().unwrap();
        sender.join().unwrap();
        assert_settled(&mailbox.account());
        assert_eq!(log.handled(), [1, 3]);
    });
}
