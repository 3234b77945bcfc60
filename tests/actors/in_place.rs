//! Handlers of asks in their askers' own tasks.
//!
//! Where a handler ran is told by the task that it saw: these tests' own has no number.

use crate::common::{Block, Crash, Gate, Held, Log, Note, Probe, poll_once};
use postroom::actor::{
    Actor, AskError, Builder, Context, Dispatch, Handle, Handler, Message, StopReason,
};
use postroom::supervision::{Backoff, RestartPolicy};
use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::ThreadId;
use std::time::Duration;
use tokio::task::{Id, JoinHandle, block_in_place, try_id, yield_now};

type Place = Option<Id>;

/// A link of a chain of actors.
#[derive(Default)]
struct Link {
    next: Option<Handle<Link>>,
    gate: Gate,
}

impl Actor for Link {
    type Error = Infallible;
}

/// Where its handler runs.
struct Where;

impl Message for Where {
    type Response = Place;
    type Error = Infallible;
}

impl Handler<Where> for Link {
    async fn handle(&mut self, _: Where, _: &Context<Self>) -> Result<Place, Infallible> {
        Ok(try_id())
    }
}

/// Where its handler runs before and after it has waited at the gate.
struct Wait;

impl Message for Wait {
    type Response = [Place; 2];
    type Error = Infallible;
}

impl Handler<Wait> for Link {
    async fn handle(&mut self, _: Wait, _: &Context<Self>) -> Result<[Place; 2], Infallible> {
        let before = try_id();
        self.gate.pass().await;
        Ok([before, try_id()])
    }
}

/// Where the handlers of the whole chain run, this one's last.
struct Chain;

impl Message for Chain {
    type Response = Vec<Place>;
    type Error = Infallible;
}

impl Handler<Chain> for Link {
    async fn handle(&mut self, _: Chain, _: &Context<Self>) -> Result<Vec<Place>, Infallible> {
        let here = try_id();
        let mut places = match &self.next {
            Some(next) => next.ask(Chain).await.unwrap(),
            None => Vec::new(),
        };
        places.push(here);
        Ok(places)
    }
}

/// Asks the next actor, then itself; says whether that was refused.
struct AskYourself;

impl Message for AskYourself {
    type Response = bool;
    type Error = Infallible;
}

impl Handler<AskYourself> for Link {
    async fn handle(&mut self, _: AskYourself, ctx: &Context<Self>) -> Result<bool, Infallible> {
        if let Some(next) = &self.next {
            next.ask(Where).await.unwrap();
        }
        let itself = ctx.handle().unwrap();
        Ok(matches!(
            itself.ask(Where).await,
            Err(AskError::WouldDeadlock(_))
        ))
    }
}

struct Panic;

impl Message for Panic {
    type Response = ();
    type Error = Infallible;
}

impl Handler<Panic> for Link {
    async fn handle(&mut self, _: Panic, _: &Context<Self>) -> Result<(), Infallible> {
        panic!("in its asker's task")
    }
}

async fn link(dispatch: Dispatch, next: Option<&Handle<Link>>, gate: &Gate) -> Handle<Link> {
    let link = Link {
        next: next.cloned(),
        gate: gate.clone(),
    };
    let link = Builder::new(link).dispatch(dispatch).spawn().unwrap();
    link.ready().await.unwrap();
    link
}

#[tokio::test]
async fn r23_an_idle_actor_handles_an_ask_in_the_askers_task() {
    let gate = Gate::default();
    let actor = link(Dispatch::InPlace, None, &gate).await;
    assert_eq!(actor.ask(Where).await.unwrap(), None);
    let asker = actor.clone();
    let (place, own) = tokio::spawn(async move { (asker.ask(Where).await.unwrap(), try_id()) })
        .await
        .unwrap();
    assert!(place.is_some() && place == own);
    let queued = link(Dispatch::Queue, None, &gate).await;
    assert!(queued.ask(Where).await.unwrap().is_some());
    let account = actor.stats().account;
    assert_eq!((account.accepted, account.ok), (2, 2));
}

/// An actor that has something to do before it is asked.
struct Hooked;

impl Actor for Hooked {
    type Error = Infallible;

