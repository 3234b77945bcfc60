//! Threads that no runtime drives can send too, and nobody else blocks.

use crate::common::{Crash, Gate, Held, Log, Note, Probe, occupy};
use postroom::actor::{Actor, AskError, Builder, Executed, Handle, SendError};
use postroom::registry::ActorRegistry;
use std::thread;

fn runtimes() -> [tokio::runtime::Runtime; 2] {
    let mut one = tokio::runtime::Builder::new_current_thread();
    let mut many = tokio::runtime::Builder::new_multi_thread();
    [
        one.enable_all().build().unwrap(),
        many.worker_threads(1).enable_all().build().unwrap(),
    ]
}

#[test]
fn r18_threads_can_tell_and_ask() {
    for runtime in runtimes() {
        let (log, gate) = (Log::default(), Gate::default());
        let probe = runtime.block_on(async {
            let probe = Builder::new(Probe::new(&log, &gate))
                .capacity(1)
                .spawn()
                .unwrap();
            occupy(&probe, &gate).await;
            probe
        });
        let threads: Vec<_> = (1..=20)
            .map(|n| {
                let probe = probe.clone();
                thread::spawn(move || match n % 4 {
                    0 => {
                        probe.blocking_tell(Note(n)).unwrap();
                    }
                    1 => assert_eq!(probe.blocking_ask(Note(n)).unwrap(), n),
                    2 => {
                        probe.recipient::<Note>().blocking_tell(Note(n)).unwrap();
                    }
                    _ => assert_eq!(probe.recipient::<Note>().blocking_ask(Note(n)).unwrap(), n),
                })
            })
            .collect();
        while probe.stats().waiting < 19 {
            thread::yield_now();
        }
        gate.open_for_good();
        // A current-thread runtime runs only while somebody blocks on it.
        runtime.block_on(async {
            while probe.stats().account.ok < 21 {
                tokio::task::yield_now().await;
            }
        });
        for thread in threads {
            thread.join().unwrap();
        }
        probe.stop();
        let exit = runtime.block_on(probe.closed());
        assert_eq!(exit.account.ok, 21);
        assert_eq!(
            probe.blocking_tell(Note(1)),
            Err(SendError::Closed(Note(1)))
        );
    }
}

#[test]
fn r18_a_blocked_thread_is_told_what_became_of_its_ask() {
    let [_, runtime] = runtimes();
    let (log, gate) = (Log::default(), Gate::default());
    let probe = {
        let _inside = runtime.enter();
        Probe::new(&log, &gate).spawn()
    };
    assert!(matches!(
        probe.blocking_ask(Crash("ill")),
        Err(AskError::Panicked { .. })
    ));

    let probe = {
        let _inside = runtime.enter();
        Probe::new(&log, &gate).spawn()
    };
    let ask = |handle: &Handle<Probe>| {
        let handle = handle.clone();
        thread::spawn(move || {
            handle
                .blocking_ask(Held(1))
                .map_err(|error| error.was_executed())
        })
    };
    let running = ask(&probe);
    runtime.block_on(gate.wait_entered());
    let queued = ask(&probe);
    while probe.stats().depth < 1 {
        thread::yield_now();
    }
    // The runtime goes away under both.
    drop(runtime);
    assert_eq!(running.join().unwrap(), Err(Executed::Yes));
    assert_eq!(queued.join().unwrap(), Err(Executed::No));
}

#[test]
fn r18_a_blocking_send_inside_a_runtime_is_an_error_and_gives_the_message_back() {
    for runtime in runtimes() {
        runtime.block_on(async {
            let mut builder = ActorRegistry::builder();
            let probe = builder.add(Probe::default()).name("p").handles::<Note>();
            let probe = probe.register().unwrap();
            let registry = builder.start().await.unwrap();
            let routes = registry.routes();
            let recipient = probe.recipient::<Note>();
            let tells = [
                probe.blocking_tell(Note(1)),
                recipient.blocking_tell(Note(1)),
                routes.blocking_tell(Note(1)),
            ];
            assert!(
                tells
                    .iter()
                    .all(|it| *it == Err(SendError::InRuntime(Note(1))))
            );
            let asks = [
                probe.blocking_ask(Note(2)),
                recipient.blocking_ask(Note(2)),
                routes.blocking_ask(Note(2)),
            ];
            for ask in asks {
                let error = ask.unwrap_err();
                assert_eq!(error.was_executed(), Executed::No);
                assert!(error.to_string().contains("hold the runtime up"), "{error}");
                assert_eq!(error.into_message(), Some(Note(2)));
            }
            assert_eq!(probe.stats().account.accepted, 0);
            // There a thread blocks on the future instead.
            let handle = probe.clone();
            let asked = tokio::task::spawn_blocking(move || {
                tokio::runtime::Handle::current().block_on(handle.ask(Note(3)))
            });
            assert_eq!(asked.await.unwrap().unwrap(), 3);
            registry.shutdown().await;
        });
    }
}
