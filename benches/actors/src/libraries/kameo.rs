//! kameo. `.send().await` instead of `.await` on a request: both are documented, and this one does not box
//! the request's future.

use crate::library::{Library, MixedSubject, Named, Subject, TypeMap};
use crate::work::{Add, Balance, CAPACITY, Counter, Deposit, Entries, Ledger, Plain, Touch, Work};
use kameo::actor::{Actor, ActorRef, Spawn};
use kameo::error::Infallible;
use kameo::mailbox;
use kameo::message::{Context, Message};

pub struct Kameo;

impl Library for Kameo {
    const NAME: &'static str = "kameo 0.22";
    const BOUNDED: bool = true;
    type Counter<W: Work> = ActorRef<Counter<W>>;
    type Ledger = ActorRef<Ledger>;
    type Route = TypeMap<ActorRef<Counter<Plain>>, Add>;
    type Registered = Named<ActorRef<Counter<Plain>>>;
}

impl<W: Work> Actor for Counter<W> {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(counter: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(counter)
    }
}

impl<W: Work> Message<Add> for Counter<W> {
    type Reply = u64;

    async fn handle(&mut self, Add(n): Add, _: &mut Context<Self, u64>) -> u64 {
        self.add(n).await
    }
}

impl<W: Work> Subject for ActorRef<Counter<W>> {
    type Life = ();

    async fn start(capacity: usize) -> (Self, ()) {
        let mailbox = mailbox::bounded(capacity);
        (
            Counter::<W>::spawn_with_mailbox(Counter::default(), mailbox),
            (),
        )
    }

    async fn ask(&self, n: u64) -> u64 {
        ActorRef::ask(self, Add(n))
            .send()
            .await
            .expect("the actor runs")
    }

    async fn tell(&self, n: u64) {
        ActorRef::tell(self, Add(n))
            .send()
            .await
            .expect("the actor runs");
    }

    async fn stop(self, (): ()) {
        self.stop_gracefully().await.expect("the actor runs");
        self.wait_for_shutdown().await;
    }

    const HAS_DIRECTORY: bool = true;

    async fn start_named(name: String) -> (Self, ()) {
        let (actor, ()) = Self::start(CAPACITY).await;
        actor.register(name).expect("the name is free");
        (actor, ())
    }
}

impl Actor for Ledger {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(ledger: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(ledger)
    }
}

impl Message<Deposit> for Ledger {
    type Reply = u64;

    async fn handle(&mut self, message: Deposit, _: &mut Context<Self, u64>) -> u64 {
        self.deposit(message)
    }
}

impl Message<Entries> for Ledger {
    type Reply = ();

    async fn handle(&mut self, message: Entries, _: &mut Context<Self, ()>) {
        self.entries(message);
    }
}

impl Message<Balance> for Ledger {
    type Reply = (u64, u64);

    async fn handle(&mut self, message: Balance, _: &mut Context<Self, (u64, u64)>) -> (u64, u64) {
        self.balance(message)
    }
}

impl Message<Touch> for Ledger {
    type Reply = ();

    async fn handle(&mut self, message: Touch, _: &mut Context<Self, ()>) {
        self.touch(message);
    }
}

impl MixedSubject for ActorRef<Ledger> {
    type Life = ();

    async fn start() -> (Self, ()) {
        let mailbox = mailbox::bounded(CAPACITY);
        (Ledger::spawn_with_mailbox(Ledger::default(), mailbox), ())
    }

    async fn ask_deposit(&self, n: u64) -> u64 {
        self.ask(Deposit(n)).send().await.expect("the actor runs")
    }

    async fn tell_entries(&self, entries: [u64; 4]) {
        self.tell(Entries(entries))
            .send()
            .await
            .expect("the actor runs");
    }

    async fn ask_balance(&self, filter: [u64; 8]) -> (u64, u64) {
        self.ask(Balance(filter))
            .send()
            .await
            .expect("the actor runs")
    }

    async fn tell_touch(&self) {
        self.tell(Touch).send().await.expect("the actor runs");
    }

    async fn stop(self, (): ()) {
        self.stop_gracefully().await.expect("the actor runs");
        self.wait_for_shutdown().await;
    }
}
