//! What the runtime says in the log.

use crate::common::{Fail, Gate, Lines, Log, Note, Probe};
use postroom::actor::Actor;
use postroom::registry::ActorRegistry;

#[tokio::test]
async fn r12_a_told_messages_error_is_counted_and_logged_once() {
    let lines = Log::default();
    let _guard = tracing::subscriber::set_default(Lines(lines.clone()));
    let probe = Probe::named("writer", &Log::default(), &Gate::default()).spawn();
    probe.tell(Fail).await.unwrap();
    probe.tell(Fail).await.unwrap();
    assert!(probe.ask(Fail).await.is_err());
    assert_eq!(probe.stats().account.failed, 3);
    let lines = lines.entries();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("writer") && lines[0].contains("Fail"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn r15_a_registry_that_is_dropped_warns_and_one_that_is_shut_down_does_not() {
    let lines = Log::default();
    let _guard = tracing::subscriber::set_default(Lines(lines.clone()));
    let start = async || {
        let mut builder = ActorRegistry::builder();
        builder
            .add(Probe::named("kept", &Log::default(), &Gate::default()))
            .handles::<Note>()
            .register()
            .unwrap();
        builder.start().await.unwrap()
    };
    let registry = start().await;
    registry.shutdown().await;
    drop(registry);
    assert_eq!(lines.entries(), Vec::<String>::new());
    drop(start().await);
    let lines = lines.entries();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("dropped without a shutdown"), "{lines:?}");
}
