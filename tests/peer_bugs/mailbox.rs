//! Bugs 9, 20-24 and 28: order, room and what is left in a mailbox.

use crate::common::{Gate, Held, Log, Note, Probe, occupy, poll_once};
use postroom::actor::{
    Actor, Batch, Builder, Context, Handler, Message, Receive, SendError, StopReason,
};
use postroom::registry::ActorRegistry;
use postroom::supervision::{Backoff, RestartPolicy};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Logs how many messages each batch had.
struct Batches(Log, Gate);

struct Item(usize);

impl Message for Item {
    type Response = usize;
    type Error = Infallible;
}

impl Actor for Batches {
    type Error = Infallible;
}

impl Receive<Item> for Batches {
    const MAX_BATCH: usize = 4;

    async fn receive(&mut self, batch: Batch<Item>, _: &Context<Self>) {
        self.0.add(batch.len().to_string());
        for (Item(n), reply) in batch {
            reply.ok(n);
        }
    }
}

impl Handler<Held> for Batches {
    async fn handle(
        &mut self,
        Held(n): Held,
        _: &Context<Self>,
    ) -> Result<u32, crate::common::Refusal> {
        self.1.pass().await;
        Ok(n)
    }
}

#[tokio::test]
async fn b09_batches_of_every_size_lose_and_repeat_nothing() {
    for backlog in 0..=9 {
        let (log, gate) = (Log::default(), Gate::default());
        let actor = Batches(log.clone(), gate.clone()).spawn();
        actor.tell(Held(0)).await.unwrap();
        gate.wait_entered().await;
        let mut asks: Vec<_> = (0..backlog).map(|n| actor.ask(Item(n))).collect();
        for ask in &mut asks {
            assert!(poll_once(ask).await.is_pending());
        }
        gate.open();
        for (n, ask) in asks.into_iter().enumerate() {
            assert_eq!(ask.await.unwrap(), n);
        }
        let sizes: Vec<usize> = log
            .entries()
            .iter()
            .map(|size| size.parse().unwrap())
            .collect();
        let mut expected = vec![4; backlog / 4];
        expected.extend((backlog % 4 > 0).then_some(backlog % 4));
        assert_eq!(sizes, expected, "of {backlog}");
    }
}

/// Waits at the gate in `started`.
struct SlowStart(Log, Gate);

impl Actor for SlowStart {
    type Error = Infallible;

    async fn started(&mut self, _: &Context<Self>) -> Result<(), Infallible> {
        self.1.pass().await;
        Ok(())
    }
}

impl Handler<Note> for SlowStart {
    async fn handle(
        &mut self,
        Note(n): Note,
        _: &Context<Self>,
    ) -> Result<u32, crate::common::Refusal> {
        self.0.add(n.to_string());
        Ok(n)
    }
}

#[tokio::test]
async fn b20_an_actor_with_one_slot_that_is_taken_starts() {
    let gate = Gate::default();
    let actor = Builder::new(SlowStart(Log::default(), gate.clone()))
        .capacity(1)
        .spawn()
        .unwrap();
    let mut early = actor.ask(Note(1));
    assert!(poll_once(&mut early).await.is_pending());
    assert!(matches!(actor.try_tell(Note(2)), Err(SendError::Full(_))));
    gate.open();
    actor.ready().await.unwrap();
    assert_eq!(early.await.unwrap(), 1);
}

