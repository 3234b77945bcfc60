//! Bug 41: blocking sends that panic or hang where they must not block.

use crate::common::{Note, Probe};
use postroom::actor::{Actor, SendError};

#[tokio::test]
async fn b41_a_blocking_send_on_a_runtimes_only_thread_is_an_error() {
    let probe = Probe::default().spawn();
    let refused = probe.blocking_tell(Note(1));
    assert_eq!(refused, Err(SendError::InRuntime(Note(1))));
    assert!(probe.blocking_ask(Note(1)).is_err());
    let inside = probe.clone();
    let on_its_threads = tokio::task::spawn_blocking(move || inside.blocking_tell(Note(2)));
    assert!(on_its_threads.await.unwrap().is_err());
    let outside = probe.clone();
    let thread = std::thread::spawn(move || outside.blocking_ask(Note(3)));
    while !thread.is_finished() {
        tokio::task::yield_now().await;
    }
    assert_eq!(thread.join().unwrap().unwrap(), 3);
}
