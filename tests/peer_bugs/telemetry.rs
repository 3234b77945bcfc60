//! Bugs 38 and 39: counts that contradict each other, and spans without end.

use crate::common::{Crash, Log, Note, Probe};
use postroom::actor::{Actor, Builder, Context, Handler, Message};
use postroom::supervision::{Backoff, RestartPolicy};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b38_every_snapshot_is_consistent() {
    let policy = RestartPolicy::permanent()
        .backoff(Backoff::none())
        .intensity(u32::MAX, Duration::from_secs(1));
    let gate = crate::common::Gate::default();
    let log = Log::default();
    let probe = Builder::supervised(move || Probe::new(&log, &gate), policy)
        .capacity(8)
        .spawn()
        .unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let (watched, over) = (probe.clone(), Arc::clone(&done));
    let looking = std::thread::spawn(move || {
        let (mut before, mut snapshots) = (watched.stats(), 0_u64);
        while !over.load(Ordering::Acquire) {
            let now = watched.stats();
            assert!(now.account.is_balanced(), "{}", now.account);
            assert!(now.account.running <= 1 && now.depth <= now.capacity);
            assert!(now.high_water >= now.depth && now.high_water >= before.high_water);
            assert!(now.account.settled() <= now.account.accepted);
            assert!(now.account.settled() >= before.account.settled());
            assert!(now.account.ok >= before.account.ok);
            before = now;
            snapshots += 1;
        }
        snapshots
    });
    let senders: Vec<_> = (0..3)
        .map(|sender| {
            let probe = probe.clone();
            tokio::spawn(async move {
                for n in 0..2000 {
                    if (n + sender) % 20 == 0 {
                        assert!(probe.ask(Crash("now and then")).await.is_err());
                    } else {
                        assert_eq!(probe.ask(Note(n)).await.unwrap(), n);
                    }
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    done.store(true, Ordering::Release);
    assert!(looking.join().unwrap() > 0);
    probe.drain();
    let account = probe.closed().await.account;
    assert_eq!(
        (account.ok, account.panicked),
        (5700, 300),
        "a panic is no success"
    );
}

/// Watches how deep spans are entered in each other.
#[derive(Clone, Default)]
struct Depth {
    now: Arc<AtomicUsize>,
    deepest: Arc<AtomicUsize>,
    next: Arc<AtomicUsize>,
    parents: Arc<std::sync::Mutex<Vec<usize>>>,
}

impl Subscriber for Depth {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        // The chain of parents counts, however the spans are entered.
        let mut depths = self.parents.lock().unwrap();
        let parent = attributes
            .parent()
            .map(|id| depths[usize::try_from(id.into_u64()).unwrap() - 1]);
        let current = attributes
            .is_contextual()
            .then(|| self.now.load(Ordering::Relaxed));
        let depth = parent.or(current).unwrap_or(0) + 1;
        depths.push(depth);
        self.deepest.fetch_max(depth, Ordering::Relaxed);
        self.next.fetch_add(1, Ordering::Relaxed);
        Id::from_u64(depths.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {
        let depth = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.deepest.fetch_max(depth, Ordering::Relaxed);
    }

    fn exit(&self, _: &Id) {
        self.now.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Echo(u32);

impl Message for Echo {
    type Response = ();
    type Error = Infallible;
}

impl Handler<Echo> for Probe {
    async fn handle(&mut self, Echo(left): Echo, ctx: &Context<Self>) -> Result<(), Infallible> {
        if left > 0 {
            ctx.handle().unwrap().try_tell(Echo(left - 1)).unwrap();
        }
        Ok(())
    }
}

#[tokio::test]
async fn b39_an_actor_that_tells_itself_nests_no_spans() {
    let depth = Depth::default();
    let _guard = tracing::subscriber::set_default(depth.clone());
    let probe = Probe::default().spawn();
    probe.tell(Echo(1000)).await.unwrap();
    while probe.stats().account.ok < 1001 {
        tokio::task::yield_now().await;
    }
    probe.drain();
    probe.closed().await;
    assert!(depth.deepest.load(Ordering::Relaxed) <= 2);
}