#[tokio::test]
async fn b21_nothing_is_buffered_beside_the_mailbox_before_the_start() {
    let (log, gate) = (Log::default(), Gate::default());
    let actor = Builder::new(SlowStart(log.clone(), gate.clone()))
        .capacity(3)
        .spawn()
        .unwrap();
    gate.wait_entered().await;
    let mut tells: Vec<_> = (0..1000).map(|n| actor.tell(Note(n))).collect();
    let mut accepted = 0;
    for tell in &mut tells {
        accepted += usize::from(poll_once(tell).await.is_ready());
    }
    let stats = actor.stats();
    assert_eq!((accepted, stats.depth, stats.waiting), (3, 3, 997));
    gate.open();
    for tell in tells.drain(3..) {
        tell.await.unwrap();
    }
    drop(tells);
    actor.drain();
    assert_eq!(actor.closed().await.account.ok, 1000);
    assert_eq!(actor.stats().high_water, 3);
    let expected: Vec<_> = (0..1000).map(|n: u32| n.to_string()).collect();
    assert_eq!(log.entries(), expected);
}

/// Logs who sent what, and now and then panics.
struct Ledger(Log);

struct Entry {
    sender: usize,
    n: usize,
}

impl Message for Entry {
    type Response = ();
    type Error = Infallible;
}

struct Panic;

impl Message for Panic {
    type Response = ();
    type Error = Infallible;
}

impl Actor for Ledger {
    type Error = Infallible;
}

impl Handler<Entry> for Ledger {
    async fn handle(&mut self, entry: Entry, _: &Context<Self>) -> Result<(), Infallible> {
        if entry.n.is_multiple_of(3) {
            tokio::task::yield_now().await;
        }
        self.0.add(format!("{} {}", entry.sender, entry.n));
        Ok(())
    }
}

