//! What everyone writes by hand: a bounded channel of an enum, a oneshot for each answer, and a loop.

use crate::library::{Library, MixedSubject, Named, Subject, TypeMap};
use crate::work::{Add, Balance, CAPACITY, Counter, Deposit, Entries, Ledger, Touch, Work};
use std::marker::PhantomData;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub struct Hand;

impl Library for Hand {
    const NAME: &'static str = "hand";
    const BOUNDED: bool = true;
    type Counter<W: Work> = Handle<W>;
    type Ledger = mpsc::Sender<LedgerCommand>;
    type Route = TypeMap<Handle<crate::work::Plain>, Add>;
    type Registered = Named<Handle<crate::work::Plain>>;
}

enum Command {
    Ask(Add, oneshot::Sender<u64>),
    Tell(Add),
}

pub struct Handle<W> {
    sender: mpsc::Sender<Command>,
    work: PhantomData<fn() -> W>,
}

impl<W> Clone for Handle<W> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            work: PhantomData,
        }
    }
}

impl<W: Work> Subject for Handle<W> {
    type Life = JoinHandle<()>;

    async fn start(capacity: usize) -> (Self, Self::Life) {
        let (sender, mut receiver) = mpsc::channel(capacity);
        let life = tokio::spawn(async move {
            let mut counter = Counter::<W>::default();
            while let Some(command) = receiver.recv().await {
                match command {
                    Command::Ask(Add(n), reply) => {
                        let _ = reply.send(counter.add(n).await);
                    }
                    Command::Tell(Add(n)) => {
                        counter.add(n).await;
                    }
                }
            }
        });
        let handle = Self {
            sender,
            work: PhantomData,
        };
        (handle, life)
    }

    async fn ask(&self, n: u64) -> u64 {
        let (reply, answer) = oneshot::channel();
        let sent = self.sender.send(Command::Ask(Add(n), reply)).await;
        assert!(sent.is_ok(), "the actor runs");
        answer.await.expect("the actor answers")
    }

    async fn tell(&self, n: u64) {
        let sent = self.sender.send(Command::Tell(Add(n))).await;
        assert!(sent.is_ok(), "the actor runs");
    }

    async fn stop(self, life: Self::Life) {
        drop(self);
        life.await.expect("the actor does not panic");
    }
}

pub enum LedgerCommand {
    Deposit(Deposit, oneshot::Sender<u64>),
    Entries(Entries),
    Balance(Balance, oneshot::Sender<(u64, u64)>),
    Touch(Touch),
}

impl MixedSubject for mpsc::Sender<LedgerCommand> {
    type Life = JoinHandle<()>;

    async fn start() -> (Self, Self::Life) {
        let (sender, mut receiver) = mpsc::channel(CAPACITY);
        let life = tokio::spawn(async move {
            let mut ledger = Ledger::default();
            while let Some(command) = receiver.recv().await {
                match command {
                    LedgerCommand::Deposit(message, reply) => {
                        let _ = reply.send(ledger.deposit(message));
                    }
                    LedgerCommand::Entries(message) => ledger.entries(message),
                    LedgerCommand::Balance(message, reply) => {
                        let _ = reply.send(ledger.balance(message));
                    }
                    LedgerCommand::Touch(message) => ledger.touch(message),
                }
            }
        });
        (sender, life)
    }

    async fn ask_deposit(&self, n: u64) -> u64 {
        let (reply, answer) = oneshot::channel();
        let sent = self.send(LedgerCommand::Deposit(Deposit(n), reply)).await;
        assert!(sent.is_ok(), "the actor runs");
        answer.await.expect("the actor answers")
    }

    async fn tell_entries(&self, entries: [u64; 4]) {
        let sent = self.send(LedgerCommand::Entries(Entries(entries))).await;
        assert!(sent.is_ok(), "the actor runs");
    }

    async fn ask_balance(&self, filter: [u64; 8]) -> (u64, u64) {
        let (reply, answer) = oneshot::channel();
        let sent = self
            .send(LedgerCommand::Balance(Balance(filter), reply))
            .await;
        assert!(sent.is_ok(), "the actor runs");
        answer.await.expect("the actor answers")
    }

    async fn tell_touch(&self) {
        let sent = self.send(LedgerCommand::Touch(Touch)).await;
        assert!(sent.is_ok(), "the actor runs");
    }

    async fn stop(self, life: Self::Life) {
        drop(self);
        life.await.expect("the actor does not panic");
    }
}
