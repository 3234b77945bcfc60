//! Full mailboxes that drop their newest message or evict their oldest, and owned permits.

use crate::common::{Gate, Log, Note, Probe, occupy, poll_once};
use postroom::actor::{
    Actor, AskError, Builder, Context, Handle, Handler, Message, Overflow, SendError, Told,
};
use postroom::registry::ActorRegistry;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

/// An actor of this capacity whose handler waits at the gate.
async fn occupied(overflow: Overflow, capacity: usize) -> (Handle<Probe>, Log, Gate) {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Builder::new(Probe::new(&log, &gate))
        .capacity(capacity)
        .overflow(overflow)
        .spawn()
        .unwrap();
    occupy(&probe, &gate).await;
    (probe, log, gate)
}

async fn handled(probe: Handle<Probe>, log: &Log, gate: &Gate) -> Vec<u32> {
    gate.open_for_good();
    probe.drain();
    let exit = probe.closed().await;
    assert!(exit.is_balanced(), "{exit}");
    let entries = log.entries();
    entries.iter().filter_map(|it| it.parse().ok()).collect()
}

#[tokio::test]
async fn r04_a_full_mailbox_may_drop_its_newest() {
    let (probe, log, gate) = occupied(Overflow::DropNewest, 2).await;
    assert_eq!(probe.tell(Note(1)).await, Ok(Told::Accepted));
    assert_eq!(probe.try_tell(Note(2)), Ok(Told::Accepted));
    assert_eq!(probe.tell(Note(3)).await, Ok(Told::Dropped));
    assert_eq!(probe.try_tell(Note(4)), Ok(Told::Dropped));
    assert_eq!(probe.recipient().tell(Note(5)).await, Ok(Told::Dropped));
    // An asker wants an answer, and has its message back at once.
    assert!(matches!(
        probe.ask(Note(6)).await,
        Err(AskError::Full(Note(6)))
    ));
    assert!(matches!(
        probe.ask(Note(7)).enqueue().await,
        Err(SendError::Full(Note(7)))
    ));
    let stats = probe.stats();
    assert_eq!((stats.dropped, stats.account.accepted), (3, 3));
    assert_eq!((stats.depth, stats.waiting), (2, 0));
    assert_eq!(handled(probe, &log, &gate).await, [0, 1, 2]);
}

#[tokio::test]
async fn r04_a_full_mailbox_may_evict_its_oldest() {
    let (probe, log, gate) = occupied(Overflow::EvictOldest, 2).await;
    let mut asked = probe.ask(Note(1));
    assert!(poll_once(&mut asked).await.is_pending());
    assert_eq!(probe.tell(Note(2)).await, Ok(Told::Accepted));
    assert_eq!(probe.tell(Note(3)).await, Ok(Told::Accepted));
    assert!(matches!(asked.await, Err(AskError::Evicted(Note(1)))));
    let mut second = probe.ask(Note(4));
    assert!(poll_once(&mut second).await.is_pending());
    let stats = probe.stats();
    assert_eq!((stats.depth, stats.reserved, stats.dropped), (2, 0, 0));
    assert_eq!((stats.account.accepted, stats.account.evicted), (5, 2));
    assert!(stats.account.is_balanced());
    gate.open();
    assert_eq!(second.await.unwrap(), 4);
    assert_eq!(handled(probe, &log, &gate).await, [0, 3, 4]);
}

