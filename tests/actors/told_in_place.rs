//! Handlers of tells in their senders' own tasks.
//!
//! Where a handler ran is told by the task that it saw: these tests' own has no number.

use crate::common::{Crash, Fail, Gate, Held, Log, Note, Probe, poll_once};
use postroom::actor::{
    Actor, AskError, Builder, Context, Dispatch, Handle, Handler, Message, SendError, StopReason,
};
use postroom::supervision::{Backoff, RestartPolicy};
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::task::{Id, try_id, yield_now};

type Places = Arc<Mutex<Vec<Option<Id>>>>;

/// Notes where its handlers run, and tells the next.
#[derive(Default)]
struct Link {
    next: Option<Handle<Link>>,
    places: Places,
}

impl Link {
    fn here(&self) {
        self.places.lock().unwrap().push(try_id());
    }
}

impl Actor for Link {
    type Error = Infallible;
}

/// Notes where its handler runs.
struct Here;

impl Message for Here {
    type Response = ();
    type Error = Infallible;
}

impl Handler<Here> for Link {
    async fn handle(&mut self, _: Here, _: &Context<Self>) -> Result<(), Infallible> {
        self.here();
        Ok(())
    }
}

/// Goes through the whole chain by tells.
struct Chain;

impl Message for Chain {
    type Response = ();
    type Error = Infallible;
}

impl Handler<Chain> for Link {
    async fn handle(&mut self, _: Chain, _: &Context<Self>) -> Result<(), Infallible> {
        self.here();
        if let Some(next) = &self.next {
            next.tell(Chain).await.unwrap();
        }
        Ok(())
    }
}

/// Tells itself, so that this has to be handled behind the message that does it.
struct Twice;

impl Message for Twice {
    type Response = ();
    type Error = Infallible;
}

impl Handler<Twice> for Link {
    async fn handle(&mut self, _: Twice, ctx: &Context<Self>) -> Result<(), Infallible> {
        ctx.handle().unwrap().tell(Here).await.unwrap();
        assert_eq!(self.places.lock().unwrap().len(), 0, "not inside of this");
        Ok(())
    }
}

/// Computes for so long.
struct Compute(Duration);

impl Message for Compute {
    type Response = ();
    type Error = Infallible;
}

impl Handler<Compute> for Link {
    async fn handle(
        &mut self,
        Compute(time): Compute,
        _: &Context<Self>,
    ) -> Result<(), Infallible> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            std::hint::spin_loop();
        }
        self.here();
        Ok(())
    }
}

fn link(dispatch: Dispatch, next: Option<&Handle<Link>>) -> (Handle<Link>, Places) {
    let link = Link {
        next: next.cloned(),
        ..Link::default()
    };
    let places = Arc::clone(&link.places);
    (
        Builder::new(link).dispatch(dispatch).spawn().unwrap(),
        places,
    )
}

fn taken(places: &Places) -> Vec<Option<Id>> {
    std::mem::take(&mut places.lock().unwrap())
}

/// A probe that is up.
async fn probe(log: &Log, gate: &Gate) -> Handle<Probe> {
    let probe = Builder::new(Probe::new(log, gate)).dispatch(Dispatch::InPlace);
    let probe = probe.spawn().unwrap();
    probe.ready().await.unwrap();
    probe
}

#[tokio::test]
async fn r23_an_idle_actor_handles_a_tell_in_its_senders_task() {
    let (actor, places) = link(Dispatch::InPlace, None);
    actor.tell(Here).await.unwrap();
    assert_eq!(taken(&places), [None]);
    let teller = actor.clone();
    let own = tokio::spawn(async move {
        teller.recipient::<Here>().tell(Here).await.unwrap();
        try_id()
    });
    let own = own.await.unwrap();
    assert!(own.is_some());
    assert_eq!(taken(&places), [own]);
    let account = actor.stats().account;
    assert_eq!((account.accepted, account.ok), (2, 2));

    let (queued, places) = link(Dispatch::Queue, None);
    queued.tell(Here).await.unwrap();
    assert_eq!(taken(&places), []);
    queued.ask(Here).await.unwrap();
    let its = taken(&places);
    assert!(its[0].is_some() && its[0] == its[1], "{its:?}");
}

