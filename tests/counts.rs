//! The regression gate on exact counts: what an operation allocates, and what an idle actor weighs.
//!
//! The figures are those of the last measurement. One that falls is to be lowered here; one that rises is a regression.
//! Instructions are gated by `benches/actors/instructions.sh --check`.
//!
//! A release build keeps the memory of messages, and that in which handlers run, and uses it again; with debug
//! assertions each comes from the allocator, so that checkers of memory see its end. What is gated there is that nothing
//! else is allocated. Without waiting for a release build of everything:
//!
//! ```sh
//! cargo test --no-default-features --test counts --config profile.dev.package.postroom.debug-assertions=false
//! ```

use postroom::actor::{Actor, Builder, Context, Dispatch, Handle, Handler, Message};
use postroom::registry::ActorRegistry;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::convert::Infallible;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const IS_DEBUG: bool = cfg!(debug_assertions);

/// Allocations of a message in the mailbox.
const MESSAGE: usize = if IS_DEBUG { 1 } else { 0 };
/// Allocations of an actor that wakes up to handle small messages.
const WAKING: usize = if IS_DEBUG { 1 } else { 0 };
/// Allocations from an actor's spawn to its report, with one queued ask: it wakes up to start and to stop, and one of
/// its unoptimised hooks does not fit where the other did.
const LIFE: usize = 3 + MESSAGE + 3 * WAKING;
/// Debug builds know of each actor who waits for whom.
const WATCHED: usize = if IS_DEBUG { 8 } else { 0 };
/// Bytes of an idle actor.
const UNREGISTERED: usize = 688 + WATCHED;
/// The same in a registry.
const REGISTERED: usize = 955 + WATCHED;

struct Counter(u64);

impl Actor for Counter {
    type Error = Infallible;
}

struct Add(u64);

impl Message for Add {
    type Response = u64;
    type Error = Infallible;
}

impl Handler<Add> for Counter {
    async fn handle(&mut self, Add(n): Add, _: &Context<Self>) -> Result<u64, Infallible> {
        self.0 += n;
        Ok(self.0)
    }
}

/// Has to wait once, and is large.
struct Wait;

impl Message for Wait {
    type Response = usize;
    type Error = Infallible;
}

impl Handler<Wait> for Counter {
    async fn handle(&mut self, _: Wait, _: &Context<Self>) -> Result<usize, Infallible> {
        let large = [1_u8; 4096];
        tokio::task::yield_now().await;
        Ok(large.len())
    }
}

fn counter(dispatch: Dispatch) -> Handle<Counter> {
    let builder = Builder::new(Counter(0)).dispatch(dispatch);
    builder.spawn().unwrap()
}

fn allocations_so_far() -> usize {
    let stats = INSTRUMENTED_SYSTEM.stats();
    stats.allocations + stats.reallocations
}

fn bytes_in_use() -> usize {
    let stats = INSTRUMENTED_SYSTEM.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

const TIMES: usize = 1_000;

/// Allocations of [`TIMES`] operations, when everything that grows has grown.
async fn allocations(mut operations: impl AsyncFnMut()) -> usize {
    operations().await;
    operations().await;
    let before = allocations_so_far();
    operations().await;
    allocations_so_far() - before
}

/// At most so many allocations for each of [`TIMES`] operations, and none besides.
#[track_caller]
fn gate(what: &str, allocations: usize, each: usize) {
    let bound = each * TIMES;
    assert!(
        allocations <= bound,
        "{allocations} allocations for {TIMES} times {what}, at most {bound}"
    );
}

async fn asks(actor: &Handle<Counter>) {
    for _ in 0..TIMES {
        actor.ask(Add(1)).await.unwrap();
    }
}

async fn gate_messages() {
    let queued = counter(Dispatch::Queue);
    let count = allocations(async || asks(&queued).await).await;
    gate("a queued ask", count, MESSAGE + WAKING);

    let count = allocations(async || {
        for _ in 0..TIMES {
            queued.tell(Add(1)).await.unwrap();
        }
        // Handled, before the next.
        while queued.stats().depth > 0 {
            tokio::task::yield_now().await;
        }
    });
    gate("a tell", count.await, MESSAGE + WAKING);

    let count = allocations(async || {
        for _ in 0..TIMES {
            queued.ask(Wait).await.unwrap();
        }
    });
    gate(
        "an ask whose handler is large and waits",
        count.await,
        MESSAGE,
    );

    let in_place = counter(Dispatch::InPlace);
    in_place.ready().await.unwrap();
    let count = allocations(async || asks(&in_place).await).await;
    gate("an ask in place", count, 0);
    let count = allocations(async || {
        for _ in 0..TIMES {
            in_place.tell(Add(1)).await.unwrap();
        }
    });
    // The thread's 1,024th is among them, and is queued.
    let count = count.await.saturating_sub(MESSAGE + WAKING);
    gate("a tell in place", count, 0);

    let direct = Builder::new(Counter(0)).direct().unwrap();
    let count = allocations(async || {
        for _ in 0..TIMES {
            direct.ask(Add(1)).await.unwrap();
        }
    });
    gate("a direct call", count.await, 0);
}

async fn gate_lives() {
    let count = allocations(async || {
        for _ in 0..TIMES {
            let actor = counter(Dispatch::Queue);
            actor.ask(Add(1)).await.unwrap();
            actor.stop();
            actor.closed().await;
        }
    });
    gate("spawn, ask, stop", count.await, LIFE);
}

/// Bytes of each idle actor, its task included, after a queued message and an ask.
async fn weigh(actors: &[Handle<Counter>], before: usize) -> usize {
    for actor in actors {
        actor.tell(Add(1)).await.unwrap();
        assert_eq!(actor.ask(Add(1)).await.unwrap(), 2);
    }
    tokio::task::yield_now().await;
    (bytes_in_use() - before) / actors.len()
}

async fn weigh_unregistered() -> usize {
    let mut actors = Vec::with_capacity(TIMES);
    let before = bytes_in_use();
    actors.extend((0..TIMES).map(|_| counter(Dispatch::Auto)));
    let bytes = weigh(&actors, before).await;
    for actor in actors {
        actor.stop();
        actor.closed().await;
    }
    bytes
}

async fn weigh_registered() -> usize {
    let mut actors = Vec::with_capacity(TIMES);
    let before = bytes_in_use();
    let mut builder = ActorRegistry::builder();
    for n in 0..TIMES {
        let actor = builder.add(Counter(0)).name(format!("counter {n}"));
        actors.push(actor.register().unwrap());
    }
    let registry = builder.start().await.unwrap();
    let bytes = weigh(&actors, before).await;
    assert!(registry.shutdown().await.is_balanced());
    bytes
}

async fn gate_bytes() {
    // The runtime's own tables grow first.
    weigh_unregistered().await;
    let unregistered = weigh_unregistered().await;
    weigh_registered().await;
    let registered = weigh_registered().await;
    println!("bytes of an idle actor: {unregistered}, registered {registered}");
    // The test kit adds to every actor.
    if !cfg!(feature = "testing") {
        assert!(
            unregistered <= UNREGISTERED,
            "{unregistered} bytes for each actor"
        );
        assert!(
            registered <= REGISTERED,
            "{registered} bytes for each registered actor"
        );
    }
}

/// One test, for there is one allocator.
#[test]
fn operations_allocate_and_actors_weigh_no_more_than_they_did() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        gate_messages().await;
        gate_lives().await;
        gate_bytes().await;
    });
}
