//! What the runtime says in the log.

mod common;

use common::{Fail, Gate, Log, Note, Probe};
use postroom::actor::Actor;
use postroom::registry::ActorRegistry;
use std::fmt::{Debug, Write};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Keeps warnings and errors, a line each.
struct Lines(Log);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.add(line.0);
    }
}

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
