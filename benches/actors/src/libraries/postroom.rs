//! postroom: always queued, as shipped, and called directly.
//!
//! All that depends on postroom is in this file:
//! - [`Queued`], [`Shipped`] and [`InPlace`] are the same actor. They differ in [`Dispatching::set`] alone. Registered and
//!   routed actors are as shipped in both.
//! - [`Behind`] is the same actor called in place, without a mailbox.

use crate::library::{Fleet, Library, MixedSubject, Named, Route, Subject, TypeMap};
use crate::work::{Add, Balance, CAPACITY, Counter, Deposit, Entries, Ledger, Plain, Touch, Work};
use postroom::actor::{Actor, Builder, Context, Dispatch, Handle, Handler, Message};
use postroom::registry::{ActorRegistry, Routes};
use std::convert::Infallible;
use std::marker::PhantomData;
use std::time::Duration;

/// How asks reach the actor.
pub trait Dispatching: Send + Sync + 'static {
    const NAME: &'static str;
    fn set<A: Actor>(builder: Builder<A>) -> Builder<A> {
        builder
    }
}

pub struct Queued;

impl Dispatching for Queued {
    const NAME: &'static str = "postroom always-queued";

    fn set<A: Actor>(builder: Builder<A>) -> Builder<A> {
        builder.dispatch(Dispatch::Queue)
    }
}

pub struct Shipped;

impl Dispatching for Shipped {
    const NAME: &'static str = "postroom as shipped";
}

/// As shipped while handlers are short. A profiler's clock makes none short enough.
pub struct InPlace;

impl Dispatching for InPlace {
    const NAME: &'static str = "postroom in place";

    fn set<A: Actor>(builder: Builder<A>) -> Builder<A> {
        builder.dispatch(Dispatch::InPlace)
    }
}

pub struct Postroom<D>(PhantomData<D>);

impl<D: Dispatching> Library for Postroom<D> {
    const NAME: &'static str = D::NAME;
    const BOUNDED: bool = true;
    type Counter<W: Work> = Mailbox<Counter<W>, D>;
    type Ledger = Mailbox<Ledger, D>;
    type Route = Routed;
    type Registered = Registered<D>;
}

// ---- the actors ----

impl<W: Work> Actor for Counter<W> {
    type Error = Infallible;
}

impl Message for Add {
    type Response = u64;
    type Error = Infallible;
}

impl<W: Work> Handler<Add> for Counter<W> {
    async fn handle(&mut self, Add(n): Add, _: &Context<Self>) -> Result<u64, Infallible> {
        Ok(self.add(n).await)
    }
}

impl Actor for Ledger {
    type Error = Infallible;
}

impl Message for Deposit {
    type Response = u64;
    type Error = Infallible;
}

impl Message for Entries {
    type Response = ();
    type Error = Infallible;
}

impl Message for Balance {
    type Response = (u64, u64);
    type Error = Infallible;
}

impl Message for Touch {
    type Response = ();
    type Error = Infallible;
}

impl Handler<Deposit> for Ledger {
    async fn handle(&mut self, message: Deposit, _: &Context<Self>) -> Result<u64, Infallible> {
        Ok(self.deposit(message))
    }
}

impl Handler<Entries> for Ledger {
    async fn handle(&mut self, message: Entries, _: &Context<Self>) -> Result<(), Infallible> {
        self.entries(message);
        Ok(())
    }
}

impl Handler<Balance> for Ledger {
    async fn handle(
        &mut self,
        message: Balance,
        _: &Context<Self>,
    ) -> Result<(u64, u64), Infallible> {
        Ok(self.balance(message))
    }
}

impl Handler<Touch> for Ledger {
    async fn handle(&mut self, message: Touch, _: &Context<Self>) -> Result<(), Infallible> {
        self.touch(message);
        Ok(())
    }
}

// ---- through a mailbox ----

pub struct Mailbox<A: Actor, D>(Handle<A>, PhantomData<D>);

impl<A: Actor, D> Clone for Mailbox<A, D> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

fn spawn<A: Actor, D: Dispatching>(actor: A, capacity: usize) -> Mailbox<A, D> {
    let builder = D::set(Builder::new(actor).capacity(capacity));
    Mailbox(builder.spawn().expect("inside a runtime"), PhantomData)
}

async fn end<A: Actor>(handle: Handle<A>) {
    handle.stop();
    let exit = handle.closed().await;
    assert!(exit.is_balanced(), "{exit}");
}

impl<W: Work, D: Dispatching> Subject for Mailbox<Counter<W>, D> {
    type Life = ();

    async fn start(capacity: usize) -> (Self, ()) {
        (spawn(Counter::default(), capacity), ())
    }

    async fn ask(&self, n: u64) -> u64 {
        self.0.ask(Add(n)).await.expect("the actor runs")
    }

    async fn tell(&self, n: u64) {
        self.0.tell(Add(n)).await.expect("the actor runs");
    }

    async fn stop(self, (): ()) {
        end(self.0).await;
    }
}

impl<D: Dispatching> MixedSubject for Mailbox<Ledger, D> {
    type Life = ();

