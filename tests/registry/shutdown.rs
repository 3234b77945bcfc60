//! Draining in reverse order, deadlines and reports (R16, R17).

use crate::common::*;
use crate::{Front, names, probe};
use postroom::actor::*;
use postroom::registry::*;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r16_a_shutdown_under_load_accounts_for_every_message() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    let back = builder
        .add(probe("back", &log))
        .capacity(4)
        .register()
        .unwrap();
    let front = builder
        .add(Front(back.clone()))
        .capacity(4)
        .handles::<Note>()
        .sends_to(&back)
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(0_u64);
    let stop = Arc::new(stop);
    let senders: Vec<_> = (0..8_u32)
        .map(|sender| {
            let (front, stop) = (front.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let (mut told, mut answered) = (0_u64, 0_u64);
                loop {
                    if sender % 2 == 0 {
                        match front.tell(Note(sender)).await {
                            Ok(_) => told += 1,
                            Err(_) => return (told, answered),
                        }
                    } else {
                        match front.ask(Note(sender)).await {
                            Ok(_) => answered += 1,
                            Err(error) => {
                                assert!(
                                    matches!(error, AskError::Closed(_)),
                                    "a drain answers all: {error:?}"
                                );
                                return (told, answered);
                            }
                        }
                    }
                    stop.send_modify(|sent| *sent += 1);
                }
            })
        })
        .collect();
    stopped.clone().wait_for(|sent| *sent > 500).await.unwrap();
    let report = registry.shutdown().await;
    assert!(report.is_balanced(), "{report}");
    let (mut told, mut answered) = (0, 0);
    for sender in senders {
        let (t, a) = sender.await.unwrap();
        told += t;
        answered += a;
    }
    let front = &report.actor("Front").unwrap().exit.account;
    assert_eq!(
        front.accepted,
        told + answered,
        "no send that returned Ok is unaccounted for"
    );
    assert_eq!(front.ok, front.accepted);
    assert_eq!(report.actor("back").unwrap().exit.account.ok, front.ok);
    assert_eq!(names(&report.actors), ["Front", "back"]);
}

#[tokio::test]
async fn r16_routes_close_at_once_and_mailboxes_in_their_turn() {
    let (log, gate) = (Log::default(), Gate::default());
    let mut builder = ActorRegistry::builder();
    let back = builder
        .add(probe("back", &log))
        .handles::<Note>()
        .register()
        .unwrap();
    let front = builder
        .add(Probe::named("front", &log, &gate))
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    occupy(&front, &gate).await;
    let mut shutdown = Box::pin(registry.shutdown());
    assert!(poll_once(&mut shutdown).await.is_pending());
    tokio::task::yield_now().await;
    assert!(matches!(
        registry.ask(Note(1)).await,
        Err(AskError::Closed(Note(1)))
    ));
    assert!(matches!(
        front.ask(Note(2)).await,
        Err(AskError::Closed(Note(2)))
    ));
    assert_eq!(back.ask(Note(3)).await.unwrap(), 3, "its turn has not come");
    gate.open();
    assert!(shutdown.await.is_balanced());
    assert!(matches!(back.ask(Note(4)).await, Err(AskError::Closed(_))));
}

#[tokio::test]
async fn r16_every_caller_gets_the_same_report_and_may_go_away() {
    let (log, gate) = (Log::default(), Gate::default());
    let mut builder = ActorRegistry::builder();
    let held = builder
        .add(Probe::named("held", &log, &gate))
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    occupy(&held, &gate).await;
    let mut first = Box::pin(registry.shutdown());
    assert!(poll_once(&mut first).await.is_pending());
    drop(first);
    gate.open();
    let (second, third) = tokio::join!(registry.shutdown(), registry.closed());
    assert!(Arc::ptr_eq(&second, &third));
    assert!(Arc::ptr_eq(&second, &registry.shutdown().await));
    assert!(second.to_string().contains("held"), "{second}");
}

#[tokio::test(start_paused = true)]
async fn r16_an_actor_that_does_not_drain_in_time_is_stopped_and_then_killed() {
    let (log, gate) = (Log::default(), Gate::default());
    let mut builder = ActorRegistry::builder();
    let back = builder.add(probe("back", &log)).register().unwrap();
    let stuck = builder
        .add(Probe::named("stuck", &log, &gate))
        .drain_deadline(Duration::from_secs(5))
        .sends_to(&back)
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    occupy(&stuck, &gate).await;
    stuck.tell(Note(1)).await.unwrap();
    let before = Instant::now();
    let report = registry.shutdown().await;
    assert_eq!(before.elapsed().as_secs(), 6);
    assert!(report.is_balanced(), "{report}");
    let stuck = report.actor("stuck").unwrap();
    assert_eq!(stuck.level, Level::Kill);
    assert_eq!(
        (stuck.exit.account.cancelled, stuck.exit.account.undelivered),
        (1, 1)
    );
    assert_eq!(report.actor("back").unwrap().level, Level::Drain);
}

