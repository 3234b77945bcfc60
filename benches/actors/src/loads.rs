//! The loads: what is asked of the actors, and how each is timed.
//!
//! Every load verifies, outside its timed region, that the actors did all the work.

use crate::library::{Library, MixedSubject, Route, Subject};
use crate::runtimes::spawn;
use crate::work::{CAPACITY, Plain, Work};
use futures_util::future::join_all;
use std::future::Future;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Something to be timed, with the actors that it needs.
pub trait Load: Sized + Send + 'static {
    /// Operations come in multiples of this.
    const STEP: u64 = 1;
    fn prepare() -> impl Future<Output = Self> + Send;
    /// Does a multiple of `STEP` operations, and returns how long it took until the last one was handled.
    fn run(&mut self, operations: u64) -> impl Future<Output = Duration> + Send;
    fn finish(self) -> impl Future<Output = ()> + Send;
}

/// Operations as they are done: the next multiple of the step.
pub fn whole_steps<T: Load>(operations: u64) -> u64 {
    operations.div_ceil(T::STEP).max(1) * T::STEP
}

/// One sample: new actors, a warm-up, a pause in which idle workers go to sleep, the timed operations.
pub async fn sample<T: Load>(operations: u64) -> (Duration, u64) {
    let operations = whole_steps::<T>(operations);
    let mut load = T::prepare().await;
    load.run(whole_steps::<T>(operations / 8)).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let took = load.run(operations).await;
    load.finish().await;
    (took, operations)
}

/// A counter, and what it should have counted.
struct Rig<L: Library, W: Work> {
    actor: L::Counter<W>,
    life: <L::Counter<W> as Subject>::Life,
    expected: u64,
}

impl<L: Library, W: Work> Rig<L, W> {
    async fn start(capacity: usize) -> Self {
        let (actor, life) = L::Counter::<W>::start(capacity).await;
        let rig = Self {
            actor,
            life,
            expected: 0,
        };
        // It has started once it answers.
        rig.verify().await;
        rig
    }

    async fn verify(&self) {
        let total = self.actor.ask(0).await;
        assert_eq!(total, self.expected, "{} lost messages", L::NAME);
    }

    /// Ends a stream of tells: all are handled when this is.
    async fn drained(&self) {
        while self.actor.ask(0).await < self.expected {}
    }
}

/// That many tasks asking one actor, each one ask at a time. One asks from the measured task itself.
pub struct Asks<L: Library, W: Work, const TASKS: u64>(Rig<L, W>);

impl<L: Library, W: Work, const TASKS: u64> Load for Asks<L, W, TASKS> {
    const STEP: u64 = TASKS;

    async fn prepare() -> Self {
        Self(Rig::start(CAPACITY).await)
    }

    async fn run(&mut self, operations: u64) -> Duration {
        self.0.expected += operations;
        let took = if TASKS == 1 {
            let begun = Instant::now();
            for _ in 0..operations {
                black_box(self.0.actor.ask(1).await);
            }
            begun.elapsed()
        } else {
            let actor = &self.0.actor;
            in_tasks::<L, _, _>(TASKS, || {
                let actor = actor.clone();
                async move {
                    for _ in 0..operations / TASKS {
                        black_box(actor.ask(1).await);
                    }
                }
            })
            .await
        };
        self.0.verify().await;
        took
    }

    async fn finish(self) {
        self.0.actor.stop(self.0.life).await;
    }
}

/// Runs tasks to their ends. The list of them is made before the clock starts.
async fn in_tasks<L, F, Fut>(count: u64, make: F) -> Duration
where
    L: Library,
    F: Fn() -> Fut + Send,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut tasks = Vec::with_capacity(usize::try_from(count).expect("a few"));
    let begun = Instant::now();
    for _ in 0..count {
        tasks.push(spawn::<L, _>(make()));
    }
    for task in &mut tasks {
        task.await.expect("a caller does not panic");
    }
    begun.elapsed()
}

/// That many tasks streaming tells to one actor with that much room.
pub struct Tells<L: Library, W: Work, const TASKS: u64, const ROOM: usize>(Rig<L, W>);

impl<L: Library, W: Work, const TASKS: u64, const ROOM: usize> Load for Tells<L, W, TASKS, ROOM> {
    const STEP: u64 = TASKS;

    async fn prepare() -> Self {
        Self(Rig::start(ROOM).await)
    }

    async fn run(&mut self, operations: u64) -> Duration {
        self.0.expected += operations;
        let took = if TASKS == 1 {
            let begun = Instant::now();
            for _ in 0..operations {
                self.0.actor.tell(1).await;
            }
            self.0.drained().await;
            begun.elapsed()
        } else {
            let actor = &self.0.actor;
            let told = in_tasks::<L, _, _>(TASKS, || {
                let actor = actor.clone();
                async move {
                    for _ in 0..operations / TASKS {
                        actor.tell(1).await;
                    }
                }
            })
            .await;
            let begun = Instant::now();
            self.0.drained().await;
            told + begun.elapsed()
        };
        self.0.verify().await;
        took
    }

    async fn finish(self) {
        self.0.actor.stop(self.0.life).await;
    }
}

const MANY: u64 = 100;

/// One sender telling 100 actors in turn.
pub struct RoundRobin<L: Library>(Vec<Rig<L, Plain>>);

