//! xtra. A send that does not wait for the answer is a detached one.

use crate::library::{Library, MixedSubject, Named, Subject, TypeMap};
use crate::work::{Add, Balance, CAPACITY, Counter, Deposit, Entries, Ledger, Plain, Touch, Work};
use tokio::task::JoinHandle;
use xtra::{Actor, Address, Context, Handler, Mailbox};

pub struct Xtra;

impl Library for Xtra {
    const NAME: &'static str = "xtra 0.6";
    const BOUNDED: bool = true;
    type Counter<W: Work> = Address<Counter<W>>;
    type Ledger = Address<Ledger>;
    type Route = TypeMap<Address<Counter<Plain>>, Add>;
    type Registered = Named<Address<Counter<Plain>>>;
}

impl<W: Work> Actor for Counter<W> {
    type Stop = ();

    async fn stopped(self) {}
}

impl<W: Work> Handler<Add> for Counter<W> {
    type Return = u64;

    async fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> u64 {
        self.add(n).await
    }
}

impl<W: Work> Subject for Address<Counter<W>> {
    type Life = JoinHandle<()>;

    async fn start(capacity: usize) -> (Self, Self::Life) {
        let (address, mailbox) = Mailbox::bounded(capacity);
        // What `spawn_tokio` does, with the task's handle kept to see the actor end.
        let life = tokio::spawn(xtra::run(mailbox, Counter::default()));
        (address, life)
    }

    async fn ask(&self, n: u64) -> u64 {
        self.send(Add(n)).await.expect("the actor runs")
    }

    async fn tell(&self, n: u64) {
        drop(self.send(Add(n)).detach().await.expect("the actor runs"));
    }

    async fn stop(self, life: Self::Life) {
        drop(self);
        life.await.expect("the actor does not panic");
    }
}

impl Actor for Ledger {
    type Stop = ();

    async fn stopped(self) {}
}

impl Handler<Deposit> for Ledger {
    type Return = u64;

    async fn handle(&mut self, message: Deposit, _: &mut Context<Self>) -> u64 {
        self.deposit(message)
    }
}

impl Handler<Entries> for Ledger {
    type Return = ();

    async fn handle(&mut self, message: Entries, _: &mut Context<Self>) {
        self.entries(message);
    }
}

impl Handler<Balance> for Ledger {
    type Return = (u64, u64);

    async fn handle(&mut self, message: Balance, _: &mut Context<Self>) -> (u64, u64) {
        self.balance(message)
    }
}

impl Handler<Touch> for Ledger {
    type Return = ();

    async fn handle(&mut self, message: Touch, _: &mut Context<Self>) {
        self.touch(message);
    }
}

impl MixedSubject for Address<Ledger> {
    type Life = JoinHandle<()>;

    async fn start() -> (Self, Self::Life) {
        let (address, mailbox) = Mailbox::bounded(CAPACITY);
        (address, tokio::spawn(xtra::run(mailbox, Ledger::default())))
    }

    async fn ask_deposit(&self, n: u64) -> u64 {
        self.send(Deposit(n)).await.expect("the actor runs")
    }

    async fn tell_entries(&self, entries: [u64; 4]) {
        drop(
            self.send(Entries(entries))
                .detach()
                .await
                .expect("the actor runs"),
        );
    }

    async fn ask_balance(&self, filter: [u64; 8]) -> (u64, u64) {
        self.send(Balance(filter)).await.expect("the actor runs")
    }

    async fn tell_touch(&self) {
        drop(self.send(Touch).detach().await.expect("the actor runs"));
    }

    async fn stop(self, life: Self::Life) {
        drop(self);
        life.await.expect("the actor does not panic");
    }
}