#[tokio::test(start_paused = true)]
async fn r16_when_the_total_is_spent_the_rest_are_stopped() {
    let (log, gate, last_gate) = (Log::default(), Gate::default(), Gate::default());
    let mut builder = ActorRegistry::builder();
    builder
        .shutdown_deadline(Duration::from_secs(12))
        .drain_deadline(Duration::from_secs(10));
    let last = builder
        .add(Probe::named("last", &log, &last_gate))
        .register()
        .unwrap();
    let mut handles = Vec::new();
    for name in ["one", "two", "three"] {
        handles.push(
            builder
                .add(Probe::named(name, &log, &gate))
                .register()
                .unwrap(),
        );
    }
    let registry = builder.start().await.unwrap();
    for handle in &handles {
        occupy(handle, &gate).await;
    }
    occupy(&last, &last_gate).await;
    last.tell(Note(1)).await.unwrap();
    let before = Instant::now();
    // Half a second after the total is spent, the last one's handler comes to its end.
    let let_through = async {
        tokio::time::sleep(Duration::from_millis(12_500)).await;
        last_gate.open();
    };
    let (report, ()) = tokio::join!(registry.shutdown(), let_through);
    assert!(report.is_balanced(), "{report}");
    assert_eq!(before.elapsed().as_secs(), 13, "they share one grace");
    let account = |name| report.actor(name).unwrap().exit.account;
    assert!(
        ["one", "two", "three"]
            .iter()
            .all(|name| account(name).cancelled == 1)
    );
    assert_eq!(
        (account("last").ok, account("last").undelivered),
        (1, 1),
        "stopped, and no longer drained"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r16_a_handler_that_never_yields_is_named_and_left_behind() {
    let (log, gate) = (Log::default(), Gate::default());
    let mut builder = ActorRegistry::builder();
    builder.drain_deadline(Duration::from_millis(10));
    let blocked = builder
        .add(Probe::named("blocked", &log, &gate))
        .stop_deadline(Duration::from_millis(10))
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    let (release, until) = std::sync::mpsc::channel();
    blocked.tell(Block(until)).await.unwrap();
    gate.pass().await;
    let report = registry.shutdown().await;
    let exit = &report.actor("blocked").unwrap().exit;
    assert!(exit.abandoned_handler);
    assert_eq!(exit.account.running, 1);
    assert!(report.is_balanced(), "{report}");
    release.send(()).unwrap();
}

#[tokio::test]
async fn r15_a_registry_that_is_dropped_stops_its_actors() {
    let (log, gate) = (Log::default(), Gate::default());
    let mut builder = ActorRegistry::builder();
    let held = builder
        .add(Probe::named("held", &log, &gate))
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    occupy(&held, &gate).await;
    held.tell(Note(1)).await.unwrap();
    drop(registry);
    gate.open();
    let exit = held.closed().await;
    assert!(matches!(exit.reason, StopReason::Stopped));
    assert_eq!(exit.account.undelivered, 1);
}

#[tokio::test]
async fn r17_the_registry_holds_its_actors() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    let weak = builder
        .add(probe("kept", &log))
        .register()
        .unwrap()
        .downgrade();
    let registry = builder.start().await.unwrap();
    let handle = weak.upgrade().expect("the registry holds it");
    assert_eq!(handle.ask(Note(1)).await.unwrap(), 1);
    registry.shutdown().await;
}

#[tokio::test]
async fn r16_a_signal_shuts_the_registry_down() {
    let log = Log::default();
    let start = async || {
        let mut builder = ActorRegistry::builder();
        builder
            .add(probe("one", &log))
            .critical()
            .register()
            .unwrap();
        builder.start().await.unwrap()
    };
    let registry = start().await;
    let (signal, signalled) = tokio::sync::oneshot::channel::<()>();
    let mut served = Box::pin(registry.shutdown_on(signalled));
    assert!(poll_once(&mut served).await.is_pending());
    tokio::task::yield_now().await;
    assert!(poll_once(&mut served).await.is_pending());
    signal.send(()).unwrap();
    let report = served.await;
    assert!(report.cause.is_none());
    assert_eq!(names(&report.actors), ["one"]);

    // A registry that goes down without the signal ends the wait too.
    let registry = start().await;
    let served = registry.shutdown_on(std::future::pending::<()>());
    let (served, shut) = tokio::join!(served, registry.shutdown());
    assert!(Arc::ptr_eq(&served, &shut));
}
