//! An actor whose handlers the test holds in its hand.
#![allow(dead_code, unreachable_pub, missing_docs)]

use postroom::actor::{Actor, Context, Handle, Handler, Message, StopReason};
use std::convert::Infallible;
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, Semaphore};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// What happened, in order.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn add(&self, entry: impl Into<String>) {
        self.0.lock().unwrap().push(entry.into());
    }

    pub fn entries(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Lets a test wait until a handler has started, and lets the handler wait until the test opens.
#[derive(Clone, Debug)]
pub struct Gate {
    entered: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            entered: Arc::new(Semaphore::new(0)),
            open: Arc::new(Semaphore::new(0)),
        }
    }
}

impl Gate {
    /// In a handler: reports that it is here, and waits to be let through.
    pub async fn pass(&self) {
        self.entered.add_permits(1);
        self.open.acquire().await.unwrap().forget();
    }

    /// In a test: waits until one more handler is here.
    pub async fn wait_entered(&self) {
        self.entered.acquire().await.unwrap().forget();
    }

    /// In a test: lets one handler through, now or later.
    pub fn open(&self) {
        self.open.add_permits(1);
    }

    /// In a test: lets all handlers through from now on.
    pub fn open_for_good(&self) {
        self.open.add_permits(1 << 20);
    }
}

/// The error of messages that are told to fail.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("asked to fail")]
pub struct Refusal;

/// Logs and answers with its number.
#[derive(Debug, PartialEq, Eq)]
pub struct Note(pub u32);

impl Message for Note {
    type Response = u32;
    type Error = Refusal;
}

/// Waits at the gate, then logs and answers with its number.
#[derive(Debug, PartialEq, Eq)]
pub struct Held(pub u32);

impl Message for Held {
    type Response = u32;
    type Error = Refusal;
}

/// Fails.
#[derive(Debug)]
pub struct Fail;

impl Message for Fail {
    type Response = u32;
    type Error = Refusal;
}

/// Panics with this text.
#[derive(Debug)]
pub struct Crash(pub &'static str);

impl Message for Crash {
    type Response = ();
    type Error = Infallible;
}

/// An actor that logs what it does, and whose `Held` handlers wait at the gate.
#[derive(Debug, Default)]
pub struct Probe {
    pub log: Log,
    pub gate: Gate,
    pub name: &'static str,
}

impl Probe {
    pub fn new(log: &Log, gate: &Gate) -> Self {
        Self {
            log: log.clone(),
            gate: gate.clone(),
            name: "probe",
        }
    }

    pub fn named(name: &'static str, log: &Log, gate: &Gate) -> Self {
        Self {
            log: log.clone(),
            gate: gate.clone(),
            name,
        }
    }
}

impl Actor for Probe {
    type Error = Infallible;

    fn name(&self) -> std::borrow::Cow<'static, str> {
        self.name.into()
    }

    async fn started(&mut self, _: &Context<Self>) -> Result<(), Infallible> {
        self.log.add(format!("{} started", self.name));
        Ok(())
    }

    async fn stopped(&mut self, reason: &StopReason) -> Result<(), Infallible> {
        self.log.add(format!("{} stopped: {reason}", self.name));
        Ok(())
    }
}

impl Handler<Note> for Probe {
    async fn handle(&mut self, Note(n): Note, _: &Context<Self>) -> Result<u32, Refusal> {
        self.log.add(format!("{n}"));
        Ok(n)
    }
}

impl Handler<Held> for Probe {
    async fn handle(&mut self, Held(n): Held, _: &Context<Self>) -> Result<u32, Refusal> {
        self.gate.pass().await;
        self.log.add(format!("{n}"));
        Ok(n)
    }
}

impl Handler<Fail> for Probe {
    async fn handle(&mut self, _: Fail, _: &Context<Self>) -> Result<u32, Refusal> {
        Err(Refusal)
    }
}

impl Handler<Crash> for Probe {
    async fn handle(&mut self, Crash(text): Crash, _: &Context<Self>) -> Result<(), Infallible> {
        std::panic::panic_any(text)
    }
}

/// Occupies an actor: tells it a `Held` message and waits until its handler is at the gate.
pub async fn occupy(handle: &Handle<Probe>, gate: &Gate) {
    handle.tell(Held(0)).await.unwrap();
    gate.wait_entered().await;
}

/// Polls a future once.
pub async fn poll_once<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
    std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx)))
        .await
}

/// Waits until something has become true; `changed` is notified when it may have.
pub async fn until(changed: &Notify, mut condition: impl FnMut() -> bool) {
    while !condition() {
        changed.notified().await;
    }
}

/// Keeps warnings and errors, a line each.
pub struct Lines(pub Log);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.add(line.0);
    }
}

/// Opens the gate, then occupies its thread until it is released.
#[derive(Debug)]
pub struct Block(pub std::sync::mpsc::Receiver<()>);

impl Message for Block {
    type Response = ();
    type Error = Infallible;
}

impl Handler<Block> for Probe {
    async fn handle(&mut self, Block(until): Block, _: &Context<Self>) -> Result<(), Infallible> {
        self.gate.open();
        let _ = until.recv();
        Ok(())
    }
}
