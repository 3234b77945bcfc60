//! Random schedules of senders, cancellations, restarts and ends, against real actors on both runtimes.

use postroom::actor::{
    Actor, AskError, Builder, Context, Dispatch, Exit, Handle, Handler, Message, Overflow,
    SendError, Told,
};
use postroom::supervision::RestartPolicy;
use proptest::collection::vec;
use proptest::prelude::*;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::Instant;

/// How many cases a property has; `POSTROOM_CASES` changes it.
fn cases(usual: u32) -> u32 {
    std::env::var("POSTROOM_CASES").map_or(usual, |text| text.parse().expect("a number"))
}

/// One send.
#[derive(Clone, Debug)]
struct Send {
    how: How,
    /// How often its handler waits.
    waits: u8,
    bang: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Tell,
    TryTell,
    Permit,
    /// A permit that is used in another task, or dropped there.
    OwnedPermit(bool),
    Ask,
    TryAsk,
    /// Polled a few times and dropped.
    Given(u8),
    /// With a deadline that has passed.
    Late,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Drain,
    Stop,
    Kill,
    HandlesDropped,
}

#[derive(Clone, Debug)]
struct Plan {
    capacity: usize,
    overflow: Overflow,
    dispatch: Dispatch,
    senders: Vec<Vec<Send>>,
    end: End,
    /// After how many sends the end comes.
    after: usize,
}

fn plan() -> impl Strategy<Value = Plan> {
    let how = prop_oneof![
        3 => Just(How::Tell),
        2 => Just(How::TryTell),
        1 => Just(How::Permit),
        1 => prop::bool::weighted(0.7).prop_map(How::OwnedPermit),
        4 => Just(How::Ask),
        1 => Just(How::TryAsk),
        2 => (0..3_u8).prop_map(How::Given),
        1 => Just(How::Late),
    ];
    let send = (how, 0..3_u8, prop::bool::weighted(0.05)).prop_map(|(how, waits, bang)| Send {
        how,
        waits,
        bang,
    });
    let dispatch = prop_oneof![
        Just(Dispatch::Queue),
        Just(Dispatch::InPlace),
        Just(Dispatch::Auto)
    ];
    let overflow = prop_oneof![
        Just(Overflow::Wait),
        Just(Overflow::DropNewest),
        Just(Overflow::EvictOldest)
    ];
    let end = prop_oneof![
        2 => Just(End::HandlesDropped),
        1 => Just(End::Drain),
        1 => Just(End::Stop),
        1 => Just(End::Kill),
    ];
    let senders = vec(vec(send, 1..12), 1..5);
    (1..5_usize, overflow, dispatch, senders, end, 0..40_usize).prop_map(
        |(capacity, overflow, dispatch, senders, end, after)| Plan {
            capacity,
            overflow,
            dispatch,
            senders,
            end,
            after,
        },
    )
}

/// A message that knows when its send began.
struct Step {
    sender: usize,
    begun: u64,
    waits: u8,
    bang: bool,
}

impl Message for Step {
    type Response = ();
    type Error = Infallible;
}

/// What all incarnations and all senders of one run share.
#[derive(Default)]
struct World {
    /// Ticks with everything that happens.
    clock: AtomicU64,
    sent: AtomicUsize,
    /// Messages in the order in which their handlers started: sender, and when the send had begun.
    handled: Mutex<Vec<(usize, u64)>>,
    /// When sends returned `Ok`, by when they had begun.
    returned: Mutex<Vec<(u64, u64)>>,
    inside: AtomicUsize,
    tally: Mutex<Tally>,
}

/// What the senders saw.
#[derive(Debug, Default)]
struct Tally {
    accepted: u64,
    ok: u64,
    panicked: u64,
    cancelled: u64,
    undelivered: u64,
    evicted: u64,
    /// Told, and not accepted.
    dropped: u64,
    /// Accepted or not, its sender went away.
    unknown: u64,
}

impl World {
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }
}

struct Worker(Arc<World>);

impl Actor for Worker {
    type Error = Infallible;
}