impl<L: Library> Load for RoundRobin<L> {
    const STEP: u64 = MANY;

    async fn prepare() -> Self {
        let mut rigs = Vec::new();
        for _ in 0..MANY {
            rigs.push(Rig::start(CAPACITY).await);
        }
        Self(rigs)
    }

    async fn run(&mut self, operations: u64) -> Duration {
        let each = operations / MANY;
        for rig in &mut self.0 {
            rig.expected += each;
        }
        let begun = Instant::now();
        for _ in 0..each {
            for rig in &self.0 {
                rig.actor.tell(1).await;
            }
        }
        for rig in &self.0 {
            rig.drained().await;
        }
        let took = begun.elapsed();
        for rig in &self.0 {
            rig.verify().await;
        }
        took
    }

    async fn finish(self) {
        for rig in self.0 {
            rig.actor.stop(rig.life).await;
        }
    }
}

/// An actor's whole life: spawned, started, first answer, stopped, ended.
pub struct Lives<L>(std::marker::PhantomData<L>);

impl<L: Library> Load for Lives<L> {
    async fn prepare() -> Self {
        Self(std::marker::PhantomData)
    }

    async fn run(&mut self, operations: u64) -> Duration {
        let begun = Instant::now();
        for _ in 0..operations {
            let (actor, life) = L::Counter::<Plain>::start(CAPACITY).await;
            assert_eq!(actor.ask(1).await, 1);
            actor.stop(life).await;
        }
        begun.elapsed()
    }

    async fn finish(self) {}
}

/// An ask right behind a tell, so that it finds a message in front and must queue, unless the tell has run the handler.
/// The pair is one operation.
pub struct Queued<L: Library>(Rig<L, Plain>);

impl<L: Library> Load for Queued<L> {
    async fn prepare() -> Self {
        Self(Rig::start(CAPACITY).await)
    }

    async fn run(&mut self, operations: u64) -> Duration {
        self.0.expected += operations * 2;
        let begun = Instant::now();
        for _ in 0..operations {
            self.0.actor.tell(1).await;
            black_box(self.0.actor.ask(1).await);
        }
        let took = begun.elapsed();
        self.0.verify().await;
        took
    }

    async fn finish(self) {
        self.0.actor.stop(self.0.life).await;
    }
}

/// One task joining asks of 100 idle actors, each of which computes for 20 us.
pub struct Join<L: Library>(Vec<Rig<L, crate::work::Computes>>);

impl<L: Library> Load for Join<L> {
    const STEP: u64 = MANY;

    async fn prepare() -> Self {
        crate::work::twenty_microseconds();
        let mut rigs = Vec::new();
        for _ in 0..MANY {
            rigs.push(Rig::start(CAPACITY).await);
        }
        Self(rigs)
    }

    async fn run(&mut self, operations: u64) -> Duration {
        let each = operations / MANY;
        for rig in &mut self.0 {
            rig.expected += each;
        }
        let begun = Instant::now();
        for _ in 0..each {
            black_box(join_all(self.0.iter().map(|rig| rig.actor.ask(1))).await);
        }
        let took = begun.elapsed();
        for rig in &self.0 {
            rig.verify().await;
        }
        took
    }

    async fn finish(self) {
        for rig in self.0 {
            rig.actor.stop(rig.life).await;
        }
    }
}

/// One task sending four types of message, told and asked in turn. Each message is one operation.
pub struct Mixed<L: Library> {
    actor: L::Ledger,
    life: <L::Ledger as MixedSubject>::Life,
    rounds: u64,
}

impl<L: Library> Load for Mixed<L> {
    const STEP: u64 = 4;

    async fn prepare() -> Self {
        let (actor, life) = L::Ledger::start().await;
        Self {
            actor,
            life,
            rounds: 0,
        }
    }

    async fn run(&mut self, operations: u64) -> Duration {
        let rounds = operations / 4;
        let mut balance = (0, 0);
        let begun = Instant::now();
        for _ in 0..rounds {
            self.actor.tell_entries(black_box([1; 4])).await;
            black_box(self.actor.ask_deposit(1).await);
            self.actor.tell_touch().await;
            balance = self.actor.ask_balance(black_box([0; 8])).await;
        }
        let took = begun.elapsed();
        self.rounds += rounds;
        let expected = (self.rounds * 5, self.rounds * 4 - 1);
        assert_eq!(balance, expected, "{} lost messages", L::NAME);
        took
    }

    async fn finish(self) {
        self.actor.stop(self.life).await;
    }
}

/// One asker, one ask at a time, the actor found by the type of the message.
pub struct Routed<L: Library> {
    route: L::Route,
    expected: u64,
}

impl<L: Library> Load for Routed<L> {
    async fn prepare() -> Self {
        Self {
            route: L::Route::start().await,
            expected: 0,
        }
    }

    async fn run(&mut self, operations: u64) -> Duration {
        let begun = Instant::now();
        for _ in 0..operations {
            black_box(self.route.ask(1).await);
        }
        let took = begun.elapsed();
        self.expected += operations;
        let total = self.route.ask(0).await;
        assert_eq!(total, self.expected, "{} lost messages", L::NAME);
        took
    }

    async fn finish(self) {
        self.route.stop().await;
    }
}
