//! One cell: asker, actor, token and run loop.

use super::toy::{Answer, LetterOf, Note, model};
use crate::mailbox::{Conclusion, Expiry};
use loom::future::block_on;
use loom::thread;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

#[test]
fn an_answer_reaches_an_asker_that_changes_its_waker() {
    model(|| {
        let (letter, mut receipt) = LetterOf::ask(Note::new(7), None);
        let actor = thread::spawn(move || {
            let (_, duty) = letter.claim().unwrap_or_else(|_| panic!("nobody revokes"));
            duty.answer(Answer::Done(7));
        });
        // First with a waker that wakes nobody, then with this thread's.
        let first = receipt.poll_answer(&Context::from_waker(Waker::noop()));
        let answer = match first {
            Poll::Ready(answer) => answer,
            Poll::Pending => block_on(poll_fn(|cx| receipt.poll_answer(cx))),
        };
        assert!(matches!(answer, Answer::Done(7)));
        actor.join().unwrap();
    });
}

#[test]
fn an_answer_and_an_asker_that_goes_away() {
    for run_anyway in [false, true] {
        model(move || {
            let (letter, mut receipt) = LetterOf::ask(Note::new(7), None);
            let actor = thread::spawn(move || match letter.claim() {
                Ok((_, duty)) => duty.answer(Answer::Done(7)),
                Err(_) => assert!(!run_anyway, "a message that insists is not revoked"),
            });
            if receipt
                .poll_answer(&Context::from_waker(Waker::noop()))
                .is_pending()
            {
                receipt.abandon(run_anyway);
            }
            actor.join().unwrap();
        });
    }
}

#[test]
fn either_the_actor_or_an_expiring_asker_gets_the_message() {
    model(|| {
        let (letter, receipt) = LetterOf::ask(Note::new(7), None);
        let actor = thread::spawn(move || match letter.claim() {
            Ok((_, duty)) => {
                duty.answer(Answer::Done(7));
                true
            }
            Err(_) => false,
        });
        let expiry = receipt.expire();
        let handled = actor.join().unwrap();
        match expiry {
            Expiry::Revoked(_) => assert!(!handled),
            Expiry::Answered(_) | Expiry::Running => assert!(handled),
        }
    });
}

#[test]
fn a_token_that_is_dropped_is_counted_once_and_answered_once() {
    for tearing_down in [false, true] {
        model(move || {
            let (letter, mut receipt) = LetterOf::ask(Note::new(7), None);
            let (_, duty) = letter.claim().unwrap_or_else(|_| panic!("nobody revokes"));
            let witness = duty.witness();
            let token = thread::spawn(move || {
                let Some((duty, counts)) = duty.token_dropped() else {
                    return false;
                };
                duty.answer(Answer::Back);
                counts
            });
            if tearing_down {
                witness.tear_down();
            }
            let counts = match witness.conclude() {
                Conclusion::Decided => false,
                Conclusion::TokenLives => true,
                Conclusion::TokenLost(duty) => {
                    assert!(tearing_down);
                    duty.answer(Answer::Cancelled);
                    true
                }
            };
            block_on(poll_fn(|cx| receipt.poll_answer(cx)));
            assert!(token.join().unwrap() != counts, "counted once");
        });
    }
}

#[test]
fn a_token_that_answers_is_counted_once() {
    model(|| {
        let (letter, receipt) = LetterOf::ask(Note::new(7), None);
        let (_, duty) = letter.claim().unwrap_or_else(|_| panic!("nobody revokes"));
        let witness = duty.witness();
        let token = thread::spawn(move || {
            let counts = duty.decide();
            duty.answer(Answer::Done(7));
            counts
        });
        let asker = thread::spawn(move || receipt.abandon(false));
        let counts = match witness.conclude() {
            Conclusion::Decided => false,
            Conclusion::TokenLives => true,
            Conclusion::TokenLost(_) => unreachable!("it answers"),
        };
        asker.join().unwrap();
        assert!(token.join().unwrap() != counts, "counted once");
    });
}

#[test]
fn the_last_of_three_references_frees_the_cell() {
    model(|| {
        let (letter, receipt) = LetterOf::ask(Note::new(7), None);
        let (_, duty) = letter.claim().unwrap_or_else(|_| panic!("nobody revokes"));
        let witness = duty.witness();
        let first = thread::spawn(move || drop(duty));
        let second = thread::spawn(move || drop(witness));
        // Loom tells of a cell that is freed twice, too early or never.
        drop(receipt);
        first.join().unwrap();
        second.join().unwrap();
    });
}
