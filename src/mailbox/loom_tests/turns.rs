//! Askers that run a handler themselves, against the queue, the task and whatever ends it.

use super::toy::{
    Answer, FOR_EVER, Note, actor, ask, assert_settled, give_up, large_model, largest_model, model,
    tell,
};
use crate::mailbox::Level;
use loom::sync::Arc;
use loom::thread;

#[test]
fn two_askers_of_an_idle_actor_exclude_each_other() {
    large_model(|| {
        let (mailbox, mut task, log) = actor(4);
        task.settle();
        let askers = [1, 2].map(|n| {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                assert!(matches!(ask(&mailbox, Note::new(n)), Some(Answer::Done(it)) if it == n))
            })
        });
        let ender = Arc::clone(&mailbox);
        let ender = thread::spawn(move || {
            for asker in askers {
                asker.join().unwrap();
            }
            ender.raise(Level::Drain);
        });
        task.run();
        ender.join().unwrap();
        assert_settled(&mailbox.account());
        assert_eq!(log.handled().len(), 2);
    });
}

#[test]
fn an_asker_in_place_against_the_queue() {
    largest_model(|| {
        let (mailbox, mut task, log) = actor(4);
        task.settle();
        let asker = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || ask(&mailbox, Note::new(1)))
        };
        let sender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                assert!(tell(&mailbox, 2));
                // The one before was accepted before this began.
                assert!(matches!(ask(&mailbox, Note::new(3)), Some(Answer::Done(3))));
                assert!(matches!(asker.join().unwrap(), Some(Answer::Done(1))));
                mailbox.raise(Level::Drain);
            })
        };
        task.run();
        sender.join().unwrap();
        assert_settled(&mailbox.account());
        let handled = log.handled();
        let at = |n| handled.iter().position(|&it| it == n).expect("handled");
        assert!(at(2) < at(3), "{handled:?}");
        assert_eq!(handled.len(), 3);
    });
}

#[test]
fn the_task_takes_over_a_handler_that_waits() {
    large_model(|| {
        let (mailbox, mut task, log) = actor(4);
        task.settle();
        let asker = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                assert!(matches!(
                    ask(&mailbox, Note::waiting(1, 1)),
                    Some(Answer::Done(1))
                ));
                mailbox.raise(Level::Drain);
            })
        };
        let sender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || tell(&mailbox, 2))
        };
        task.run();
        asker.join().unwrap();
        let sent = sender.join().unwrap();
        assert_settled(&mailbox.account());
        assert_eq!(log.handled().len(), 1 + usize::from(sent));
    });
}

#[test]
fn an_asker_in_place_against_a_stop_and_a_kill() {
    for (level, waits) in [(Level::Stop, 0), (Level::Kill, 0), (Level::Kill, 1)] {
        large_model(move || {
            let (mailbox, mut task, _) = actor(4);
            task.settle();
            let asker = {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || ask(&mailbox, Note::waiting(1, waits)))
            };
            let ender = {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || mailbox.raise(level))
            };
            task.run();
            asker.join().unwrap();
            ender.join().unwrap();
            assert_settled(&mailbox.account());
        });
    }
}

/// Nothing wakes the task but the kill.
#[test]
fn a_kill_reaches_a_handler_that_waits_for_ever() {
    model(|| {
        let (mailbox, task, _) = actor(4);
        assert!(
            mailbox
                .try_push(super::toy::LetterOf::tell(Note::waiting(1, FOR_EVER)))
                .is_ok()
        );
        let ender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.raise(Level::Kill))
        };
        task.run();
        ender.join().unwrap();
        assert_settled(&mailbox.account());
    });
    model(|| {
        let (mailbox, mut task, _) = actor(4);
        task.settle();
        let asker = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                let answer = ask(&mailbox, Note::waiting(1, FOR_EVER));
                assert!(!matches!(answer, Some(Answer::Done(_))));
            })
        };
        let ender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.raise(Level::Kill))
        };
        task.run();
        asker.join().unwrap();
        ender.join().unwrap();
        assert_settled(&mailbox.account());
    });
}

#[test]
fn an_asker_in_place_against_a_restart() {
    model(|| {
        let (mailbox, mut task, log) = actor(4);
        task.settle();
        let asker = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                assert!(matches!(ask(&mailbox, Note::new(1)), Some(Answer::Done(1))));
            })
        };
        let ender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                mailbox.let_out();
                asker.join().unwrap();
                mailbox.raise(Level::Drain);
            })
        };
        task.run();
        ender.join().unwrap();
        assert_settled(&mailbox.account());
        assert_eq!(log.handled(), [1]);
    });
}

/// Nothing but the wish itself wakes the task.
#[test]
fn an_idle_actor_sees_that_it_was_let_out() {
    model(|| {
        let (mailbox, task, _) = actor(4);
        let other = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                mailbox.let_out();
                while mailbox.is_let_out() {
                    thread::yield_now();
                }
                mailbox.raise(Level::Drain);
            })
        };
        task.run();
        other.join().unwrap();
    });
}

#[test]
fn a_task_that_is_dropped_against_a_loan() {
    for waits in [0, 1] {
        model(move || {
            let (mailbox, mut task, _) = actor(4);
            task.settle();
            let asker = {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || ask(&mailbox, Note::waiting(1, waits)))
            };
            let sender = {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || tell(&mailbox, 2))
            };
            drop(task);
            asker.join().unwrap();
            sender.join().unwrap();
            // Whoever ended the actor has given everything back: loom tells of a state that is left.
            assert_settled(&mailbox.account());
        });
    }
}

#[test]
fn a_seized_queue_loses_nothing_whenever_the_task_goes_on() {
    model(|| {
        let (mailbox, task, log) = actor(4);
        assert!(tell(&mailbox, 1));
        assert!(tell(&mailbox, 2));
        mailbox.raise(Level::Drain);
        let thief = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                mailbox.raise(Level::Kill);
                give_up(&mailbox);
            })
        };
        task.run();
        thief.join().unwrap();
        let account = mailbox.account();
        assert_settled(&account);
        assert_eq!(account.accepted, 2);
        assert_eq!(account.ok, log.handled().len() as u64);
    });
}

/// The handler that never yielded has yielded after all, and the task gives back what is queued at the same time.
#[test]
fn a_seized_queue_is_given_back_once_when_the_task_ends_too() {
    model(|| {
        let (mailbox, task, log) = actor(4);
        assert!(tell(&mailbox, 1));
        assert!(tell(&mailbox, 2));
        mailbox.raise(Level::Kill);
        let thief = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || give_up(&mailbox))
        };
        drop(task);
        thief.join().unwrap();
        let account = mailbox.account();
        assert_settled(&account);
        assert_eq!((account.accepted, account.undelivered), (2, 2));
        assert_eq!(log.handled(), []);
    });
}
