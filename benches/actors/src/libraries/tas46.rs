//! The direct call of TAS-46: an `Arc` of a trait with boxed futures, its state behind an async mutex. No
//! mailbox, no task, no isolation: what a channel is paid on top of.

use crate::library::{Library, MixedSubject, Named, Subject, TypeMap};
use crate::work::{Add, Balance, Counter, Deposit, Entries, Ledger, Plain, Touch, Work};
use async_trait::async_trait;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::Mutex;

pub struct Tas46;

impl Library for Tas46 {
    const NAME: &'static str = "tas46";
    const BOUNDED: bool = false;
    type Counter<W: Work> = Direct<W>;
    type Ledger = DirectLedger;
    type Route = TypeMap<Direct<Plain>, Add>;
    type Registered = Named<Direct<Plain>>;
}

#[async_trait]
trait Handler<M, R>: Send + Sync {
    async fn handle(&self, message: M) -> Result<R, Infallible>;
}

struct Behind<S>(Mutex<S>);

#[async_trait]
impl<W: Work> Handler<Add, u64> for Behind<Counter<W>> {
    async fn handle(&self, Add(n): Add) -> Result<u64, Infallible> {
        Ok(self.0.lock().await.add(n).await)
    }
}

pub struct Direct<W>(
    Arc<dyn Handler<Add, u64>>,
    std::marker::PhantomData<fn() -> W>,
);

impl<W> Clone for Direct<W> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0), self.1)
    }
}

impl<W: Work> Subject for Direct<W> {
    type Life = ();

    async fn start(_: usize) -> (Self, ()) {
        let behind = Behind(Mutex::new(Counter::<W>::default()));
        (Self(Arc::new(behind), std::marker::PhantomData), ())
    }

    async fn ask(&self, n: u64) -> u64 {
        match self.0.handle(Add(n)).await {
            Ok(total) => total,
        }
    }

    async fn tell(&self, n: u64) {
        let Ok(_) = self.0.handle(Add(n)).await;
    }

    async fn stop(self, (): ()) {}
}

#[async_trait]
impl Handler<Deposit, u64> for Behind<Ledger> {
    async fn handle(&self, message: Deposit) -> Result<u64, Infallible> {
        Ok(self.0.lock().await.deposit(message))
    }
}

#[async_trait]
impl Handler<Entries, ()> for Behind<Ledger> {
    async fn handle(&self, message: Entries) -> Result<(), Infallible> {
        self.0.lock().await.entries(message);
        Ok(())
    }
}

#[async_trait]
impl Handler<Balance, (u64, u64)> for Behind<Ledger> {
    async fn handle(&self, message: Balance) -> Result<(u64, u64), Infallible> {
        Ok(self.0.lock().await.balance(message))
    }
}

#[async_trait]
impl Handler<Touch, ()> for Behind<Ledger> {
    async fn handle(&self, message: Touch) -> Result<(), Infallible> {
        self.0.lock().await.touch(message);
        Ok(())
    }
}

/// One trait object for each type of message, as TAS-46's registry holds them.
pub struct DirectLedger {
    deposit: Arc<dyn Handler<Deposit, u64>>,
    entries: Arc<dyn Handler<Entries, ()>>,
    balance: Arc<dyn Handler<Balance, (u64, u64)>>,
    touch: Arc<dyn Handler<Touch, ()>>,
}

impl MixedSubject for DirectLedger {
    type Life = ();

    async fn start() -> (Self, ()) {
        let behind = Arc::new(Behind(Mutex::new(Ledger::default())));
        let ledger = Self {
            deposit: Arc::clone(&behind) as _,
            entries: Arc::clone(&behind) as _,
            balance: Arc::clone(&behind) as _,
            touch: behind,
        };
        (ledger, ())
    }

    async fn ask_deposit(&self, n: u64) -> u64 {
        match self.deposit.handle(Deposit(n)).await {
            Ok(total) => total,
        }
    }

    async fn tell_entries(&self, entries: [u64; 4]) {
        let Ok(()) = self.entries.handle(Entries(entries)).await;
    }

    async fn ask_balance(&self, filter: [u64; 8]) -> (u64, u64) {
        match self.balance.handle(Balance(filter)).await {
            Ok(balance) => balance,
        }
    }

    async fn tell_touch(&self) {
        let Ok(()) = self.touch.handle(Touch).await;
    }

    async fn stop(self, (): ()) {}
}