#[tokio::test]
async fn r04_permits_are_never_evicted() {
    let (probe, log, gate) = occupied(Overflow::EvictOldest, 2).await;
    let first = probe.reserve().await.unwrap();
    probe.try_tell(Note(1)).unwrap();
    assert_eq!(
        probe.try_tell(Note(2)),
        Ok(Told::Accepted),
        "in the place of 1"
    );
    // A permit is not had by evicting.
    {
        let mut reserve = Box::pin(probe.reserve());
        assert!(poll_once(&mut reserve).await.is_pending());
        assert_eq!(
            probe.try_tell(Note(3)),
            Ok(Told::Accepted),
            "in the place of 2"
        );
    }
    first.send(Note(4)).unwrap();
    let permits = {
        gate.open();
        let first = probe.reserve().await.unwrap();
        let second = probe.reserve().await.unwrap();
        [first, second]
    };
    assert_eq!(probe.try_tell(Note(5)), Err(SendError::Full(Note(5))));
    let mut tell = probe.tell(Note(6));
    assert!(poll_once(&mut tell).await.is_pending(), "it waits for room");
    drop(permits);
    assert_eq!(tell.await, Ok(Told::Accepted));
    assert_eq!(probe.stats().account.evicted, 2);
    assert_eq!(handled(probe.clone(), &log, &gate).await, [0, 3, 4, 6]);
}

#[tokio::test]
async fn r04_an_evicted_message_that_was_abandoned_is_counted_as_that() {
    let (probe, log, gate) = occupied(Overflow::EvictOldest, 1).await;
    let mut asked = probe.ask(Note(1));
    assert!(poll_once(&mut asked).await.is_pending());
    drop(asked);
    probe.tell(Note(2)).await.unwrap();
    let account = probe.stats().account;
    assert_eq!((account.abandoned, account.evicted), (1, 0));
    assert_eq!(handled(probe, &log, &gate).await, [0, 2]);
}

#[tokio::test]
async fn r04_overflow_leaves_control_alone() {
    for overflow in [Overflow::DropNewest, Overflow::EvictOldest] {
        let (probe, log, gate) = occupied(overflow, 1).await;
        let mut asked = probe.ask(Note(1));
        assert!(poll_once(&mut asked).await.is_pending());
        probe.stop();
        // Closed is closed: nothing is dropped for it, or pushed out.
        assert_eq!(probe.tell(Note(2)).await, Err(SendError::Closed(Note(2))));
        gate.open_for_good();
        assert!(matches!(asked.await, Err(AskError::Stopped(Note(1)))));
        let exit = probe.closed().await;
        assert!(exit.is_balanced(), "{exit}");
        let stats = probe.stats();
        assert_eq!((stats.dropped, exit.account.evicted), (0, 0), "{exit}");
        assert_eq!(handled(probe, &log, &gate).await, [0]);
    }
}

/// A message that panics when it is dropped before it was handled.
struct Grenade(bool);

impl Drop for Grenade {
    fn drop(&mut self) {
        assert!(!self.0, "a grenade was dropped");
    }
}

impl Message for Grenade {
    type Response = ();
    type Error = Infallible;
}

struct Slow(Gate);

impl Actor for Slow {
    type Error = Infallible;
}

impl Handler<Grenade> for Slow {
    async fn handle(&mut self, mut it: Grenade, _: &Context<Self>) -> Result<(), Infallible> {
        it.0 = false;
        self.0.pass().await;
        Ok(())
    }
}

#[tokio::test]
async fn r12_a_panic_while_dropping_an_evicted_message_is_not_its_evictors() {
    let gate = Gate::default();
    let slow = Builder::new(Slow(gate.clone()))
        .capacity(1)
        .overflow(Overflow::EvictOldest)
        .spawn()
        .unwrap();
    slow.tell(Grenade(true)).await.unwrap();
    gate.wait_entered().await;
    slow.tell(Grenade(true)).await.unwrap();
    assert_eq!(slow.try_tell(Grenade(true)).unwrap(), Told::Accepted);
    gate.open_for_good();
    slow.drain();
    let exit = slow.closed().await;
    assert!(exit.is_balanced(), "{exit}");
    assert_eq!((exit.account.ok, exit.account.evicted), (2, 1), "{exit}");
}