    async fn started(&mut self, _: &Context<Self>) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Handler<Where> for Hooked {
    async fn handle(&mut self, _: Where, _: &Context<Self>) -> Result<Place, Infallible> {
        Ok(try_id())
    }
}

#[tokio::test]
async fn r23_an_actor_with_nothing_to_start_is_asked_in_place_before_its_task_has_run() {
    let spawn = || {
        let link = Builder::new(Link::default()).dispatch(Dispatch::InPlace);
        link.spawn().unwrap()
    };
    let actor = spawn();
    assert!(poll_once(&mut Box::pin(actor.ready())).await.is_ready());
    assert!(matches!(
        poll_once(&mut actor.ask(Where)).await,
        Poll::Ready(Ok(None))
    ));
    actor.stop();
    let exit = actor.closed().await;
    assert!(matches!(exit.reason, StopReason::Stopped), "{exit}");
    assert_eq!((exit.account.accepted, exit.account.ok), (1, 1));

    // Its handler waits: the task, which has not run either, goes on with it.
    let next = spawn();
    next.try_tell(Where).unwrap();
    let chain = Link {
        next: Some(next),
        gate: Gate::default(),
    };
    let chain = Builder::new(chain).dispatch(Dispatch::InPlace);
    let chain = chain.spawn().unwrap();
    let mut ask = chain.ask(Chain);
    assert!(poll_once(&mut ask).await.is_pending());
    let places = ask.await.unwrap();
    assert!(
        matches!(places[..], [Some(_), None]),
        "the second began here: {places:?}"
    );

    // It panics: the task finds that out, and there is an actor again if there is to be one.
    let once = spawn();
    let again = Builder::supervised(Link::default, RestartPolicy::permanent())
        .dispatch(Dispatch::InPlace)
        .spawn()
        .unwrap();
    for actor in [&once, &again] {
        let panicked = poll_once(&mut actor.ask(Panic)).await;
        let Poll::Ready(Err(AskError::Panicked { .. })) = panicked else {
            panic!("{panicked:?}");
        };
    }
    let exit = once.closed().await;
    let StopReason::Panicked { .. } = exit.reason else {
        panic!("{exit}");
    };
    again.ask(Where).await.unwrap();
    assert_eq!(again.stats().restarts, 1);
}

#[tokio::test]
async fn r23_an_actor_that_is_not_idle_handles_an_ask_in_its_own_task() {
    let unstarted = Builder::new(Hooked).dispatch(Dispatch::InPlace);
    let unstarted = unstarted.spawn().unwrap();
    let place = unstarted.ask(Where).await.unwrap();
    assert!(place.is_some(), "it had not started");

    let actor = link(Dispatch::InPlace, None, &Gate::default()).await;
    actor.try_tell(Where).unwrap();
    let place = actor.ask(Where).await.unwrap();
    assert!(place.is_some(), "another message was queued before");
    let permit = actor.reserve().await.unwrap();
    let place = actor.ask(Where).await.unwrap();
    assert!(place.is_some(), "somebody has room that is not used yet");
    drop(permit);
    assert_eq!(actor.ask(Where).await.unwrap(), None, "it is idle again");

    let elsewhere = actor.clone();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(elsewhere.ask(Where)).unwrap()
    });
    while !thread.is_finished() {
        yield_now().await;
    }
    assert_eq!(
        thread.join().unwrap(),
        place,
        "its asker is on another runtime"
    );

    actor.drain();
    assert!(actor.ask(Where).await.is_err(), "it is asked to end");
}

#[tokio::test]
async fn r23_an_ask_overtakes_no_sender_that_waits_for_room_or_was_given_some() {
    let (log, gate) = (Log::default(), Gate::default());
    let actor = Builder::new(Probe::new(&log, &gate))
        .capacity(1)
        .dispatch(Dispatch::InPlace)
        .spawn()
        .unwrap();
    actor.ready().await.unwrap();
    actor.tell(Held(1)).await.unwrap();
    gate.wait_entered().await;
    actor.tell(Note(2)).await.unwrap();
    let mut third = actor.tell(Note(3));
    assert!(poll_once(&mut third).await.is_pending());
    gate.open();
    while actor.stats().account.ok < 2 {
        yield_now().await;
    }
    assert_eq!(
        actor.stats().reserved,
        1,
        "it was given room, and is to be polled"
    );
    // The actor is idle, and nothing is queued.
    let mut fourth = actor.ask(Note(4));
    assert!(poll_once(&mut fourth).await.is_pending());
    third.await.unwrap();
    fourth.await.unwrap();
    assert_eq!(log.entries()[1..], ["1", "2", "3", "4"]);
}

