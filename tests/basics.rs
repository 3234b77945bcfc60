//! The first things an actor must do.

mod common;

use common::{Crash, Fail, Gate, Held, Log, Note, Probe, Refusal, occupy};
use postroom::actor::{Actor, AskError, StopReason};
use postroom::registry::ActorRegistry;

#[tokio::test]
async fn an_actor_answers_fails_panics_and_stops() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Probe::new(&log, &gate).spawn();
    probe.ready().await.unwrap();
    assert_eq!(probe.ask(Note(7)).await.unwrap(), 7);
    assert!(matches!(
        probe.ask(Fail).await,
        Err(AskError::Handler(Refusal))
    ));
    probe.tell(Note(8)).await.unwrap();
    let AskError::Panicked { actor, text, .. } = probe.ask(Crash("oh")).await.unwrap_err() else {
        panic!("the asker sees the panic");
    };
    assert_eq!((&*actor, &*text), ("probe", "oh"));
    let exit = probe.closed().await;
    assert!(matches!(exit.reason, StopReason::Panicked { .. }));
    assert!(exit.is_balanced());
    assert_eq!(
        (exit.account.ok, exit.account.failed, exit.account.panicked),
        (2, 1, 1)
    );
    assert!(matches!(
        probe.ask(Note(9)).await,
        Err(AskError::Closed(Note(9)))
    ));
}

#[tokio::test]
async fn a_registry_starts_routes_and_drains_in_reverse() {
    let (log, gate) = (Log::default(), Gate::default());
    let mut builder = ActorRegistry::builder();
    let first = builder
        .add(Probe::named("first", &log, &gate))
        .handles::<Held>()
        .register()
        .unwrap();
    builder
        .add(Probe::named("second", &log, &gate))
        .handles::<Note>()
        .sends_to(&first)
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    occupy(&first, &gate).await;
    registry.tell(Held(1)).await.unwrap();
    assert_eq!(registry.ask(Note(5)).await.unwrap(), 5);
    gate.open_for_good();
    let report = registry.shutdown().await;
    assert!(report.is_balanced(), "{report}");
    let order: Vec<_> = report
        .actors
        .iter()
        .map(postroom::registry::ActorReport::name)
        .collect();
    assert_eq!(order, ["second", "first"]);
    assert!(matches!(
        registry.ask(Note(1)).await,
        Err(AskError::Closed(_))
    ));
}