#[tokio::test]
async fn r04_a_registered_actor_has_its_policy() {
    let (log, gate) = (Log::default(), Gate::default());
    let mut builder = ActorRegistry::builder();
    let probe = builder
        .add(Probe::new(&log, &gate))
        .capacity(1)
        .overflow(Overflow::DropNewest)
        .handles::<Note>()
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    occupy(&probe, &gate).await;
    assert_eq!(registry.try_tell(Note(1)), Ok(Told::Accepted));
    assert_eq!(registry.tell(Note(2)).await, Ok(Told::Dropped));
    gate.open_for_good();
    registry.shutdown().await;
    assert_eq!(probe.stats().dropped, 1);
}

#[tokio::test]
async fn r04_an_owned_permit_moves_into_a_task_and_keeps_the_actor() {
    let (probe, log, gate) = occupied(Overflow::Wait, 1).await;
    let closed = probe.closed();
    let permit = probe.clone().reserve_owned().await.unwrap();
    assert_eq!(probe.try_tell(Note(1)), Err(SendError::Full(Note(1))));
    let mut waits = Box::pin(probe.clone().reserve_owned());
    assert!(poll_once(&mut waits).await.is_pending());
    drop(permit);
    let Poll::Ready(Ok(permit)) = poll_once(&mut waits).await else {
        panic!("the slot was passed on");
    };
    drop((waits, probe));
    gate.open();
    let sent = tokio::spawn(async move { permit.send(Note(2)) });
    sent.await.unwrap().unwrap();
    let exit = closed.await;
    assert_eq!((exit.account.ok, exit.account.accepted), (2, 2), "{exit}");
    assert!(log.entries().contains(&"2".to_owned()));
}

/// Counts what it handles, and lets others run meanwhile.
struct Counts(Arc<AtomicU64>);

impl Actor for Counts {
    type Error = Infallible;
}

impl Handler<Note> for Counts {
    async fn handle(
        &mut self,
        Note(n): Note,
        _: &Context<Self>,
    ) -> Result<u32, crate::common::Refusal> {
        self.0.fetch_add(1, Ordering::Relaxed);
        if n % 3 == 0 {
            tokio::task::yield_now().await;
        }
        Ok(n)
    }
}

/// Eight senders on two threads evict from a mailbox of four while the actor takes from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r04_eviction_against_the_receiver_loses_and_doubles_nothing() {
    let each: u32 = std::env::var("POSTROOM_CASES")
        .map_or(4_000, |text| text.parse::<u32>().expect("a number") * 10);
    let ran = Arc::new(AtomicU64::new(0));
    let actor = Builder::new(Counts(Arc::clone(&ran)))
        .capacity(4)
        .overflow(Overflow::EvictOldest)
        .spawn()
        .unwrap();
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..8 {
        let actor = actor.clone();
        senders.spawn(async move {
            let (mut answered, mut evicted) = (0_u64, 0_u64);
            for n in 0..each {
                if (n + sender) % 2 == 0 {
                    actor.tell(Note(n)).await.unwrap();
                } else {
                    match actor.ask(Note(n)).await {
                        Ok(_) => answered += 1,
                        Err(AskError::Evicted(_)) => evicted += 1,
                        Err(error) => panic!("{error}"),
                    }
                }
                let stats = actor.stats();
                assert!(stats.depth + stats.reserved <= 4, "{stats:?}");
            }
            (answered, evicted)
        });
    }
    let (mut answered, mut evicted) = (0, 0);
    while let Some(sums) = senders.join_next().await {
        let sums = sums.unwrap();
        answered += sums.0;
        evicted += sums.1;
    }
    actor.drain();
    let exit = actor.closed().await;
    assert!(exit.is_balanced(), "{exit}");
    assert_eq!(exit.account.accepted, 8 * u64::from(each), "{exit}");
    assert_eq!(exit.account.ok, ran.load(Ordering::Relaxed), "{exit}");
    assert_eq!(
        exit.account.ok + exit.account.evicted,
        exit.account.accepted,
        "{exit}"
    );
    assert!(
        exit.account.ok >= answered && exit.account.evicted >= evicted,
        "{exit}"
    );
}