impl Handler<Step> for Worker {
    async fn handle(&mut self, step: Step, _: &Context<Self>) -> Result<(), Infallible> {
        struct Inside(Arc<World>);
        impl Drop for Inside {
            fn drop(&mut self) {
                self.0.inside.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let inside = Inside(Arc::clone(&self.0));
        assert_eq!(self.0.inside.fetch_add(1, Ordering::SeqCst), 0, "alone");
        let entry = (step.sender, step.begun);
        self.0.handled.lock().unwrap().push(entry);
        for _ in 0..step.waits {
            yield_now().await;
        }
        if step.bang {
            drop(inside);
            std::panic::resume_unwind(Box::new("bang"));
        }
        Ok(())
    }
}

async fn send(world: &World, worker: &Handle<Worker>, sender: usize, send: &Send) {
    let begun = world.now();
    let step = Step {
        sender,
        begun,
        waits: send.waits,
        bang: send.bang,
    };
    let mut accepted = false;
    let count = |change: &dyn Fn(&mut Tally)| change(&mut world.tally.lock().unwrap());
    match send.how {
        How::Tell | How::TryTell => {
            let told = match send.how {
                How::Tell => worker.tell(step).await,
                _ => worker.try_tell(step),
            };
            match told {
                Ok(Told::Dropped) => count(&|tally| tally.dropped += 1),
                told => accepted = told.is_ok(),
            }
        }
        How::Permit => match worker.reserve().await {
            Ok(permit) => accepted = permit.send(step).is_ok(),
            Err(error) => assert_eq!(error, SendError::Closed(())),
        },
        How::OwnedPermit(is_used) => match worker.clone().reserve_owned().await {
            Ok(permit) if is_used => {
                let used = tokio::spawn(async move { permit.send(step).is_ok() });
                accepted = used.await.unwrap();
            }
            Ok(permit) => tokio::spawn(async { drop(permit) }).await.unwrap(),
            Err(error) => assert_eq!(error, SendError::Closed(())),
        },
        How::Given(polls) => {
            let mut ask = pin!(worker.ask(step));
            let mut left = polls;
            std::future::poll_fn(|cx| {
                if left == 0 || ask.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                left -= 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
            count(&|tally| tally.unknown += 1);
        }
        How::Ask | How::TryAsk | How::Late => {
            let ask = match send.how {
                How::TryAsk => worker.try_ask(step),
                How::Late => worker.ask(step).deadline(Instant::now()),
                _ => worker.ask(step),
            };
            match ask.await {
                Ok(()) => count(&|tally| {
                    tally.accepted += 1;
                    tally.ok += 1;
                }),
                Err(AskError::Panicked { .. }) => count(&|tally| {
                    tally.accepted += 1;
                    tally.panicked += 1;
                }),
                Err(AskError::Cancelled { .. }) => count(&|tally| {
                    tally.accepted += 1;
                    tally.cancelled += 1;
                }),
                Err(AskError::Stopped(_)) => count(&|tally| {
                    tally.accepted += 1;
                    tally.undelivered += 1;
                }),
                Err(AskError::Evicted(_)) => count(&|tally| {
                    tally.accepted += 1;
                    tally.evicted += 1;
                }),
                Err(AskError::Closed(_) | AskError::Full(_)) => {}
                // Whether it had a slot is not told.
                Err(AskError::Expired(_) | AskError::TimedOut { .. }) => {
                    count(&|tally| tally.unknown += 1);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    if accepted {
        world.returned.lock().unwrap().push((begun, world.now()));
        count(&|tally| tally.accepted += 1);
    }
    world.sent.fetch_add(1, Ordering::SeqCst);
}

async fn follow(plan: Plan) -> (Arc<World>, Arc<Exit>) {
    let world = Arc::new(World::default());
    let made = Arc::clone(&world);
    let policy = RestartPolicy::permanent()
        .intensity(1000, Duration::from_hours(1))
        .backoff(postroom::supervision::Backoff::none());
    let worker = Builder::supervised(move || Worker(Arc::clone(&made)), policy)
        .capacity(plan.capacity)
        .overflow(plan.overflow)
        .dispatch(plan.dispatch)
        .spawn()
        .unwrap();
    let closed = worker.closed();
    let mut tasks = tokio::task::JoinSet::new();
    for (n, sends) in plan.senders.into_iter().enumerate() {
        let (world, worker) = (Arc::clone(&world), worker.clone());
        tasks.spawn(async move {
            for each in &sends {
                send(&world, &worker, n, each).await;
            }
        });
    }
    // The capacity is never exceeded, whenever one looks.
    while world.sent.load(Ordering::SeqCst) < plan.after && !tasks.is_empty() {
        let stats = worker.stats();
        assert!(stats.depth + stats.reserved <= plan.capacity, "{stats:?}");
        assert!(stats.high_water <= plan.capacity, "{stats:?}");
        assert!(stats.account.is_balanced(), "{stats:?}");
        while let Some(joined) = tasks.try_join_next() {
            joined.unwrap();
        }
        yield_now().await;
    }
    let kept = match plan.end {
        End::Drain => {
            worker.drain();
            Some(worker)
        }
        End::Stop => {
            worker.stop();
            Some(worker)
        }
        End::Kill => {
            worker.kill();
            Some(worker)
        }
        End::HandlesDropped => {
            drop(worker);
            None
        }
    };
    while let Some(joined) = tasks.join_next().await {
        joined.unwrap();
    }
    let exit = closed.await;
    let dropped = world.tally.lock().unwrap().dropped;
    if let Some(worker) = kept {
        assert_eq!(worker.stats().dropped, dropped);
    }
    match plan.overflow {
        Overflow::EvictOldest => assert_eq!(dropped, 0),
        Overflow::DropNewest => assert_eq!(exit.account.evicted, 0, "{exit}"),
        _ => assert_eq!((exit.account.evicted, dropped), (0, 0), "{exit}"),
    }
    (world, exit)
}

fn check(world: &World, exit: &Exit) {
    let account = exit.account;
    assert!(exit.is_balanced(), "{exit}");
    assert_eq!((account.queued, account.running), (0, 0), "{exit}");
    let tally = world.tally.lock().unwrap();
    assert!(account.accepted >= tally.accepted, "{exit}: {tally:?}");
    assert!(
        account.accepted <= tally.accepted + tally.unknown,
        "{exit}: {tally:?}"
    );
    assert!(account.ok >= tally.ok, "{exit}: {tally:?}");
    assert!(account.panicked >= tally.panicked, "{exit}: {tally:?}");
    assert!(account.cancelled >= tally.cancelled, "{exit}: {tally:?}");
    assert!(account.evicted >= tally.evicted, "{exit}: {tally:?}");
    assert!(
        account.undelivered >= tally.undelivered,
        "{exit}: {tally:?}"
    );
    let handled = world.handled.lock().unwrap();
    let run = account.ok + account.panicked + account.cancelled;
    // A handler that a kill finds before its first poll has left no mark.
    assert!((handled.len() as u64) <= run, "{exit}");
    assert!(
        (handled.len() as u64) >= account.ok + account.panicked,
        "{exit}"
    );
    let returned = world.returned.lock().unwrap();
    let end = |begun: u64| returned.iter().find(|it| it.0 == begun).map(|it| it.1);
    for (at, &(sender, begun)) in handled.iter().enumerate() {
        for &(later_sender, later_begun) in &handled[at + 1..] {
            assert!(
                sender != later_sender || begun < later_begun,
                "sender {sender} is handled in its own order"
            );
            let later_end = end(later_begun);
            assert!(
                later_end.is_none_or(|end| end > begun),
                "a send that had returned before another began is handled first"
            );
        }
    }
}

fn on_each_runtime(plan: &Plan) {
    let current = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let multi = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(3)
        .enable_time()
        .build();
    for runtime in [current.unwrap(), multi.unwrap()] {
        let (world, exit) = runtime
            .block_on(async { tokio::spawn(follow(plan.clone())).await })
            .unwrap();
        check(&world, &exit);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(150), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn r16_any_schedule_of_senders_and_ends_conserves_every_message(plan in plan()) {
        on_each_runtime(&plan);
    }
}

/// Senders that run the handlers themselves, on two threads, while the actor is ended or its runtime goes away.
#[test]
fn r23_handlers_in_place_survive_every_end() {
    for round in 0..cases(150) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .build()
            .unwrap();
        let world = Arc::new(World::default());
        let made = Arc::clone(&world);
        let worker = {
            let _inside = runtime.enter();
            let policy = RestartPolicy::permanent()
                .intensity(100_000, Duration::from_hours(1))
                .backoff(postroom::supervision::Backoff::none());
            Builder::supervised(move || Worker(Arc::clone(&made)), policy)
                .dispatch(Dispatch::InPlace)
                .spawn()
                .unwrap()
        };
        let senders: Vec<_> = (0..3)
            .map(|n| {
                let (world, worker) = (Arc::clone(&world), worker.clone());
                runtime.spawn(async move {
                    for turn in 0_u32.. {
                        let one = Send {
                            how: if turn % 2 == 0 { How::Ask } else { How::Tell },
                            waits: u8::from(turn % 3 == 0),
                            bang: (turn + n) % 7 == 0,
                        };
                        send(&world, &worker, n as usize, &one).await;
                        if worker.is_closed() || worker.stats().level > postroom::actor::Level::Open
                        {
                            return;
                        }
                    }
                })
            })
            .collect();
        while world.sent.load(Ordering::SeqCst) < 20 + round as usize % 17 {
            std::thread::yield_now();
        }
        match round % 4 {
            0 => worker.kill(),
            1 => worker.stop(),
            2 => worker.drain(),
            _ => {
                runtime.shutdown_timeout(Duration::from_mins(1));
                let exit = end_of(&worker);
                assert!(exit.is_balanced(), "{exit}");
                assert_eq!(
                    (exit.account.queued, exit.account.running),
                    (0, 0),
                    "{exit}"
                );
                continue;
            }
        }
        let exit = end_of(&worker);
        runtime.block_on(async {
            for sender in senders {
                sender.await.unwrap();
            }
        });
        check(&world, &exit);
    }
}

/// An actor that a panic has broken.
#[derive(Default)]
struct Fragile {
    is_broken: bool,
}

impl Actor for Fragile {
    type Error = Infallible;
}

enum Touch {
    Once,
    Twice,
    Break,
}

impl Message for Touch {
    type Response = ();
    type Error = Infallible;
}

impl Handler<Touch> for Fragile {
    async fn handle(&mut self, touch: Touch, _: &Context<Self>) -> Result<(), Infallible> {
        assert!(!self.is_broken, "handled after a panic");
        match touch {
            Touch::Once => {}
            Touch::Twice => yield_now().await,
            Touch::Break => {
                self.is_broken = true;
                std::panic::resume_unwind(Box::new("broken"));
            }
        }
        Ok(())
    }
}

/// The actor's task lets go of the turn and finds that it has work after all, while askers run handlers that wait or
/// panic: it goes on with what they have left.
#[test]
fn r23_a_task_that_rests_and_finds_work_takes_over_what_an_asker_left() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(3)
        .enable_time()
        .build()
        .unwrap();
    let worker = {
        let _inside = runtime.enter();
        let policy = RestartPolicy::permanent()
            .intensity(u32::MAX, Duration::from_hours(1))
            .backoff(postroom::supervision::Backoff::none());
        Builder::supervised(Fragile::default, policy)
            .dispatch(Dispatch::InPlace)
            .spawn()
            .unwrap()
    };
    let askers = [(); 2].map(|()| {
        let worker = worker.clone();
        runtime.spawn(async move {
            let mut broken = 0;
            for turn in 0..cases(60_000) {
                let touch = match turn % 16 {
                    0 => Touch::Break,
                    n if n % 2 == 0 => Touch::Once,
                    _ => Touch::Twice,
                };
                match worker.ask(touch).await {
                    Ok(()) => {}
                    Err(AskError::Panicked { text, .. }) => {
                        assert_eq!(&*text, "broken");
                        broken += 1;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            // The last end of an incarnation is followed by another one, whatever the count.
            worker.ask(Touch::Once).await.unwrap();
            broken
        })
    });
    // Each tell comes when the one before has left the queue: when the actor is about to rest.
    while !askers.iter().any(tokio::task::JoinHandle::is_finished) {
        if worker.stats().depth == 0 {
            worker.try_tell(Touch::Once).unwrap();
        }
    }
    let (broken, exit) = runtime.block_on(async {
        let [first, second] = askers;
        let (first, second) = tokio::try_join!(first, second).unwrap();
        let broken = first + second;
        worker.drain();
        (broken, worker.closed().await)
    });
    assert!(exit.is_balanced(), "{exit}");
    assert_eq!((exit.account.queued, exit.account.running), (0, 0));
    assert_eq!((exit.restarts, exit.account.panicked), (broken, broken));
}

fn end_of(worker: &Handle<Worker>) -> Arc<Exit> {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(worker.closed())
}