#[test]
fn r23_a_task_that_blocks_on_another_runtime_runs_no_handlers_there() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap()
    };
    let (own, other) = (runtime(), runtime());
    own.block_on(async {
        let actor = link(Dispatch::InPlace, None, &Gate::default()).await;
        let home = tokio::runtime::Handle::current();
        actor.try_tell(Where).unwrap();
        let its_place = actor.ask(Where).await.unwrap();
        let asker = async move {
            for _ in 0..20 {
                // Its task may still be at the last message.
                while actor.ask(Where).await.unwrap() != try_id() {
                    yield_now().await;
                }
                let there = block_in_place(|| other.block_on(actor.ask(Where))).unwrap();
                assert!(
                    there.is_some() && there != try_id(),
                    "the task is the same, and the runtime another"
                );
                // Now both with the thread's waker: first on the actor's own runtime.
                let there = block_in_place(|| {
                    let _here = home.block_on(actor.ask(Where));
                    other.block_on(actor.ask(Where))
                });
                assert_eq!(there.unwrap(), its_place, "in its own task");
            }
            block_in_place(|| drop(other));
        };
        tokio::spawn(asker).await.unwrap();
    });
}

#[tokio::test]
async fn r23_at_most_eight_handlers_run_inside_each_other() {
    let mut first = link(Dispatch::InPlace, None, &Gate::default()).await;
    for _ in 1..12 {
        first = link(Dispatch::InPlace, Some(&first), &Gate::default()).await;
    }
    let mut places = first.ask(Chain).await.unwrap();
    places.reverse();
    let here = places.iter().take_while(|place| place.is_none()).count();
    assert_eq!(here, 8, "{places:?}");
    // From there on they run inside each other in the ninth actor's task.
    assert_eq!(places[8..], [places[8]; 4]);
}

#[tokio::test]
async fn r23_an_asker_in_a_loop_gives_way() {
    let actor = link(Dispatch::InPlace, None, &Gate::default()).await;
    let ran = Arc::new(AtomicBool::new(false));
    let runs = Arc::clone(&ran);
    let other = tokio::spawn(async move { runs.store(true, Ordering::Relaxed) });
    let mut asks = 0;
    while !ran.load(Ordering::Relaxed) {
        assert_eq!(actor.ask(Where).await.unwrap(), None);
        asks += 1;
        assert!(asks < 1_000, "no other task runs");
    }
    other.await.unwrap();
}

#[tokio::test]
async fn r23_of_many_askers_none_keeps_the_others_waiting_for_long() {
    let actor = link(Dispatch::InPlace, None, &Gate::default()).await;
    let turns = Arc::new(Mutex::new(Vec::new()));
    let askers = (0..16).map(|_| {
        let (actor, turns) = (actor.clone(), Arc::clone(&turns));
        tokio::spawn(async move {
            for _ in 0..200 {
                let place = actor.ask(Where).await.unwrap();
                assert_eq!(place, try_id(), "in the asker's task");
                turns.lock().unwrap().push(place);
            }
        })
    });
    for asker in askers.collect::<Vec<_>>() {
        asker.await.unwrap();
    }
    let turns = turns.lock().unwrap();
    let longest = turns.chunk_by(|one, next| one == next).map(<[_]>::len);
    assert_eq!(longest.max(), Some(4));
}

#[tokio::test]
async fn r23_an_asker_that_gives_way_hands_no_handler_over() {
    let gate = Gate::default();
    let mut first = link(Dispatch::InPlace, None, &gate).await;
    for _ in 0..2 {
        first = link(Dispatch::InPlace, Some(&first), &gate).await;
    }
    let askers = (0..16).map(|_| {
        let first = first.clone();
        tokio::spawn(async move {
            for _ in 0..200 {
                let places = first.ask(Chain).await.unwrap();
                assert_eq!(places, [try_id(); 3]);
            }
        })
    });
    for asker in askers.collect::<Vec<_>>() {
        asker.await.unwrap();
    }
}

