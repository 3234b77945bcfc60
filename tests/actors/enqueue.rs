//! Asks that are accepted now and answered later.

use crate::common::{Fail, Gate, Held, Log, Note, Probe, Refusal, occupy, poll_once};
use postroom::actor::{
    Actor, AskError, Builder, Context, Dispatch, Handler, Message, PendingReply, SendError,
};
use std::convert::Infallible;
use std::time::Duration;

#[tokio::test]
async fn r09_an_enqueued_ask_is_accepted_now_and_answered_later() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Probe::new(&log, &gate).spawn();
    occupy(&probe, &gate).await;
    let mut replies = Vec::new();
    for n in 1..=3 {
        replies.push(probe.ask(Note(n)).enqueue().await.unwrap());
    }
    assert_eq!(probe.stats().depth, 3);
    let failing = probe.recipient().ask(Fail).enqueue().await.unwrap();
    gate.open();
    // Awaited elsewhere, in any order, and after the handle is gone.
    drop(probe);
    let answers = tokio::spawn(async move {
        let mut answers = Vec::new();
        for reply in replies.into_iter().rev() {
            answers.push(reply.await.unwrap());
        }
        answers
    });
    assert_eq!(answers.await.unwrap(), [3, 2, 1]);
    assert!(matches!(failing.await, Err(AskError::Handler(Refusal))));
    assert_eq!(log.entries()[1..5], ["0", "1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn r09_an_enqueued_ask_waits_for_room_under_its_limit_and_keeps_it() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Builder::new(Probe::new(&log, &gate))
        .capacity(1)
        .spawn()
        .unwrap();
    occupy(&probe, &gate).await;
    let second = Duration::from_secs(1);
    let queued = probe.ask(Note(1)).timeout(second).enqueue().await.unwrap();
    let full = probe.try_ask(Note(2)).enqueue().await.unwrap_err();
    assert_eq!(full, SendError::Full(Note(2)));
    let late = probe
        .ask(Note(3))
        .timeout(second)
        .enqueue()
        .await
        .unwrap_err();
    assert_eq!(late, SendError::Expired(Note(3)));
    assert!(
        matches!(queued.await, Err(AskError::Expired(Note(1)))),
        "its second is over too"
    );
    gate.open();
    let running = loop {
        match probe.ask(Held(4)).timeout(second).enqueue().await {
            Ok(reply) => break reply,
            Err(error) => assert_eq!(error, SendError::Expired(Held(4))),
        }
    };
    gate.wait_entered().await;
    let error = running.await.unwrap_err();
    assert!(matches!(error, AskError::TimedOut { actor, .. } if &*actor == "probe"));
    probe.kill();
    let closed = probe.ask(Note(5)).enqueue().await.unwrap_err();
    assert_eq!(closed, SendError::Closed(Note(5)));
    assert!(probe.closed().await.is_balanced());
}

#[tokio::test]
async fn r09_a_pending_reply_that_is_dropped_abandons_what_is_queued() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Probe::new(&log, &gate).spawn();
    occupy(&probe, &gate).await;
    drop(probe.ask(Note(1)).enqueue().await.unwrap());
    gate.open();
    probe.drain();
    let account = probe.closed().await.account;
    assert_eq!((account.abandoned, account.ok), (1, 1));
}

#[tokio::test]
async fn r09_an_enqueued_ask_of_an_idle_actor_runs_in_the_actors_task() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Builder::new(Probe::new(&log, &gate))
        .dispatch(Dispatch::InPlace)
        .spawn()
        .unwrap();
    probe.ready().await.unwrap();
    let mut enqueue = probe.ask(Note(1)).enqueue();
    let std::task::Poll::Ready(reply) = poll_once(&mut enqueue).await else {
        panic!("there is room");
    };
    assert_eq!(log.entries(), ["probe started"], "accepted and not handled");
    assert_eq!(reply.unwrap().await.unwrap(), 1);
}

/// Enqueues to itself.
struct Narcissus(Option<PendingReply<Look>>);

impl Actor for Narcissus {
    type Error = Infallible;
}

struct Look(bool);

impl Message for Look {
    type Response = &'static str;
    type Error = Infallible;
}

impl Handler<Look> for Narcissus {
    async fn handle(
        &mut self,
        Look(first): Look,
        ctx: &Context<Self>,
    ) -> Result<&'static str, Infallible> {
        if !first {
            return Ok("looked");
        }
        let me = ctx.handle().expect("the test holds a handle");
        let waits = me.ask(Look(false)).enqueue().await.unwrap();
        self.0 = me.ask(Look(false)).enqueue().await.ok();
        match waits.await {
            Err(AskError::WouldDeadlock(Look(false))) => Ok("it would wait for itself"),
            _ => Ok("it did not notice"),
        }
    }
}

#[tokio::test]
async fn r08_awaiting_ones_own_pending_reply_is_an_error() {
    let narcissus = Narcissus(None).spawn();
    assert_eq!(
        narcissus.ask(Look(true)).await.unwrap(),
        "it would wait for itself"
    );
    assert_eq!(narcissus.ask(Look(false)).await.unwrap(), "looked");
}
