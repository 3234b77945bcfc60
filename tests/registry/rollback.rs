//! Registries that cannot be built or started: nothing of them stays behind.

use crate::common::{Gate, Held, Log, Note, Probe};
use postroom::actor::{Actor, Context, Handler, Message, Recipient, StopReason};
use postroom::registry::{ActorRegistry, BuildError, StartError};
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, thiserror::Error)]
#[error("the port is taken")]
struct PortTaken;

/// Does not start.
struct Broken;

impl Actor for Broken {
    type Error = PortTaken;

    async fn started(&mut self, _: &Context<Self>) -> Result<(), PortTaken> {
        Err(PortTaken)
    }
}

/// Asks another actor as soon as it is told to.
struct Asks {
    gate: Gate,
    other: Recipient<Note>,
}

struct Go;

impl Message for Go {
    type Response = ();
    type Error = Infallible;
}

impl Actor for Asks {
    type Error = Infallible;
}

impl Handler<Go> for Asks {
    async fn handle(&mut self, _: Go, _: &Context<Self>) -> Result<(), Infallible> {
        self.gate.open();
        let _ = self.other.ask(Note(1)).await;
        Ok(())
    }
}

/// Starts when another actor has got its message.
struct After(Gate);

impl Actor for After {
    type Error = PortTaken;

    async fn started(&mut self, _: &Context<Self>) -> Result<(), PortTaken> {
        self.0.pass().await;
        Err(PortTaken)
    }
}

#[tokio::test]
async fn r15_a_rollback_that_is_dropped_stops_what_has_started() {
    let (log, gate) = (Log::default(), Gate::default());
    let mut builder = ActorRegistry::builder();
    let one = builder
        .add(Probe::named("one", &log, &gate))
        .register()
        .unwrap();
    let two = builder
        .add(Probe::named("two", &log, &gate))
        .register()
        .unwrap();
    builder.add(Broken).register().unwrap();
    two.tell(Held(1)).await.unwrap();
    let start = tokio::spawn(builder.start());
    gate.wait_entered().await;
    // `two` is in its handler, so the rollback waits for it while `one` has not had its turn.
    while two.stats().level == postroom::actor::Level::Open {
        tokio::task::yield_now().await;
    }
    start.abort();
    start.await.unwrap_err();
    assert!(matches!(one.closed().await.reason, StopReason::Stopped));
    gate.open();
    two.closed().await;
}

#[tokio::test(start_paused = true)]
async fn r15_a_rollback_does_not_wait_for_actors_that_never_start() {
    let (log, gate) = (Log::default(), Gate::default());
    let mut builder = ActorRegistry::builder();
    let late = builder.reserve::<Probe>("late");
    let asks = builder
        .add(Asks {
            gate: gate.clone(),
            other: late.handle().recipient(),
        })
        .register()
        .unwrap();
    builder.add(After(gate.clone())).register().unwrap();
    builder
        .fill(late, Probe::new(&log, &gate))
        .register()
        .unwrap();
    asks.tell(Go).await.unwrap();
    let before = Instant::now();
    let error = builder.start().await.unwrap_err();
    let StartError::Actor { rolled_back, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(rolled_back[0].exit.account.ok, 1, "{}", rolled_back[0].exit);
}

#[tokio::test]
async fn r15_a_refused_registration_leaves_nothing_behind() {
    let (log, gate) = (Log::default(), Gate::default());
    let mut builder = ActorRegistry::builder();
    let probe = || Probe::new(&log, &gate);
    builder
        .add(probe())
        .name("first")
        .handles::<Note>()
        .register()
        .unwrap();
    let refused = builder
        .add(probe())
        .name("second")
        .handles::<Held>()
        .handles::<Note>()
        .register();
    assert!(matches!(refused, Err(BuildError::DuplicateRoute { .. })));
    let refused = builder.add(probe()).name("second").capacity(0).register();
    assert!(matches!(refused, Err(BuildError::ZeroCapacity { .. })));
    // Neither its name nor its routes are taken, and the first route is still the first's.
    builder
        .add(probe())
        .name("second")
        .handles::<Held>()
        .register()
        .unwrap();
    let refused = builder.add(probe()).name("third").handles::<Note>();
    let error = refused.register().unwrap_err();
    assert!(
        matches!(&error, BuildError::DuplicateRoute { first, .. } if &**first == "first"),
        "{error}"
    );
    let registry = builder.start().await.unwrap();
    gate.open();
    assert_eq!(registry.ask(Held(3)).await.unwrap(), 3);
    assert_eq!(registry.ask(Note(4)).await.unwrap(), 4);
    registry.shutdown().await;
}
