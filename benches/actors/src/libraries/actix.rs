//! actix, on its own arbiter. A handler that does not wait is a plain function, one that does answers with
//! an `AtomicResponse`, which keeps the actor for itself meanwhile. `do_send` is the only send that does
//! not wait for the answer; it ignores the mailbox's capacity.

use crate::library::{Library, MixedSubject, Named, Subject, TypeMap};
use crate::work::{Add, Balance, CAPACITY, Counter, Deposit, Entries, Ledger, Plain, Touch, Work};
use actix::dev::MessageResponse;
use actix::{
    Actor, ActorFutureExt, Addr, AtomicResponse, Context, Handler, Message, MessageResult,
    WrapFuture,
};
use futures_util::FutureExt;
use tokio::sync::oneshot;

pub struct Actix;

impl Library for Actix {
    const NAME: &'static str = "actix 0.13";
    const BOUNDED: bool = false;
    const ON_ARBITER: bool = true;
    type Counter<W: Work> = Addr<CounterActor<W>>;
    type Ledger = Addr<LedgerActor>;
    type Route = TypeMap<Addr<CounterActor<Plain>>, Add>;
    type Registered = Named<Addr<CounterActor<Plain>>>;
}

pub struct CounterActor<W> {
    counter: Counter<W>,
    /// Dropped with the actor, which shows that it has ended.
    _alive: oneshot::Sender<()>,
}

impl<W: Work> Actor for CounterActor<W> {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.set_mailbox_capacity(CAPACITY);
    }
}

impl Message for Add {
    type Result = u64;
}

/// Which of actix's two forms the handler has depends on its work alone.
pub enum Answer<W: Work> {
    Now(u64),
    Later(AtomicResponse<CounterActor<W>, u64>),
}

impl<W: Work> MessageResponse<CounterActor<W>, Add> for Answer<W> {
    fn handle(self, context: &mut Context<CounterActor<W>>, asker: Option<oneshot::Sender<u64>>) {
        match self {
            Self::Now(total) => {
                if let Some(asker) = asker {
                    let _ = asker.send(total);
                }
            }
            Self::Later(response) => {
                MessageResponse::<CounterActor<W>, Add>::handle(response, context, asker);
            }
        }
    }
}

impl<W: Work> Handler<Add> for CounterActor<W> {
    type Result = Answer<W>;

    fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> Answer<W> {
        if W::WAITS {
            let counted = W::work(n)
                .into_actor(self)
                .map(|n, actor, _| actor.counter.count(n));
            return Answer::Later(AtomicResponse::new(Box::pin(counted)));
        }
        let n = W::work(n).now_or_never().expect("it does not wait");
        Answer::Now(self.counter.count(n))
    }
}

impl<W: Work> Subject for Addr<CounterActor<W>> {
    type Life = oneshot::Receiver<()>;

    async fn start(_: usize) -> (Self, Self::Life) {
        let (alive, ended) = oneshot::channel();
        let actor = CounterActor {
            counter: Counter::default(),
            _alive: alive,
        };
        (actor.start(), ended)
    }

    async fn ask(&self, n: u64) -> u64 {
        self.send(Add(n)).await.expect("the actor runs")
    }

    async fn tell(&self, n: u64) {
        self.do_send(Add(n));
    }

    async fn stop(self, ended: Self::Life) {
        drop(self);
        let _ = ended.await;
    }
}

pub struct LedgerActor {
    ledger: Ledger,
    _alive: oneshot::Sender<()>,
}

impl Actor for LedgerActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.set_mailbox_capacity(CAPACITY);
    }
}

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

impl Handler<Deposit> for LedgerActor {
    type Result = u64;

    fn handle(&mut self, message: Deposit, _: &mut Context<Self>) -> u64 {
        self.ledger.deposit(message)
    }
}

impl Handler<Entries> for LedgerActor {
    type Result = ();

    fn handle(&mut self, message: Entries, _: &mut Context<Self>) {
        self.ledger.entries(message);
    }
}

impl Handler<Balance> for LedgerActor {
    type Result = MessageResult<Balance>;

    fn handle(&mut self, message: Balance, _: &mut Context<Self>) -> MessageResult<Balance> {
        MessageResult(self.ledger.balance(message))
    }
}

impl Handler<Touch> for LedgerActor {
    type Result = ();

    fn handle(&mut self, message: Touch, _: &mut Context<Self>) {
        self.ledger.touch(message);
    }
}

impl MixedSubject for Addr<LedgerActor> {
    type Life = oneshot::Receiver<()>;

    async fn start() -> (Self, Self::Life) {
        let (alive, ended) = oneshot::channel();
        let actor = LedgerActor {
            ledger: Ledger::default(),
            _alive: alive,
        };
        (actor.start(), ended)
    }

    async fn ask_deposit(&self, n: u64) -> u64 {
        self.send(Deposit(n)).await.expect("the actor runs")
    }

    async fn tell_entries(&self, entries: [u64; 4]) {
        self.do_send(Entries(entries));
    }

    async fn ask_balance(&self, filter: [u64; 8]) -> (u64, u64) {
        self.send(Balance(filter)).await.expect("the actor runs")
    }

    async fn tell_touch(&self) {
        self.do_send(Touch);
    }

    async fn stop(self, ended: Self::Life) {
        drop(self);
        let _ = ended.await;
    }
}
