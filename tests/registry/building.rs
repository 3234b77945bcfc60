//! What can be registered, and what is refused before anything runs (R15).

use crate::common::*;
use crate::{Front, probe};
use postroom::actor::*;
use postroom::registry::*;

#[tokio::test]
async fn r15_a_duplicate_name_or_route_and_capacity_zero_are_build_errors() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    builder
        .add(probe("one", &log))
        .handles::<Note>()
        .register()
        .unwrap();
    let same_name = builder.add(probe("one", &log)).register().unwrap_err();
    assert_eq!(same_name, BuildError::DuplicateName { name: "one".into() });
    let same_route = builder
        .add(probe("two", &log))
        .handles::<Note>()
        .register()
        .unwrap_err();
    let BuildError::DuplicateRoute {
        message,
        first,
        second,
    } = same_route
    else {
        panic!("{same_route}")
    };
    assert!(message.ends_with("Note"));
    assert_eq!((&*first, &*second), ("one", "two"));
    let no_room = builder
        .add(probe("three", &log))
        .capacity(0)
        .register()
        .unwrap_err();
    assert_eq!(
        no_room,
        BuildError::ZeroCapacity {
            actor: "three".into()
        }
    );
    let slot = builder.reserve::<Probe>("one");
    assert!(matches!(
        builder.fill(slot, probe("", &log)).register(),
        Err(BuildError::DuplicateName { .. })
    ));
}

#[tokio::test]
async fn r15_a_refused_registration_leaves_no_trace() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    let twice = builder
        .add(probe("one", &log))
        .handles::<Note>()
        .handles::<Note>()
        .register();
    assert!(
        matches!(twice, Err(BuildError::DuplicateRoute { first, second, .. }) if first == second)
    );
    builder
        .add(probe("one", &log))
        .capacity(0)
        .handles::<Note>()
        .register()
        .unwrap_err();
    builder
        .add(probe("one", &log))
        .handles::<Note>()
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    assert_eq!(registry.stats().len(), 1);
    assert_eq!(registry.ask(Note(1)).await.unwrap(), 1);
    registry.shutdown().await;
}

#[tokio::test]
async fn r15_declared_sends_are_checked_before_anything_starts() {
    let log = Log::default();

    let mut builder = ActorRegistry::builder();
    let slot = builder.reserve::<Probe>("late");
    let late = slot.handle();
    let early = builder
        .add(probe("early", &log))
        .sends_to(&late)
        .register()
        .unwrap();
    builder
        .fill(slot, probe("", &log))
        .sends_to(&early)
        .register()
        .unwrap();
    let error = builder.start().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the declared sends go in a circle: `early` -> `late` -> `early`"
    );

    let mut builder = ActorRegistry::builder();
    let slot = builder.reserve::<Probe>("late");
    builder
        .add(probe("early", &log))
        .sends_to(&slot.handle())
        .register()
        .unwrap();
    builder.fill(slot, probe("", &log)).register().unwrap();
    assert!(matches!(
        builder.start().await,
        Err(StartError::Build(BuildError::StartsTooEarly { .. }))
    ));

    let mut builder = ActorRegistry::builder();
    let stranger = probe("stranger", &log).spawn();
    stranger.ready().await.unwrap();
    builder
        .add(probe("early", &log))
        .sends_to(&stranger)
        .register()
        .unwrap();
    assert!(matches!(
        builder.start().await,
        Err(StartError::Build(BuildError::Stranger { .. }))
    ));

    let mut builder = ActorRegistry::builder();
    let slot = builder.reserve::<Probe>("empty");
    assert!(matches!(
        builder.start().await,
        Err(StartError::Build(BuildError::Unfilled { .. }))
    ));
    drop(slot);
    assert_eq!(log.entries(), ["stranger started"]);
}

#[tokio::test]
async fn r15_handles_exist_before_their_actors() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    let slot = builder.reserve::<Probe>("back");
    let front = builder
        .add(Front(slot.handle()))
        .handles::<Note>()
        .register()
        .unwrap();
    let back = builder
        .fill(slot, probe("", &log))
        .capacity(2)
        .register()
        .unwrap();
    assert_eq!((back.name().as_str(), back.stats().capacity), ("back", 2));
    // Also messages may be sent ahead; they wait.
    let mut ahead = front.ask(Note(1));
    assert!(poll_once(&mut ahead).await.is_pending());
    let registry = builder.start().await.unwrap();
    assert_eq!(ahead.await.unwrap(), 101);
    assert_eq!(registry.ask(Note(2)).await.unwrap(), 102);
    registry.shutdown().await;
}

#[tokio::test]
async fn r15_a_builder_that_never_starts_gives_everything_back() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    let registered = builder.add(probe("registered", &log)).register().unwrap();
    let slot = builder.reserve::<Probe>("reserved");
    let reserved = slot.handle();
    let (mut one, mut two) = (registered.ask(Note(1)), reserved.ask(Note(2)));
    assert!(poll_once(&mut one).await.is_pending());
    assert!(poll_once(&mut two).await.is_pending());
    drop(builder);
    drop(slot);
    assert!(matches!(one.await, Err(AskError::Stopped(Note(1)))));
    assert!(matches!(two.await, Err(AskError::Stopped(Note(2)))));
    assert!(matches!(
        registered.closed().await.reason,
        StopReason::NeverStarted
    ));
    assert!(matches!(reserved.ready().await, Err(exit) if exit.is_balanced()));
}