    async fn start() -> (Self, ()) {
        (spawn(Ledger::default(), CAPACITY), ())
    }

    async fn ask_deposit(&self, n: u64) -> u64 {
        self.0.ask(Deposit(n)).await.expect("the actor runs")
    }

    async fn tell_entries(&self, entries: [u64; 4]) {
        self.0.tell(Entries(entries)).await.expect("the actor runs");
    }

    async fn ask_balance(&self, filter: [u64; 8]) -> (u64, u64) {
        self.0.ask(Balance(filter)).await.expect("the actor runs")
    }

    async fn tell_touch(&self) {
        self.0.tell(Touch).await.expect("the actor runs");
    }

    async fn stop(self, (): ()) {
        end(self.0).await;
    }
}

// ---- in a registry ----

pub struct Routed {
    registry: ActorRegistry,
    routes: Routes,
}

impl Route for Routed {
    async fn start() -> Self {
        let mut builder = ActorRegistry::builder();
        builder
            .add(Counter::<Plain>::default())
            .capacity(CAPACITY)
            .handles::<Add>()
            .register()
            .expect("one actor, one route");
        let registry = builder.start().await.expect("the counter starts");
        let routes = registry.routes();
        Self { registry, routes }
    }

    async fn ask(&self, n: u64) -> u64 {
        self.routes.ask(Add(n)).await.expect("the actor runs")
    }

    async fn stop(self) {
        let report = self.registry.shutdown().await;
        assert!(report.is_balanced(), "{report}");
    }
}

pub struct Registered<D> {
    actors: Vec<Mailbox<Counter<Plain>, D>>,
    registry: Option<ActorRegistry>,
}

impl<D: Dispatching> Fleet for Registered<D> {
    type Actor = Mailbox<Counter<Plain>, D>;

    fn with_capacity(count: usize) -> Self {
        Self {
            actors: Vec::with_capacity(count),
            registry: None,
        }
    }

    async fn start(&mut self, count: usize) {
        let mut builder = ActorRegistry::builder();
        builder.shutdown_deadline(Duration::from_mins(10));
        for at in 0..count {
            let handle = builder
                .add(Counter::<Plain>::default())
                .name(format!("counter-{at}"))
                .capacity(CAPACITY)
                .register()
                .expect("the name is free");
            self.actors.push(Mailbox(handle, PhantomData));
        }
        self.registry = Some(builder.start().await.expect("the counters start"));
    }

    fn actors(&self) -> &[Self::Actor] {
        &self.actors
    }

    async fn stop(mut self) {
        let registry = self.registry.take().expect("it was started");
        let report = registry.shutdown().await;
        assert!(report.is_balanced(), "every message is accounted for");
        let ended: Vec<_> = report.actors.iter().map(|actor| actor.exit.id).collect();
        let reverse: Vec<_> = self.actors.iter().rev().map(|actor| actor.0.id()).collect();
        assert!(
            ended == reverse,
            "all have a report, in the reverse order of their start"
        );
    }
}

// ---- directly ----

pub struct Direct;

impl Library for Direct {
    const NAME: &'static str = "postroom direct";
    const BOUNDED: bool = false;
    type Counter<W: Work> = Behind<Counter<W>>;
    type Ledger = Behind<Ledger>;
    type Route = TypeMap<Behind<Counter<Plain>>, Add>;
    type Registered = Named<Behind<Counter<Plain>>>;
}

pub struct Behind<A: Actor>(postroom::actor::Direct<A>);

impl<A: Actor> Clone for Behind<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A: Actor> Behind<A> {
    fn new(actor: A) -> Self {
        Self(Builder::new(actor).direct().expect("inside a runtime"))
    }

    async fn end(self) {
        self.0.stop();
        let exit = self.0.closed().await;
        assert!(exit.is_balanced(), "{exit}");
    }
}

impl<W: Work> Subject for Behind<Counter<W>> {
    type Life = ();

    async fn start(_: usize) -> (Self, ()) {
        (Self::new(Counter::default()), ())
    }

    async fn ask(&self, n: u64) -> u64 {
        self.0.ask(Add(n)).await.expect("the actor runs")
    }

    async fn tell(&self, n: u64) {
        self.0.tell(Add(n)).await.expect("the actor runs");
    }

    async fn stop(self, (): ()) {
        self.end().await;
    }
}

impl MixedSubject for Behind<Ledger> {
    type Life = ();

    async fn start() -> (Self, ()) {
        (Self::new(Ledger::default()), ())
    }

    async fn ask_deposit(&self, n: u64) -> u64 {
        self.0.ask(Deposit(n)).await.expect("the actor runs")
    }

    async fn tell_entries(&self, entries: [u64; 4]) {
        self.0.tell(Entries(entries)).await.expect("the actor runs");
    }

    async fn ask_balance(&self, filter: [u64; 8]) -> (u64, u64) {
        self.0.ask(Balance(filter)).await.expect("the actor runs")
    }

    async fn tell_touch(&self) {
        self.0.tell(Touch).await.expect("the actor runs");
    }

    async fn stop(self, (): ()) {
        self.end().await;
    }
}
