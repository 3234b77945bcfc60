//! Actors start in order, or none of them stays (R15).

use crate::common::*;
use crate::{names, probe};
use postroom::actor::*;
use postroom::registry::*;
use std::convert::Infallible;

/// Starts slowly, or not at all.
struct Slow {
    name: &'static str,
    log: Log,
    works: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the port is taken")]
struct PortTaken;

impl Actor for Slow {
    type Error = PortTaken;

    async fn started(&mut self, _: &Context<Self>) -> Result<(), PortTaken> {
        self.log.add(format!("{} starting", self.name));
        tokio::task::yield_now().await;
        self.log.add(format!("{} ready", self.name));
        if self.works { Ok(()) } else { Err(PortTaken) }
    }

    async fn stopped(&mut self, _: &StopReason) -> Result<(), PortTaken> {
        self.log.add(format!("{} stopped", self.name));
        Ok(())
    }
}

#[tokio::test]
async fn r15_actors_start_in_order_and_each_is_ready_before_the_next() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    for name in ["one", "two", "three"] {
        builder
            .add(Slow {
                name,
                log: log.clone(),
                works: true,
            })
            .name(name)
            .register()
            .unwrap();
    }
    let registry = builder.start().await.unwrap();
    let started = [
        "one starting",
        "one ready",
        "two starting",
        "two ready",
        "three starting",
        "three ready",
    ];
    assert_eq!(log.entries(), started);
    let report = registry.shutdown().await;
    assert_eq!(
        log.entries()[6..],
        ["three stopped", "two stopped", "one stopped"]
    );
    assert_eq!(names(&report.actors), ["three", "two", "one"]);
}

#[tokio::test]
async fn r15_a_failed_start_rolls_back_in_reverse() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    for (name, works) in [
        ("one", true),
        ("two", true),
        ("three", false),
        ("four", true),
    ] {
        builder
            .add(Slow {
                name,
                log: log.clone(),
                works,
            })
            .name(name)
            .register()
            .unwrap();
    }
    let error = builder.start().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "actor `three` did not start, and the registry was rolled back"
    );
    let StartError::Actor {
        actor,
        cause,
        rolled_back,
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(&*actor, "three");
    assert!(cause.to_string().contains("the port is taken"), "{cause}");
    assert_eq!(names(&rolled_back), ["two", "one"]);
    assert_eq!(log.entries()[6..], ["two stopped", "one stopped"]);
}

/// Never becomes ready.
struct Stuck;

impl Actor for Stuck {
    type Error = Infallible;

    async fn started(&mut self, _: &Context<Self>) -> Result<(), Infallible> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn r15_a_start_that_is_dropped_stops_what_has_started() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    let first = builder.add(probe("first", &log)).register().unwrap();
    builder.add(Stuck).register().unwrap();
    let mut start = Box::pin(builder.start());
    while log.entries().is_empty() {
        assert!(poll_once(&mut start).await.is_pending());
        tokio::task::yield_now().await;
    }
    first.ready().await.unwrap();
    drop(start);
    assert!(matches!(first.closed().await.reason, StopReason::Stopped));
}

#[test]
fn r15_outside_a_runtime_is_an_error() {
    let mut builder = ActorRegistry::builder();
    builder
        .add(Probe::default())
        .name("probe")
        .register()
        .unwrap();
    let mut start = std::pin::pin!(builder.start());
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let started = start.as_mut().poll(&mut cx);
    assert!(matches!(
        started,
        std::task::Poll::Ready(Err(StartError::NoRuntime))
    ));
}