#[tokio::test]
async fn r23_what_does_not_wait_is_queued() {
    let (actor, places) = link(Dispatch::InPlace, None);
    actor.try_tell(Here).unwrap();
    // It would overtake the first.
    actor.tell(Here).await.unwrap();
    assert_eq!(taken(&places), []);
    actor.ask(Here).await.unwrap();
    assert_eq!(taken(&places).len(), 3);

    let permit = actor.reserve().await.unwrap();
    actor.tell(Here).await.unwrap();
    assert_eq!(
        taken(&places),
        [],
        "it would overtake who has been given room"
    );
    permit.send(Here).unwrap();
    actor.ask(Here).await.unwrap();
    let its = taken(&places);
    assert_eq!(its.len(), 3);
    assert!(its.iter().all(Option::is_some), "in its own task: {its:?}");
}

#[tokio::test]
async fn r23_a_tell_does_not_wait_for_a_handler_that_waits() {
    let (log, gate) = (Log::default(), Gate::default());
    let actor = probe(&log, &gate).await;
    let mut tell = actor.tell(Held(1));
    assert!(matches!(poll_once(&mut tell).await, Poll::Ready(Ok(_))));
    gate.wait_entered().await;
    actor.tell(Note(2)).await.unwrap();
    gate.open();
    assert_eq!(actor.ask(Note(3)).await.unwrap(), 3);
    assert_eq!(log.entries(), ["probe started", "1", "2", "3"]);
}

#[tokio::test]
async fn r23_a_tell_to_itself_is_handled_after() {
    let (actor, places) = link(Dispatch::InPlace, None);
    actor.tell(Twice).await.unwrap();
    actor.ask(Here).await.unwrap();
    assert_eq!(taken(&places).len(), 2);
    assert_eq!(actor.stats().account.panicked, 0);
}

#[tokio::test]
async fn r23_at_most_eight_told_handlers_run_inside_each_other() {
    let (mut first, places) = link(Dispatch::InPlace, None);
    let mut all = vec![places];
    for _ in 1..20 {
        let (link, places) = link(Dispatch::InPlace, Some(&first));
        first = link;
        all.push(places);
    }
    first.tell(Chain).await.unwrap();
    let here = |places: &Places| places.lock().unwrap().first() == Some(&None);
    assert_eq!(all.iter().filter(|places| here(places)).count(), 8);
    while all[0].lock().unwrap().is_empty() {
        yield_now().await;
    }
    assert!(all.iter().all(|places| taken(places).len() == 1));
}

#[tokio::test]
async fn r12_a_told_handler_that_panics_in_place_ends_its_actor_and_not_its_sender() {
    let (log, gate) = (Log::default(), Gate::default());
    let actor = probe(&log, &gate).await;
    actor.tell(Crash("told in place")).await.unwrap();
    let refused = actor.tell(Note(1)).await;
    let exit = actor.closed().await;
    assert!(
        matches!(exit.reason, StopReason::Panicked { .. }),
        "{exit:?}"
    );
    assert_eq!(exit.account.panicked, 1);
    // It was queued behind the panic and given up, or came after the end.
    match refused {
        Ok(_) => assert_eq!(exit.account.undelivered, 1),
        Err(error) => assert!(matches!(error, SendError::Closed(Note(1))), "{error:?}"),
    }
    assert!(!log.entries().contains(&"1".to_owned()));
}

#[tokio::test]
async fn r13_after_a_panic_of_a_told_handler_in_place_the_actor_comes_back() {
    let (log, gate) = (Log::default(), Gate::default());
    let make = {
        let (log, gate) = (log.clone(), gate.clone());
        move || Probe::new(&log, &gate)
    };
    let policy = RestartPolicy::permanent().backoff(Backoff::none());
    let actor = Builder::supervised(make, policy).dispatch(Dispatch::InPlace);
    let actor = actor.spawn().unwrap();
    actor.ready().await.unwrap();
    actor.tell(Crash("once")).await.unwrap();
    actor.tell(Note(1)).await.unwrap();
    assert_eq!(actor.ask(Note(2)).await.unwrap(), 2);
    assert_eq!(actor.stats().restarts, 1);
    let entries = log.entries();
    assert_eq!(entries[entries.len() - 3..], ["probe started", "1", "2"]);
}

#[tokio::test]
async fn r12_the_error_of_a_told_handler_in_place_is_counted() {
    let actor = probe(&Log::default(), &Gate::default()).await;
    actor.tell(Fail).await.unwrap();
    let account = actor.stats().account;
    assert_eq!(
        (account.accepted, account.failed, account.running),
        (1, 1, 0)
    );
}

