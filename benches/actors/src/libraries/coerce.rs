//! coerce. Its mailboxes are unbounded: `notify` never waits.

use crate::library::{Library, MixedSubject, Named, Subject, TypeMap};
use crate::work::{Add, Balance, Counter, Deposit, Entries, Ledger, Plain, Touch, Work};
use async_trait::async_trait;
use coerce::actor::context::ActorContext;
use coerce::actor::message::{Handler, Message};
use coerce::actor::scheduler::ActorType;
use coerce::actor::system::ActorSystem;
use coerce::actor::{Actor, LocalActorRef};

pub struct Coerce;

impl Library for Coerce {
    const NAME: &'static str = "coerce 0.8";
    const BOUNDED: bool = false;
    type Counter<W: Work> = LocalActorRef<Counter<W>>;
    type Ledger = LocalActorRef<Ledger>;
    type Route = TypeMap<LocalActorRef<Counter<Plain>>, Add>;
    type Registered = Named<LocalActorRef<Counter<Plain>>>;
}

impl<W: Work> Actor for Counter<W> {}

impl Message for Add {
    type Result = u64;
}

#[async_trait]
impl<W: Work> Handler<Add> for Counter<W> {
    async fn handle(&mut self, Add(n): Add, _: &mut ActorContext) -> u64 {
        self.add(n).await
    }
}

impl<W: Work> Subject for LocalActorRef<Counter<W>> {
    type Life = ();

    async fn start(_: usize) -> (Self, ()) {
        let actor = ActorSystem::global_system()
            .new_anon_actor(Counter::default())
            .await
            .expect("it starts");
        (actor, ())
    }

    async fn ask(&self, n: u64) -> u64 {
        self.send(Add(n)).await.expect("the actor runs")
    }

    async fn tell(&self, n: u64) {
        self.notify(Add(n)).expect("the actor runs");
    }

    async fn stop(self, (): ()) {
        LocalActorRef::stop(&self).await.expect("the actor runs");
    }

    const HAS_DIRECTORY: bool = true;

    async fn start_named(name: String) -> (Self, ()) {
        let actor = ActorSystem::global_system()
            .new_actor(name, Counter::default(), ActorType::Tracked)
            .await
            .expect("it starts");
        (actor, ())
    }
}

impl Actor for Ledger {}

impl Message for Deposit {
    type Result = u64;
}

impl Message for Entries {
    type Result = ();
}

impl Message for Balance {
    type Result = (u64, u64);
}

impl Message for Touch {
    type Result = ();
}

#[async_trait]
impl Handler<Deposit> for Ledger {
    async fn handle(&mut self, message: Deposit, _: &mut ActorContext) -> u64 {
        self.deposit(message)
    }
}

#[async_trait]
impl Handler<Entries> for Ledger {
    async fn handle(&mut self, message: Entries, _: &mut ActorContext) {
        self.entries(message);
    }
}

#[async_trait]
impl Handler<Balance> for Ledger {
    async fn handle(&mut self, message: Balance, _: &mut ActorContext) -> (u64, u64) {
        self.balance(message)
    }
}

#[async_trait]
impl Handler<Touch> for Ledger {
    async fn handle(&mut self, message: Touch, _: &mut ActorContext) {
        self.touch(message);
    }
}

impl MixedSubject for LocalActorRef<Ledger> {
    type Life = ();

    async fn start() -> (Self, ()) {
        let actor = ActorSystem::global_system()
            .new_anon_actor(Ledger::default())
            .await
            .expect("it starts");
        (actor, ())
    }

    async fn ask_deposit(&self, n: u64) -> u64 {
        self.send(Deposit(n)).await.expect("the actor runs")
    }

    async fn tell_entries(&self, entries: [u64; 4]) {
        self.notify(Entries(entries)).expect("the actor runs");
    }

    async fn ask_balance(&self, filter: [u64; 8]) -> (u64, u64) {
        self.send(Balance(filter)).await.expect("the actor runs")
    }

    async fn tell_touch(&self) {
        self.notify(Touch).expect("the actor runs");
    }

    async fn stop(self, (): ()) {
        LocalActorRef::stop(&self).await.expect("the actor runs");
    }
}