impl Handler<Panic> for Ledger {
    async fn handle(&mut self, _: Panic, _: &Context<Self>) -> Result<(), Infallible> {
        std::panic::panic_any("now and then")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b22_each_sender_is_handled_in_its_order_whatever_it_uses_and_whatever_fails() {
    const EACH: usize = 2000;
    let log = Log::default();
    let made = log.clone();
    let policy = RestartPolicy::permanent()
        .backoff(Backoff::none())
        .intensity(u32::MAX, Duration::from_secs(1));
    let ledger = Builder::supervised(move || Ledger(made.clone()), policy)
        .capacity(3)
        .spawn()
        .unwrap();
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                let entries = ledger.recipient::<Entry>();
                for n in 0..EACH {
                    let entry = Entry { sender, n };
                    match (n + sender) % 5 {
                        0 => ledger.ask(entry).await.unwrap(),
                        1 => ledger.reserve().await.unwrap().send(entry).unwrap(),
                        2 => {
                            entries.tell(entry).await.unwrap();
                        }
                        3 => {
                            if let Err(error) = ledger.try_tell(entry) {
                                ledger.tell(error.into_message()).await.unwrap();
                            }
                        }
                        _ => {
                            ledger.tell(entry).await.unwrap();
                        }
                    }
                    if n % 500 == 0 {
                        ledger.tell(Panic).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    ledger.drain();
    let exit = ledger.closed().await;
    assert_eq!(
        (exit.account.ok, exit.account.panicked),
        (4 * EACH as u64, 16)
    );
    let mut next = [0; 4];
    for entry in log.entries() {
        let (sender, n) = entry.split_once(' ').unwrap();
        let sender: usize = sender.parse().unwrap();
        assert_eq!(
            n.parse::<usize>().unwrap(),
            next[sender],
            "of sender {sender}"
        );
        next[sender] += 1;
    }
    assert_eq!(next, [EACH; 4]);
}

/// Keeps its own mailbox full.
struct Treadmill;

struct Tick;

impl Message for Tick {
    type Response = ();
    type Error = Infallible;
}

impl Actor for Treadmill {
    type Error = Infallible;
}

impl Handler<Tick> for Treadmill {
    async fn handle(&mut self, _: Tick, ctx: &Context<Self>) -> Result<(), Infallible> {
        if let Some(me) = ctx.handle() {
            while me.try_tell(Tick).is_ok() {}
        }
        Ok(())
    }
}

#[tokio::test]
async fn b23_a_flood_delays_neither_a_stop_nor_other_tasks() {
    let treadmill = Builder::new(Treadmill).capacity(64).spawn().unwrap();
    treadmill.tell(Tick).await.unwrap();
    let elsewhere = tokio::spawn(async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    });
    elsewhere.await.unwrap();
    let before = treadmill.stats().account;
    assert!(before.ok > 0, "it ran meanwhile");
    treadmill.stop();
    let after = treadmill.closed().await.account;
    assert!(
        after.ok - before.ok <= 1,
        "at most the handler that was running: {before} {after}"
    );
    assert_eq!(after.undelivered, after.accepted - after.ok);
}

#[tokio::test]
async fn b24_cancelled_waits_give_their_room_back_and_are_not_delivered() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Builder::new(Probe::new(&log, &gate))
        .capacity(2)
        .spawn()
        .unwrap();
    occupy(&probe, &gate).await;
    probe.tell(Note(1)).await.unwrap();
    probe.tell(Note(2)).await.unwrap();
    let mut parked: Vec<_> = (0..1000).map(|n| probe.tell(Note(1000 + n))).collect();
    for tell in &mut parked {
        assert!(poll_once(tell).await.is_pending());
    }
    // Some are promised a slot before they are dropped.
    gate.open();
    let mut last = probe.tell(Held(3));
    assert!(poll_once(&mut last).await.is_pending());
    drop(parked);
    last.await.unwrap();
    gate.wait_entered().await;
    let stats = probe.stats();
    assert_eq!((stats.depth, stats.waiting, stats.reserved), (0, 0, 0));
    probe.try_tell(Note(4)).unwrap();
    probe.try_tell(Note(5)).unwrap();
    assert!(matches!(probe.try_tell(Note(6)), Err(SendError::Full(_))));
    gate.open();
    probe.drain();
    assert!(probe.closed().await.is_balanced());
    let handled = &log.entries()[1..7];
    assert_eq!(handled, ["0", "1", "2", "3", "4", "5"]);
}

/// Tells when it is dropped.
struct Counted(Arc<AtomicU64>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Message for Counted {
    type Response = ();
    type Error = Infallible;
}

impl Handler<Counted> for Probe {
    async fn handle(&mut self, _: Counted, _: &Context<Self>) -> Result<(), Infallible> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn b28_messages_that_are_never_handled_are_dropped_all_the_same() {
    let dropped = Arc::new(AtomicU64::new(0));
    let message = || Counted(Arc::clone(&dropped));
    let seen = || dropped.swap(0, Ordering::Relaxed);

    // Queued behind a handler that is killed, itself among them.
    let probe = Probe::default().spawn();
    for _ in 0..5 {
        probe.tell(message()).await.unwrap();
    }
    tokio::task::yield_now().await;
    probe.kill();
    let exit = probe.closed().await;
    assert_eq!(
        (exit.account.cancelled, exit.account.undelivered, seen()),
        (1, 4, 5)
    );

    // In a registry that never starts.
    let mut builder = ActorRegistry::builder();
    let registered = builder.add(Probe::default()).name("p").register().unwrap();
    registered.tell(message()).await.unwrap();
    drop(builder);
    assert_eq!(seen(), 1);
    assert!(matches!(
        registered.closed().await.reason,
        StopReason::NeverStarted
    ));

    // Refused.
    drop(registered.try_tell(message()));
    assert_eq!(seen(), 1);
}

#[test]
fn b28_messages_are_dropped_with_their_runtime() {
    let dropped = Arc::new(AtomicU64::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let probe = runtime.block_on(async {
        let probe = Probe::default().spawn();
        probe.tell(Counted(Arc::clone(&dropped))).await.unwrap();
        tokio::task::yield_now().await;
        probe.tell(Counted(Arc::clone(&dropped))).await.unwrap();
        probe
    });
    drop(runtime);
    assert_eq!(dropped.load(Ordering::Relaxed), 2);
    assert!(probe.is_closed());
}
