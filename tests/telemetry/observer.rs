//! What an observer knows of the handlers that run.

use crate::common::{Gate, Held, Log, Note, Probe, poll_once};
use postroom::actor::Actor;
use postroom::registry::ActorRegistry;
use postroom::telemetry::Observer;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn r19_the_age_of_a_handler_counts_from_the_first_look() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Probe::new(&log, &gate).spawn();
    let mut observer = Observer::new();
    assert_eq!(observer.look_at(&probe).handler_age, None);
    for _ in 0..3 {
        probe.tell(Held(1)).await.unwrap();
    }
    gate.wait_entered().await;
    tokio::time::advance(SECOND).await;
    assert_eq!(
        observer.look_at(&probe).handler_age,
        Some(Duration::ZERO),
        "a lower bound"
    );
    tokio::time::advance(SECOND * 5).await;
    let snapshot = observer.look_at(&probe);
    assert_eq!(snapshot.handler_age, Some(SECOND * 5));
    assert_eq!((&*snapshot.name, snapshot.id), ("probe", probe.id()));
    assert_eq!((snapshot.stats.depth, snapshot.stats.high_water), (2, 3));
    // What comes behind it does not change which handler runs.
    probe.tell(Note(2)).await.unwrap();
    tokio::time::advance(SECOND).await;
    assert_eq!(observer.look_at(&probe).handler_age, Some(SECOND * 6));
    gate.open();
    gate.wait_entered().await;
    assert_eq!(
        observer.look_at(&probe).handler_age,
        Some(Duration::ZERO),
        "another message"
    );
    gate.open_for_good();
    probe.drain();
    probe.closed().await;
    assert_eq!(observer.look_at(&probe).handler_age, None);
}

#[tokio::test(start_paused = true)]
async fn r19_all_actors_of_a_registry_are_seen_at_once() {
    let gate = Gate::default();
    let mut builder = ActorRegistry::builder();
    let mut handles = Vec::new();
    for name in ["one", "two"] {
        let probe = Probe::named(name, &Log::default(), &gate);
        handles.push(builder.add(probe).register().unwrap());
    }
    let registry = builder.start().await.unwrap();
    let mut held = handles[1].ask(Held(1));
    assert!(poll_once(&mut held).await.is_pending());
    gate.wait_entered().await;
    let mut observer = Observer::new();
    let ages = |observer: &mut Observer| {
        let seen = observer.look(&registry);
        seen.into_iter()
            .map(|actor| (actor.name.to_string(), actor.handler_age))
            .collect::<Vec<_>>()
    };
    let seen = [
        ("one".to_owned(), None),
        ("two".to_owned(), Some(Duration::ZERO)),
    ];
    assert_eq!(ages(&mut observer), seen, "in the order of start");
    tokio::time::advance(SECOND).await;
    assert_eq!(ages(&mut observer)[1].1, Some(SECOND));
    gate.open();
    held.await.unwrap();
    assert_eq!(ages(&mut observer)[1].1, None);
    registry.shutdown().await;
}
