//! What a failure for good does to a registry (R13).

use crate::common::*;
use crate::{names, probe};
use postroom::actor::*;
use postroom::registry::*;
use postroom::supervision::{Backoff, RestartPolicy};
use std::time::Duration;

#[tokio::test]
async fn r13_a_critical_actor_that_fails_for_good_shuts_the_registry_down() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    builder.add(probe("other", &log)).register().unwrap();
    let make = {
        let log = log.clone();
        move || probe("vital", &log)
    };
    let policy = RestartPolicy::permanent()
        .intensity(1, Duration::from_mins(1))
        .backoff(Backoff::none());
    let vital = builder
        .supervise(make, policy)
        .handles::<Crash>()
        .critical()
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    assert!(registry.ask(Crash("one")).await.is_err());
    assert_eq!(
        vital.ask(Note(1)).await.unwrap(),
        1,
        "the first failure is within its intensity"
    );
    assert!(registry.ask(Crash("two")).await.is_err());
    let report = registry.closed().await;
    let cause = report.cause.as_ref().expect("the cause is named");
    assert_eq!(&*cause.actor, "vital");
    assert!(matches!(cause.reason, StopReason::IntensityExceeded { .. }));
    assert!(report.is_balanced());
    assert_eq!(names(&report.actors), ["vital", "other"]);
}

#[tokio::test]
async fn r13_any_other_actor_stays_down_and_the_registry_goes_on() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    let frail = builder
        .add(probe("frail", &log))
        .handles::<Crash>()
        .register()
        .unwrap();
    builder
        .add(probe("other", &log))
        .handles::<Note>()
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    assert!(registry.ask(Crash("oh")).await.is_err());
    frail.closed().await;
    assert_eq!(registry.ask(Note(1)).await.unwrap(), 1);
    assert!(matches!(
        registry.ask(Crash("oh")).await,
        Err(AskError::Closed(_))
    ));
    let report = registry.shutdown().await;
    assert!(report.cause.is_none());
    assert_eq!(
        names(&report.actors),
        ["frail", "other"],
        "in the order in which they ended"
    );
}