/// An actor, and the task that has asked it and stays in its handler, on another thread, until it is released.
async fn met() -> (Handle<Link>, Sender<()>, JoinHandle<()>) {
    let gate = Gate::default();
    let actor = link(Dispatch::InPlace, None, &gate).await;
    // Its task has been polled, and has nothing to do any more.
    let queued = actor.ask(Where).enqueue().await.unwrap();
    assert!(queued.await.unwrap().is_some());
    while actor.ask(Where).await.unwrap().is_some() {}
    let (release, until) = channel();
    let asker = actor.clone();
    let asker = tokio::spawn(async move { asker.ask(Block(until)).await.unwrap() });
    gate.pass().await;
    (actor, release, asker)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r23_an_asker_that_meets_another_gives_way_and_is_queued_if_that_does_not_help() {
    let (actor, release, first) = met().await;
    let mut second = actor.ask(Where);
    for _ in 0..8 {
        assert!(poll_once(&mut second).await.is_pending());
        assert_eq!(actor.stats().depth, 0);
    }
    assert!(poll_once(&mut second).await.is_pending());
    assert_eq!(actor.stats().depth, 1);
    release.send(()).unwrap();
    first.await.unwrap();
    assert!(second.await.unwrap().is_some(), "in its own task");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r23_an_asker_that_gives_way_is_woken_and_keeps_its_deadline() {
    let (actor, release, first) = met().await;
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = TaskContext::from_waker(&waker);
    let mut second = std::pin::pin!(actor.ask(Where));
    assert!(second.as_mut().poll(&mut cx).is_pending());
    assert!(woken.0.load(Ordering::SeqCst), "to try again");
    let mut late = actor.ask(Where).timeout(Duration::ZERO);
    assert!(poll_once(&mut late).await.is_pending());
    let late = poll_once(&mut late).await;
    assert!(
        matches!(late, Poll::Ready(Err(AskError::Expired(Where)))),
        "{late:?}"
    );
    release.send(()).unwrap();
    first.await.unwrap();
    assert_eq!(second.await.unwrap(), None, "it is idle again");
}

/// Whether it was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Opens the gate, then occupies its thread until it is released.
impl Handler<Block> for Link {
    async fn handle(&mut self, Block(until): Block, _: &Context<Self>) -> Result<(), Infallible> {
        self.gate.open();
        let _ = until.recv();
        Ok(())
    }
}

/// The waker of one future of many, as sets of futures have them.
struct Part(Waker);

impl Wake for Part {
    fn wake(self: Arc<Self>) {
        self.0.wake_by_ref();
    }
}

#[tokio::test]
async fn r23_a_task_of_many_futures_that_ask_gives_way() {
    let actor = link(Dispatch::InPlace, None, &Gate::default()).await;
    let asked = Cell::new(0);
    let mut parts: Vec<_> = (0..1_000)
        .map(|_| {
            Box::pin(async {
                loop {
                    assert_eq!(actor.ask(Where).await.unwrap(), None);
                    asked.set(asked.get() + 1);
                }
            })
        })
        .collect();
    poll_fn(|cx| {
        let waker = |_| Waker::from(Arc::new(Part(cx.waker().clone())));
        let wakers: Vec<Waker> = (0..parts.len()).map(waker).collect();
        for (part, waker) in parts.iter_mut().zip(&wakers) {
            let polled: Poll<()> = part.as_mut().poll(&mut TaskContext::from_waker(waker));
            assert!(polled.is_pending());
        }
        Poll::Ready(())
    })
    .await;
    let asked = asked.get();
    assert!((128..=128 * 8).contains(&asked), "{asked} in one turn");
}

#[tokio::test]
async fn r23_a_handler_that_waits_goes_on_in_the_actors_task_whatever_its_asker_does() {
    let gate = Gate::default();
    let actor = link(Dispatch::InPlace, None, &gate).await;
    let mut ask = actor.ask(Wait);
    assert!(poll_once(&mut ask).await.is_pending());
    gate.open();
    let [before, after] = ask.await.unwrap();
    assert!(before.is_none() && after.is_some());
    gate.wait_entered().await;

    let mut ask = actor.ask(Wait);
    assert!(poll_once(&mut ask).await.is_pending());
    gate.wait_entered().await;
    drop(ask);
    let behind = actor.ask(Where).enqueue().await.unwrap();
    gate.open();
    assert_eq!(behind.await.unwrap(), after);
    let account = actor.stats().account;
    assert_eq!(
        (account.ok, account.cancelled, account.abandoned),
        (3, 0, 0)
    );
}

#[tokio::test]
async fn r23_in_its_askers_task_an_actor_is_itself() {
    let gate = Gate::default();
    let next = link(Dispatch::InPlace, None, &gate).await;
    let actor = link(Dispatch::InPlace, Some(&next), &gate).await;
    assert!(actor.ask(AskYourself).await.unwrap());
    assert_eq!(
        actor.ask(Where).await.unwrap(),
        None,
        "and its asker is nobody"
    );
    let error = next.ask(Panic).await.unwrap_err();
    assert!(matches!(error, AskError::Panicked { .. }), "{error:?}");
    assert_eq!(next.closed().await.account.panicked, 1);
    assert_eq!(actor.ask(Where).await.unwrap(), None);
}

#[tokio::test]
async fn r23_by_default_handlers_that_wait_are_left_to_the_actor() {
    let gate = Gate::default();
    gate.open_for_good();
    let actor = link(Dispatch::default(), None, &gate).await;
    let waits = Gate::default();
    let slow = link(Dispatch::default(), None, &waits).await;
    assert_eq!(
        actor.ask(Where).await.unwrap(),
        None,
        "nothing speaks against it yet"
    );
    let mut ask = slow.ask(Wait);
    assert!(poll_once(&mut ask).await.is_pending());
    waits.open();
    assert_eq!(ask.await.unwrap()[0], None);
    waits.open();
    assert!(slow.ask(Wait).await.unwrap()[0].is_some(), "one has waited");
}

#[test]
fn r12_a_panic_in_place_is_in_the_report_of_a_runtime_that_goes_away() {
    let (log, gate) = (Log::default(), Gate::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let probe = runtime.block_on(async {
        let probe = Builder::new(Probe::new(&log, &gate))
            .dispatch(Dispatch::InPlace)
            .spawn()
            .unwrap();
        probe.ready().await.unwrap();
        tokio::task::yield_now().await;
        probe
    });
    // The actor's task is not polled any more.
    let crashed = runtime.block_on(probe.ask(Crash("broken")));
    assert!(matches!(crashed, Err(AskError::Panicked { .. })));
    drop(runtime);
    let other = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let exit = other.block_on(probe.closed());
    assert!(matches!(exit.reason, StopReason::RuntimeGone), "{exit}");
    assert_eq!(exit.account.panicked, 1);
    assert_eq!(exit.panics.len(), 1, "{exit}");
}

/// Occupies its thread until it is released, if it is this one. Answers whether it was.
struct Occupy(ThreadId, Arc<Mutex<Receiver<()>>>);

impl Message for Occupy {
    type Response = bool;
    type Error = Infallible;
}

impl Handler<Occupy> for Probe {
    async fn handle(
        &mut self,
        Occupy(thread, until): Occupy,
        _: &Context<Self>,
    ) -> Result<bool, Infallible> {
        if std::thread::current().id() != thread {
            return Ok(false);
        }
        self.gate.open();
        let _ = until.lock().unwrap().recv();
        Ok(true)
    }
}

#[test]
fn r12_an_asker_that_ends_the_actor_reports_what_its_task_has_noted() {
    let (log, gate) = (Log::default(), Gate::default());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let made = (log.clone(), gate.clone());
    let policy = RestartPolicy::permanent().backoff(Backoff::none());
    let probe = runtime.block_on(async {
        let probe = Builder::supervised(move || Probe::new(&made.0, &made.1), policy)
            .dispatch(Dispatch::InPlace)
            .spawn()
            .unwrap();
        let crashed = probe.ask(Crash("broken")).await;
        assert!(matches!(crashed, Err(AskError::Panicked { .. })));
        probe.ask(Note(1)).await.unwrap();
        probe
    });
    let other = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let (release, until) = std::sync::mpsc::channel();
    let until = Arc::new(Mutex::new(until));
    let exit = std::thread::scope(|scope| {
        let (on, asker) = (runtime.handle().clone(), probe.clone());
        // It runs the handler itself while the actor's task is dropped.
        let asker = scope.spawn(move || {
            let own = std::thread::current().id();
            // Not at once: the actor may not be idle yet.
            while !on
                .block_on(asker.ask(Occupy(own, Arc::clone(&until))))
                .unwrap()
            {}
        });
        other.block_on(gate.pass());
        drop(runtime);
        release.send(()).unwrap();
        asker.join().unwrap();
        other.block_on(probe.closed())
    });
    assert!(exit.is_balanced(), "{exit}");
    assert!(matches!(exit.reason, StopReason::RuntimeGone), "{exit}");
    assert_eq!((exit.restarts, exit.panics.len()), (1, 1), "{exit}");
}
