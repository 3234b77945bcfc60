//! The work, the same in every library: a counter, and what its handler does before it counts.

use std::future::Future;
use std::hint::black_box;
use std::marker::PhantomData;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tokio::task::yield_now;

/// How many messages may wait, where a library can say so.
pub const CAPACITY: usize = 1024;

/// What a handler does with a message before it counts it. It knows no state, so that libraries whose
/// handlers cannot borrow the actor across an await can run it too.
pub trait Work: 'static {
    /// Whether the handler ever waits. One that does not is a plain function in libraries that have such.
    const WAITS: bool;
    fn work(n: u64) -> impl Future<Output = u64> + Send + 'static;
}

/// Nothing but counting.
pub struct Plain;

impl Work for Plain {
    const WAITS: bool = false;

    #[inline]
    async fn work(n: u64) -> u64 {
        n
    }
}

/// Waits once.
pub struct Suspends;

impl Work for Suspends {
    const WAITS: bool = true;

    async fn work(n: u64) -> u64 {
        yield_now().await;
        n
    }
}

/// Holds 4 KiB across a wait, as a handler that builds a request does.
pub struct Large;

impl Work for Large {
    const WAITS: bool = true;

    async fn work(n: u64) -> u64 {
        let mut buffer = [0_u8; 4096];
        black_box(&mut buffer);
        yield_now().await;
        n + u64::from(black_box(&buffer)[0])
    }
}

/// Computes for 20 us.
pub struct Computes;

impl Work for Computes {
    const WAITS: bool = false;

    async fn work(n: u64) -> u64 {
        compute(twenty_microseconds());
        n
    }
}

/// A chain of dependent multiplications. An amount of work and not of time, so that it takes longer when
/// two of them share a core.
fn compute(steps: u64) {
    let mut x = black_box(1_u64);
    for _ in 0..steps {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    }
    black_box(x);
}

/// How many steps take 20 us on this machine when nothing disturbs them.
pub fn twenty_microseconds() -> u64 {
    static STEPS: OnceLock<u64> = OnceLock::new();
    *STEPS.get_or_init(|| {
        const PROBE: u64 = 200_000;
        let fastest = (0..20)
            .map(|_| {
                let begun = Instant::now();
                compute(PROBE);
                begun.elapsed()
            })
            .min()
            .unwrap_or(Duration::from_micros(20));
        PROBE * 20_000 / u64::try_from(fastest.as_nanos()).unwrap_or(u64::MAX).max(1)
    })
}

/// The actor.
pub struct Counter<W> {
    total: u64,
    work: PhantomData<fn() -> W>,
}

impl<W> Default for Counter<W> {
    fn default() -> Self {
        Self {
            total: 0,
            work: PhantomData,
        }
    }
}

impl<W: Work> Counter<W> {
    /// The whole handler.
    #[inline]
    pub async fn add(&mut self, n: u64) -> u64 {
        let n = W::work(n).await;
        self.count(n)
    }

    /// The handler without its work.
    #[inline]
    pub fn count(&mut self, n: u64) -> u64 {
        self.total += n;
        self.total
    }
}

/// The counter's message: adds, and answers the total.
pub struct Add(pub u64);

/// An actor with four types of message.
#[derive(Default)]
pub struct Ledger {
    total: u64,
    messages: u64,
}

/// Asked: adds, and answers the total.
pub struct Deposit(pub u64);
/// Told: adds all.
pub struct Entries(pub [u64; 4]);
/// Asked: answers the total, and how many messages came before.
pub struct Balance(pub [u64; 8]);
/// Told: counts as a message.
pub struct Touch;

impl Ledger {
    #[inline]
    pub fn deposit(&mut self, Deposit(n): Deposit) -> u64 {
        self.messages += 1;
        self.total += n;
        self.total
    }

    #[inline]
    pub fn entries(&mut self, Entries(entries): Entries) {
        self.messages += 1;
        self.total += entries.iter().sum::<u64>();
    }

    #[inline]
    pub fn balance(&mut self, Balance(filter): Balance) -> (u64, u64) {
        let before = self.messages;
        self.messages += 1;
        (self.total + black_box(filter)[0], before)
    }

    #[inline]
    pub fn touch(&mut self, Touch: Touch) {
        self.messages += 1;
    }
}