#[tokio::test]
async fn r23_a_teller_in_a_loop_gives_way() {
    let (actor, places) = link(Dispatch::InPlace, None);
    let ran = Arc::new(AtomicBool::new(false));
    let runs = Arc::clone(&ran);
    let other = tokio::spawn(async move { runs.store(true, Ordering::Relaxed) });
    let mut tells = 0;
    while !ran.load(Ordering::Relaxed) {
        actor.tell(Here).await.unwrap();
        tells += 1;
        assert!(tells < 1_000, "no other task runs");
    }
    other.await.unwrap();
    assert_eq!(taken(&places), vec![None; tells], "all were its own");
}

#[tokio::test]
async fn r23_a_teller_without_a_budget_finds_the_mailbox_full() {
    let (actor, _) = link(Dispatch::InPlace, None);
    let ran = Arc::new(AtomicBool::new(false));
    let runs = Arc::clone(&ran);
    let other = tokio::spawn(async move { runs.store(true, Ordering::Relaxed) });
    tokio::task::unconstrained(async {
        let mut tells = 0;
        while !ran.load(Ordering::Relaxed) {
            actor.tell(Here).await.unwrap();
            tells += 1;
            assert!(tells < 10_000, "no other task runs");
        }
    })
    .await;
    other.await.unwrap();
}

#[tokio::test]
async fn r23_messages_that_are_skipped_are_not_taken_for_brief_handlers() {
    let (actor, places) = link(Dispatch::default(), None);
    for _ in 0..3 {
        let time = Duration::from_micros(20);
        actor.ask(Compute(time)).await.unwrap();
    }
    taken(&places);
    for _ in 0..1_000 {
        drop(actor.ask(Here).enqueue().await.unwrap());
    }
    while actor.stats().depth > 0 {
        yield_now().await;
    }
    actor.ask(Here).await.unwrap();
    let its = taken(&places);
    assert!(its.len() == 1 && its[0].is_some(), "{its:?}");
}

#[tokio::test]
async fn r23_by_default_only_brief_handlers_are_told_in_place() {
    let (actor, places) = link(Dispatch::default(), None);
    for time in [Duration::from_micros(1), Duration::from_micros(20)] {
        for _ in 0..300 {
            actor.tell(Compute(time)).await.unwrap();
            // Idle again before the next.
            while actor.stats().account.ok < actor.stats().account.accepted {
                yield_now().await;
            }
        }
    }
    let its = taken(&places);
    assert!(its.len() == 600 && its.iter().all(Option::is_some));
}

/// Asks the other, which is told to by one who has little time.
struct Slow {
    other: Handle<Probe>,
    gate: Gate,
}

impl Actor for Slow {
    type Error = Infallible;
}

impl Handler<Note> for Slow {
    async fn handle(
        &mut self,
        note: Note,
        _: &Context<Self>,
    ) -> Result<u32, crate::common::Refusal> {
        let answer = self.other.ask(Held(note.0)).await;
        assert!(!matches!(
            answer,
            Err(AskError::TimedOut { .. } | AskError::Expired(_))
        ));
        self.gate.open();
        Ok(0)
    }
}

/// Tells it, within the deadline of whoever asks this.
struct Hurried(Handle<Slow>);

impl Actor for Hurried {
    type Error = Infallible;
}

impl Handler<Note> for Hurried {
    async fn handle(
        &mut self,
        note: Note,
        _: &Context<Self>,
    ) -> Result<u32, crate::common::Refusal> {
        self.0.tell(note).await.unwrap();
        Ok(0)
    }
}

#[tokio::test(start_paused = true)]
async fn r07_a_handler_told_in_place_has_not_its_senders_deadline() {
    let (held, done) = (Gate::default(), Gate::default());
    let other = probe(&Log::default(), &held).await;
    let slow = Slow {
        other,
        gate: done.clone(),
    };
    let slow = Builder::new(slow).dispatch(Dispatch::InPlace);
    let slow = slow.spawn().unwrap();
    let hurried = Builder::new(Hurried(slow.clone())).dispatch(Dispatch::InPlace);
    let hurried = hurried.spawn().unwrap();
    let limit = Duration::from_millis(10);
    hurried.ask(Note(1)).timeout(limit).await.unwrap();
    held.wait_entered().await;
    tokio::time::advance(limit * 2).await;
    held.open();
    done.pass().await;
    assert_eq!(slow.stats().account.panicked, 0);
}
