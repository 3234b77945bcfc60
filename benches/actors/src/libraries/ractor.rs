//! ractor. Its mailboxes are unbounded: `cast` never waits.

use crate::library::{Library, MixedSubject, Named, Subject, TypeMap};
use crate::work::{Add, Balance, Counter, Deposit, Entries, Ledger, Plain, Touch, Work};
use ractor::concurrency::JoinHandle;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};
use std::marker::PhantomData;

pub struct Ractor;

impl Library for Ractor {
    const NAME: &'static str = "ractor 0.16";
    const BOUNDED: bool = false;
    type Counter<W: Work> = Handle<W>;
    type Ledger = ActorRef<LedgerCommand>;
    type Route = TypeMap<Handle<Plain>, Add>;
    type Registered = Named<Handle<Plain>>;
}

enum Command {
    Ask(Add, RpcReplyPort<u64>),
    Tell(Add),
}

struct CounterActor<W>(PhantomData<fn() -> W>);

impl<W: Work> Actor for CounterActor<W> {
    type Msg = Command;
    type State = Counter<W>;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<Command>,
        (): (),
    ) -> Result<Counter<W>, ActorProcessingErr> {
        Ok(Counter::default())
    }

    async fn handle(
        &self,
        _: ActorRef<Command>,
        command: Command,
        counter: &mut Counter<W>,
    ) -> Result<(), ActorProcessingErr> {
        match command {
            Command::Ask(Add(n), reply) => {
                let _ = reply.send(counter.add(n).await);
            }
            Command::Tell(Add(n)) => {
                counter.add(n).await;
            }
        }
        Ok(())
    }
}

pub struct Handle<W> {
    actor: ActorRef<Command>,
    work: PhantomData<fn() -> W>,
}

impl<W> Clone for Handle<W> {
    fn clone(&self) -> Self {
        Self {
            actor: self.actor.clone(),
            work: PhantomData,
        }
    }
}

impl<W: Work> Handle<W> {
    async fn spawn(name: Option<String>) -> (Self, JoinHandle<()>) {
        let (actor, life) = CounterActor::<W>::spawn(name, CounterActor(PhantomData), ())
            .await
            .expect("it starts");
        let handle = Self {
            actor,
            work: PhantomData,
        };
        (handle, life)
    }
}

impl<W: Work> Subject for Handle<W> {
    type Life = JoinHandle<()>;

    async fn start(_: usize) -> (Self, Self::Life) {
        Self::spawn(None).await
    }

    async fn ask(&self, n: u64) -> u64 {
        call!(self.actor, Command::Ask, Add(n)).expect("the actor answers")
    }

    async fn tell(&self, n: u64) {
        self.actor
            .cast(Command::Tell(Add(n)))
            .expect("the actor runs");
    }

    async fn stop(self, life: Self::Life) {
        self.actor.stop(None);
        life.await.expect("the actor does not panic");
    }

    const HAS_DIRECTORY: bool = true;

    async fn start_named(name: String) -> (Self, Self::Life) {
        Self::spawn(Some(name)).await
    }
}

pub enum LedgerCommand {
    Deposit(Deposit, RpcReplyPort<u64>),
    Entries(Entries),
    Balance(Balance, RpcReplyPort<(u64, u64)>),
    Touch(Touch),
}

struct LedgerActor;

impl Actor for LedgerActor {
    type Msg = LedgerCommand;
    type State = Ledger;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<LedgerCommand>,
        (): (),
    ) -> Result<Ledger, ActorProcessingErr> {
        Ok(Ledger::default())
    }

    async fn handle(
        &self,
        _: ActorRef<LedgerCommand>,
        command: LedgerCommand,
        ledger: &mut Ledger,
    ) -> Result<(), ActorProcessingErr> {
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
        Ok(())
    }
}

impl MixedSubject for ActorRef<LedgerCommand> {
    type Life = JoinHandle<()>;

    async fn start() -> (Self, Self::Life) {
        LedgerActor::spawn(None, LedgerActor, ())
            .await
            .expect("it starts")
    }

    async fn ask_deposit(&self, n: u64) -> u64 {
        call!(self, LedgerCommand::Deposit, Deposit(n)).expect("the actor answers")
    }

    async fn tell_entries(&self, entries: [u64; 4]) {
        self.cast(LedgerCommand::Entries(Entries(entries)))
            .expect("the actor runs");
    }

    async fn ask_balance(&self, filter: [u64; 8]) -> (u64, u64) {
        call!(self, LedgerCommand::Balance, Balance(filter)).expect("the actor answers")
    }

    async fn tell_touch(&self) {
        self.cast(LedgerCommand::Touch(Touch))
            .expect("the actor runs");
    }

    async fn stop(self, life: Self::Life) {
        ractor::ActorCell::stop(&self, None);
        life.await.expect("the actor does not panic");
    }
}
