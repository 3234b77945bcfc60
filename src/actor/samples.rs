//! How long some messages wait and how long some handlers take, for the `metrics` facade.

use super::guard::guarded;
use super::reply::Answer;
use super::resident::Resident;
use super::{Actor, ActorId, ActorName, Message};
use crate::mailbox::{
    Begin, Ending, Hold, Letter, Sequel, SequelInPlace, Start, StartInPlace, Verdict,
};
use metrics::histogram;
use std::any::type_name;
use std::cell::Cell;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// One of how many is timed; 0: none.
static ONE_IN: AtomicU32 = AtomicU32::new(0);

pub(crate) fn time_one_in(n: u32) {
    ONE_IN.store(n, Ordering::Relaxed);
}

/// Whether this one is to be timed.
#[inline]
pub(super) fn is_due() -> bool {
    match ONE_IN.load(Ordering::Relaxed) {
        0 => false,
        every => is_turn(every),
    }
}

/// At random, so that nothing that repeats itself is always or never seen. Each thread for itself.
#[cold]
fn is_turn(every: u32) -> bool {
    static THREADS: AtomicU32 = AtomicU32::new(1);
    thread_local! {
        /// Marsaglia's xorshift: never 0.
        static STATE: Cell<u32> =
            Cell::new(THREADS.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9).max(1));
    }
    STATE.with(|state| {
        let mut x = state.get();
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        state.set(x);
        (u64::from(x) * u64::from(every)) >> 32 == 0
    })
}

/// When a message was sent, if it is one of those that are timed.
#[inline]
pub(super) fn sent<M: Message>(letter: &Letter<M, Answer<M>>) -> Option<Instant> {
    letter.terms().more().and_then(|more| more.sent)
}

/// A message has left its queue for its handler.
#[inline]
pub(super) fn note_wait<A: Actor, M: Message>(
    hold: &mut Hold<'_, Resident<A>>,
    sent: Option<Instant>,
) {
    if let Some(sent) = sent {
        waited(hold, type_name::<M>(), sent.elapsed());
    }
}

#[cold]
fn waited<A: Actor>(hold: &mut Hold<'_, Resident<A>>, message: &'static str, waited: Duration) {
    if let Some(resident) = hold.seat().state() {
        let shared = &resident.ctx.shared;
        record(
            "postroom_queue_wait_seconds",
            shared.id(),
            &shared.name,
            message,
            waited,
        );
    }
}

/// A recorder is the user's code: if it panics, which the panic hook says, the message is handled all the same.
fn record(
    what: &'static str,
    id: ActorId,
    actor: &ActorName,
    message: &'static str,
    took: Duration,
) {
    let actor = actor.label();
    let _ = guarded(id, || {
        histogram!(what, "actor" => actor, "message" => message).record(took);
    });
}

/// Begins something that is timed, if it is to be.
pub(super) struct Timed<T> {
    begin: T,
    is_due: bool,
}

impl<T> Timed<T> {
    pub(super) const fn new(begin: T, is_due: bool) -> Self {
        Self { begin, is_due }
    }
}

impl<A: Actor, T: Start<Resident<A>>> Start<Resident<A>> for Timed<T> {
    type Output = T::Output;

    fn start(
        self,
        state: &mut Resident<A>,
    ) -> (
        impl Begin<Future = impl Future<Output = Self::Output> + Send> + Send,
        impl Sequel<Self::Output>,
    ) {
        let stopwatch = self.is_due.then(|| Stopwatch::start(state));
        let (begin, sequel) = self.begin.start(state);
        (begin, Timing::new(sequel, stopwatch))
    }
}

impl<A: Actor, T: StartInPlace<Resident<A>>> StartInPlace<Resident<A>> for Timed<T> {
    type Output = T::Output;
    type Receipt = T::Receipt;

    fn start(
        self,
        state: &mut Resident<A>,
    ) -> (
        impl Begin<Future = impl Future<Output = Self::Output> + Send> + Send,
        impl SequelInPlace<Self::Output, Receipt = Self::Receipt>,
    ) {
        let stopwatch = self.is_due.then(|| Stopwatch::start(state));
        let (begin, sequel) = self.begin.start(state);
        (begin, Timing::new(sequel, stopwatch))
    }
}

struct Stopwatch {
    id: ActorId,
    actor: ActorName,
    begun: Instant,
}

impl Stopwatch {
    fn start<A: Actor>(state: &Resident<A>) -> Self {
        let shared = &state.ctx.shared;
        Self {
            id: shared.id(),
            actor: shared.name.clone(),
            begun: Instant::now(),
        }
    }

    fn stop(&self, message: &'static str) {
        let took = self.begun.elapsed();
        record(
            "postroom_handling_seconds",
            self.id,
            &self.actor,
            message,
            took,
        );
    }
}

/// What follows something that is timed: that it is over is noted first, so that whoever has the answer finds it.
struct Timing<Q, O> {
    sequel: Q,
    stopwatch: Option<Stopwatch>,
    output: PhantomData<fn(O)>,
}

impl<Q, O> Timing<Q, O> {
    const fn new(sequel: Q, stopwatch: Option<Stopwatch>) -> Self {
        Self {
            sequel,
            stopwatch,
            output: PhantomData,
        }
    }

    fn stop(&self, message: &'static str) {
        if let Some(stopwatch) = &self.stopwatch {
            stopwatch.stop(message);
        }
    }
}

impl<O, Q: Sequel<O>> Sequel<O> for Timing<Q, O> {
    fn enter(&self) {
        self.sequel.enter();
    }

    fn done(self, output: O) -> Verdict {
        self.stop(Q::message());
        self.sequel.done(output)
    }

    fn tear_down(&self) {
        self.sequel.tear_down();
    }

    fn ended(self, ending: &Ending) {
        self.stop(Q::message());
        self.sequel.ended(ending);
    }

    fn message() -> &'static str {
        Q::message()
    }
}

impl<O, Q: SequelInPlace<O>> SequelInPlace<O> for Timing<Q, O> {
    type Later = Timing<Q::Later, O>;
    type Receipt = Q::Receipt;

    fn enter(&self) {
        self.sequel.enter();
    }

    fn done(&self, output: &O) {
        self.stop(Q::Later::message());
        self.sequel.done(output);
    }

    fn defer(self) -> (Self::Later, Self::Receipt) {
        let (later, receipt) = self.sequel.defer();
        (Timing::new(later, self.stopwatch), receipt)
    }

    fn forgo(self) -> Self::Later {
        Timing::new(self.sequel.forgo(), self.stopwatch)
    }
}
