//! What does a mailbox cost?
//!
//! The same counter is reached in four ways: through a mailbox handle, through a registry's route,
//! directly in place, and through a hand-written `mpsc` and `oneshot` actor. Every round measures
//! all four one after another, so that drift of the machine touches all alike; the table shows medians
//! and ratios to the hand-written actor.
//!
//! `cargo bench --bench dispatch`

use postroom::actor::{Actor, Builder, Context, Direct, Handle, Handler, Message};
use postroom::registry::{ActorRegistry, Routes};
use std::convert::Infallible;
use std::future::Future;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

const ROUNDS: usize = 7;
const CAPACITY: usize = 1024;
const CALLERS: [u64; 3] = [1, 8, 64];
const BUDGET_NS: f64 = 1000.0;

/// The state and the work, the same everywhere.
#[derive(Default)]
struct Counter(u64);

impl Counter {
    fn add(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(n);
        self.0
    }
}

/// Something that can be asked and told to add.
trait Subject: Clone + Send + Sync + 'static {
    fn ask(&self, n: u64) -> impl Future<Output = u64> + Send;
    fn tell(&self, n: u64) -> impl Future<Output = ()> + Send;
}

// ---- through a mailbox ----

struct Add(u64);

impl Message for Add {
    type Response = u64;
    type Error = Infallible;
}

impl Actor for Counter {
    type Error = Infallible;
}

impl Handler<Add> for Counter {
    async fn handle(&mut self, Add(n): Add, _: &Context<Self>) -> Result<u64, Infallible> {
        Ok(self.add(n))
    }
}

impl Subject for Handle<Counter> {
    async fn ask(&self, n: u64) -> u64 {
        Handle::ask(self, Add(n)).await.expect("the actor runs")
    }

    async fn tell(&self, n: u64) {
        Handle::tell(self, Add(n)).await.expect("the actor runs");
    }
}

impl Subject for Routes {
    async fn ask(&self, n: u64) -> u64 {
        Routes::ask(self, Add(n)).await.expect("the actor runs")
    }

    async fn tell(&self, n: u64) {
        Routes::tell(self, Add(n)).await.expect("the actor runs");
    }
}

// ---- directly ----

impl Subject for Direct<Counter> {
    async fn ask(&self, n: u64) -> u64 {
        Direct::ask(self, Add(n)).await.expect("the actor runs")
    }

    async fn tell(&self, n: u64) {
        Direct::tell(self, Add(n)).await.expect("the actor runs");
    }
}

// ---- by hand ----

enum Command {
    Ask(u64, oneshot::Sender<u64>),
    Tell(u64),
}

#[derive(Clone)]
struct ByHand(mpsc::Sender<Command>);

impl ByHand {
    fn spawn() -> Self {
        let (sender, mut receiver) = mpsc::channel(CAPACITY);
        tokio::spawn(async move {
            let mut counter = Counter::default();
            while let Some(command) = receiver.recv().await {
                match command {
                    Command::Ask(n, reply) => {
                        let _ = reply.send(counter.add(n));
                    }
                    Command::Tell(n) => {
                        counter.add(n);
                    }
                }
            }
        });
        Self(sender)
    }
}

impl Subject for ByHand {
    async fn ask(&self, n: u64) -> u64 {
        let (reply, answer) = oneshot::channel();
        assert!(
            self.0.send(Command::Ask(n, reply)).await.is_ok(),
            "the actor runs"
        );
        answer.await.expect("the actor answers")
    }

    async fn tell(&self, n: u64) {
        assert!(
            self.0.send(Command::Tell(n)).await.is_ok(),
            "the actor runs"
        );
    }
}

// ---- measuring ----

#[derive(Clone, Copy, PartialEq)]
enum Verb {
    Ask,
    Tell,
}

impl Verb {
    const fn name(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Tell => "tell",
        }
    }

    /// Operations per measurement: some tens of milliseconds for each subject.
    const fn operations(self) -> u64 {
        match self {
            Self::Ask => 64_000,
            Self::Tell => 192_000,
        }
    }
}

/// Nanoseconds per operation, until the last one has been handled.
async fn measure<S: Subject>(subject: &S, verb: Verb, callers: u64) -> f64 {
    let each = verb.operations() / callers;
    let begun = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let subject = subject.clone();
            tokio::spawn(async move {
                for n in 0..each {
                    match verb {
                        Verb::Ask => {
                            std::hint::black_box(subject.ask(n).await);
                        }
                        Verb::Tell => subject.tell(n).await,
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a caller does not fail");
    }
    // Whatever was told has been handled once this is answered.
    std::hint::black_box(subject.ask(0).await);
    #[expect(clippy::cast_precision_loss, reason = "a few hundred thousand fit")]
    let operations = (each * callers) as f64;
    begun.elapsed().as_secs_f64() * 1e9 / operations
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const SUBJECTS: [&str; 4] = ["handle", "route", "direct", "by hand"];

async fn compare() {
    let handle = Builder::new(Counter::default())
        .capacity(CAPACITY)
        .spawn()
        .expect("inside a runtime");
    let mut builder = ActorRegistry::builder();
    builder
        .add(Counter::default())
        .capacity(CAPACITY)
        .handles::<Add>()
        .register()
        .expect("one actor, one route");
    let registry = builder.start().await.expect("the counter starts");
    let route = registry.routes();
    let direct = Builder::new(Counter::default())
        .direct()
        .expect("inside a runtime");
    let by_hand = ByHand::spawn();

    println!("ns per operation, medians of {ROUNDS} interleaved rounds (ratio to `by hand`)\n");
    print!("{:<16}", "");
    for subject in SUBJECTS {
        print!("{subject:>18}");
    }
    println!();

    let mut ask_by_one = [0.0; 4];
    for verb in [Verb::Ask, Verb::Tell] {
        for callers in CALLERS {
            let mut times: [Vec<f64>; 4] = Default::default();
            // The first round warms up.
            for round in 0..=ROUNDS {
                let measured = [
                    measure(&handle, verb, callers).await,
                    measure(&route, verb, callers).await,
                    measure(&direct, verb, callers).await,
                    measure(&by_hand, verb, callers).await,
                ];
                if round > 0 {
                    times
                        .iter_mut()
                        .zip(measured)
                        .for_each(|(times, ns)| times.push(ns));
                }
            }
            let medians = times.map(median);
            print!("{:<4} x {:<9}", verb.name(), callers);
            for ns in medians {
                print!("{:>10.0} ({:>4.2})", ns, ns / medians[3]);
            }
            println!();
            if verb == Verb::Ask && callers == 1 {
                ask_by_one = medians;
            }
        }
    }
    registry.shutdown().await;

    let price = ask_by_one[0] - ask_by_one[2];
    let verdict = if price < BUDGET_NS { "met" } else { "missed" };
    println!(
        "\nbudget: mailbox minus direct, ask, 1 caller: {price:.0} ns (budget {BUDGET_NS:.0} ns): {verdict}"
    );
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be built");
    let begun = Instant::now();
    runtime.block_on(async {
        tokio::spawn(compare())
            .await
            .expect("the comparison does not fail");
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    println!("took {:.1} s", begun.elapsed().as_secs_f64());
}
