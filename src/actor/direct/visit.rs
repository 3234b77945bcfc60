//! The way of one message to its turn and through its handler.

use super::desk::{Desk, Line, Turn};
use crate::actor::delivery::Limit;
use crate::actor::ending::in_drop;
use crate::actor::guard::Guarded;
use crate::actor::handling::{BeginBatch, BeginHere, BeginOne};
use crate::actor::in_place::{break_off, leave};
use crate::actor::redelivery::BeginAgain;
use crate::actor::reply::Answer;
use crate::actor::resident::Resident;
use crate::actor::run::Runner;
use crate::actor::spans;
use crate::actor::target::ReceiptOf;
use crate::actor::watch::Watch;
use crate::actor::{Actor, Message, Receive, SendError};
use crate::mailbox::{Duty, Expiry, Hold, InPlace, Letter, Start};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// One call: in line, with the turn, and at last perhaps waiting for a token.
pub(super) struct Visit<'a, A: Actor, M: Message> {
    pub(super) desk: &'a Arc<Desk<A>>,
    stage: Stage<'a, A, M>,
    pub(super) limit: Limit,
    asks: bool,
    #[cfg(debug_assertions)]
    wait: crate::actor::circle::Wait,
}

enum Stage<'a, A: Actor, M: Message> {
    New(M),
    InLine(M, Line<'a, A>),
    HasTurn(M, Turn<'a, A>),
    Runs(Turn<'a, A>, Option<ReceiptOf<M>>),
    /// The handler has passed its token on.
    Waits(ReceiptOf<M>),
    Done,
}

pub(super) enum Visited<M: Message> {
    Answered(Answer<M>),
    Told,
    TimedOut,
}

impl<'a, A: Receive<M>, M: Message> Visit<'a, A, M> {
    pub(super) fn new(desk: &'a Arc<Desk<A>>, message: M, asks: bool) -> Self {
        Self {
            desk,
            stage: Stage::New(message),
            limit: Limit::None,
            asks,
            #[cfg(debug_assertions)]
            wait: crate::actor::circle::Wait::default(),
        }
    }

    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Visited<M>, SendError<M>>> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Done) {
                Stage::New(message) => {
                    if self.desk.shared.id().is_current() {
                        return Poll::Ready(Err(SendError::WouldDeadlock(message)));
                    }
                    if self.asks {
                        self.limit.start_ask();
                    } else {
                        self.limit.start();
                    }
                    self.stage = Stage::InLine(message, Line::new(self.desk));
                }
                Stage::InLine(message, mut line) => match line.poll(cx) {
                    Poll::Ready(Some(turn)) => {
                        #[cfg(debug_assertions)]
                        self.wait.end();
                        self.stage = Stage::HasTurn(message, turn);
                    }
                    Poll::Ready(None) => return Poll::Ready(Err(SendError::Closed(message))),
                    Poll::Pending => {
                        #[cfg(debug_assertions)]
                        if let Some(holds) = line.watch() {
                            self.waits(holds);
                        }
                        self.stage = Stage::InLine(message, line);
                        return self.poll_expired(cx);
                    }
                },
                Stage::HasTurn(message, mut turn) => {
                    if turn.runner().is_some_and(|runner| runner.idle().is_some()) {
                        if let Some(answer) = self.begin(message, turn, cx) {
                            return Poll::Ready(Ok(Visited::Answered(answer)));
                        }
                        continue;
                    }
                    match turn.poll_idle(cx) {
                        Poll::Ready(true) => self.stage = Stage::HasTurn(message, turn),
                        Poll::Ready(false) => return Poll::Ready(Err(SendError::Closed(message))),
                        Poll::Pending => {
                            self.stage = Stage::HasTurn(message, turn);
                            return self.poll_expired(cx);
                        }
                    }
                }
                Stage::Runs(mut turn, None) => {
                    let idle = turn.poll_idle(cx).is_ready();
                    if idle || !turn.runner().is_some_and(Runner::is_handling) {
                        return Poll::Ready(Ok(Visited::Told));
                    }
                    self.stage = Stage::Runs(turn, None);
                    return Poll::Pending;
                }
                Stage::Runs(mut turn, Some(mut receipt)) => {
                    let idle = turn.poll_idle(cx).is_ready();
                    if let Poll::Ready(answer) = receipt.poll_answer(cx) {
                        return Poll::Ready(Ok(Visited::Answered(answer)));
                    }
                    #[cfg(debug_assertions)]
                    self.waits(Box::new(receipt.watch()));
                    self.stage = if idle {
                        Stage::Waits(receipt)
                    } else {
                        Stage::Runs(turn, Some(receipt))
                    };
                    return self.poll_expired(cx);
                }
                Stage::Waits(mut receipt) => {
                    if let Poll::Ready(answer) = receipt.poll_answer(cx) {
                        return Poll::Ready(Ok(Visited::Answered(answer)));
                    }
                    self.stage = Stage::Waits(receipt);
                    return self.poll_expired(cx);
                }
                Stage::Done => panic!("a call was polled after it had completed"),
            }
        }
    }

    /// The handler that makes this call waits for this actor.
    #[cfg(debug_assertions)]
    fn waits(&mut self, holds: crate::actor::circle::Holds) {
        let shared = &self.desk.shared;
        self.wait
            .begin(shared.id().number(), &shared.name, || holds);
    }

    /// With the turn of an idle actor: handles the message. `None` if there is no answer yet: the stage says why.
    #[inline]
    fn begin(
        &mut self,
        message: M,
        mut turn: Turn<'a, A>,
        cx: &mut Context<'_>,
    ) -> Option<Answer<M>> {
        let Some(mut hold) = turn.runner().and_then(Runner::idle) else {
            // It was told to end since it was found idle.
            self.stage = Stage::HasTurn(message, turn);
            return None;
        };
        let deadline = self.limit.at();
        let guard = Guarded(self.desk.shared.id());
        hold.begin();
        if A::ONE_AT_A_TIME && M::REDELIVERY.is_wanted() {
            let (duty, receipt) = if self.asks {
                let (duty, receipt) = Duty::begun(deadline);
                (Some(duty), Some(receipt))
            } else {
                (None, None)
            };
            let begin = BeginAgain {
                message,
                duty,
                deadline,
                before: 0,
            };
            start(&mut hold, begin);
            self.stage = Stage::Runs(turn, receipt);
            return None;
        }
        let receipt = if self.asks && A::ONE_AT_A_TIME {
            let one = BeginHere { message, deadline };
            let started = match Watch::look(spans::current) {
                Some(watch) => hold.seat().start_in_place(watch.over(one), &guard, cx),
                None => hold.seat().start_in_place(one, &guard, cx),
            };
            match started {
                InPlace::Done(answer, None) => return Some(Answer::Replied(answer)),
                InPlace::Done(answer, problem) => {
                    leave(&mut hold, |left| {
                        left.problems.extend(problem.map(in_drop));
                    });
                    return Some(Answer::Replied(answer));
                }
                InPlace::Panicked(text) => {
                    break_off(&mut hold, &guard, &text);
                    return Some(Answer::Panicked(text));
                }
                InPlace::Waits(receipt) => {
                    self.stage = Stage::Runs(turn, Some(receipt));
                    return None;
                }
            }
        } else if A::ONE_AT_A_TIME {
            let begin = BeginOne {
                message,
                duty: None,
                deadline,
            };
            start(&mut hold, begin);
            None
        } else if self.asks {
            let (duty, receipt) = Duty::begun(deadline);
            start(&mut hold, BeginBatch::new(message, duty));
            Some(receipt)
        } else {
            let Ok((message, duty)) = Letter::tell(message).claim() else {
                unreachable!("a told message is never taken back");
            };
            start(&mut hold, BeginBatch::new(message, duty));
            None
        };
        self.stage = Stage::Runs(turn, receipt);
        None
    }

    /// Before returning `Pending`: whether time is up, and what becomes of the message then.
    #[cold]
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Result<Visited<M>, SendError<M>>> {
        ready!(self.limit.poll_passed(cx));
        Poll::Ready(match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::New(message) | Stage::InLine(message, _) | Stage::HasTurn(message, _) => {
                Err(SendError::Expired(message))
            }
            Stage::Runs(_, Some(receipt)) | Stage::Waits(receipt) => match receipt.expire() {
                Expiry::Revoked(message) => Err(SendError::Expired(message)),
                Expiry::Answered(answer) => Ok(Visited::Answered(answer)),
                Expiry::Running => Ok(Visited::TimedOut),
            },
            Stage::Runs(_, None) | Stage::Done => Ok(Visited::TimedOut),
        })
    }
}

fn start<A: Actor>(hold: &mut Hold<'_, Resident<A>>, begin: impl Start<Resident<A>>) {
    match Watch::look(spans::current) {
        Some(watch) => hold.seat().start(watch.over(begin)),
        None => hold.seat().start(begin),
    }
}

impl<A: Actor, M: Message> Drop for Visit<'_, A, M> {
    #[inline]
    fn drop(&mut self) {
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Runs(_, Some(receipt)) | Stage::Waits(receipt) => receipt.abandon(true),
            _ => {}
        }
    }
}
