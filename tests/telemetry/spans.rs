//! Spans around handlers, linked to those of their senders.

use crate::common::{Gate, Held, Log, Note, Probe, poll_once};
use postroom::actor::{Actor, Batch, Builder, Context, Dispatch, Message, Receive};
use std::convert::Infallible;
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{Instrument, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context as LayerContext, SubscriberExt};

/// A handler's span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Handled {
    id: u64,
    fields: String,
    is_root: bool,
    /// The names of the spans it follows from.
    follows: Vec<&'static str>,
    entered: usize,
    closed: bool,
}

/// Keeps the spans of handlers, in order.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Handled>>>);

impl Spans {
    fn taken(&self) -> Vec<Handled> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn change(&self, id: &Id, change: impl FnOnce(&mut Handled)) {
        let mut spans = self.0.lock().unwrap();
        if let Some(span) = spans.iter_mut().find(|span| span.id == id.into_u64()) {
            change(span);
        }
    }
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl<S> Layer<S> for Spans
where
    S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: LayerContext<'_, S>) {
        if attributes.metadata().target() != "postroom::handler" {
            return;
        }
        let mut fields = Fields(String::new());
        attributes.record(&mut fields);
        self.0.lock().unwrap().push(Handled {
            id: id.into_u64(),
            fields: fields.0,
            is_root: attributes.is_root(),
            ..Handled::default()
        });
    }

    fn on_follows_from(&self, span: &Id, follows: &Id, cx: LayerContext<'_, S>) {
        let name = cx.span(follows).map_or("gone", |span| span.name());
        self.change(span, |span| span.follows.push(name));
    }

    fn on_enter(&self, id: &Id, _: LayerContext<'_, S>) {
        self.change(id, |span| span.entered += 1);
    }

    fn on_close(&self, id: Id, _: LayerContext<'_, S>) {
        self.change(&id, |span| span.closed = true);
    }
}

fn watch(level: LevelFilter) -> (Spans, tracing::subscriber::DefaultGuard) {
    let spans = Spans::default();
    let subscriber = tracing_subscriber::registry()
        .with(level)
        .with(spans.clone());
    (spans, tracing::subscriber::set_default(subscriber))
}

/// Received with its token.
struct Query;

impl Message for Query {
    type Response = ();
    type Error = Infallible;
}

impl Receive<Query> for Probe {
    async fn receive(&mut self, batch: Batch<Query>, _: &Context<Self>) {
        for (Query, reply) in batch {
            reply.ok(());
        }
    }
}

#[track_caller]
fn check(spans: &Spans, message: &str, count: usize) {
    let handled = spans.taken();
    assert_eq!(handled.len(), count, "{handled:?}");
    for span in handled {
        assert_eq!(span.follows, ["request"], "{span:?}");
        assert!(span.is_root && span.closed && span.entered > 0, "{span:?}");
        assert!(span.fields.contains("actor=\"probe\""), "{span:?}");
        assert!(span.fields.contains(message), "{span:?}");
    }
}

#[tokio::test]
async fn r20_a_handlers_span_follows_from_its_senders() {
    let (spans, _guard) = watch(LevelFilter::DEBUG);
    let request = tracing::info_span!("request");
    for dispatch in [Dispatch::Queue, Dispatch::InPlace] {
        let gate = Gate::default();
        gate.open_for_good();
        let probe = Builder::new(Probe::new(&Log::default(), &gate))
            .dispatch(dispatch)
            .spawn()
            .unwrap();
        probe.ready().await.unwrap();
        async {
            probe.ask(Note(1)).await.unwrap();
            probe.tell(Note(2)).await.unwrap();
            probe.try_tell(Note(3)).unwrap();
            probe.reserve().await.unwrap().send(Note(4)).unwrap();
            probe.recipient().ask(Note(5)).await.unwrap();
            let reply = probe.ask(Note(6)).enqueue().await.unwrap();
            reply.await.unwrap();
        }
        .instrument(request.clone())
        .await;
        probe.drain();
        probe.closed().await;
        check(&spans, "Note", 6);
    }
}

#[tokio::test]
async fn r20_the_span_holds_across_waits_and_for_tokens_and_direct_calls() {
    let (spans, _guard) = watch(LevelFilter::DEBUG);
    let request = tracing::info_span!("request");
    let gate = Gate::default();
    let probe = Probe::new(&Log::default(), &gate).spawn();
    let mut held = probe.ask(Held(1));
    assert!(request.in_scope(|| poll(&mut held)).is_pending());
    gate.wait_entered().await;
    gate.open();
    held.await.unwrap();
    probe.drain();
    probe.closed().await;
    let entered: Vec<_> = spans
        .0
        .lock()
        .unwrap()
        .iter()
        .map(|span| span.entered)
        .collect();
    assert_eq!(entered, [2], "once for each time it was polled");
    check(&spans, "Held", 1);

    let direct = Builder::new(Probe::new(&Log::default(), &gate))
        .direct()
        .unwrap();
    let probe = Probe::new(&Log::default(), &gate).spawn();
    async {
        probe.ask(Query).await.unwrap();
        probe.tell(Query).await.unwrap();
        direct.ask(Query).await.unwrap();
        direct.tell(Query).await.unwrap();
    }
    .instrument(request.clone())
    .await;
    probe.drain();
    probe.closed().await;
    check(&spans, "Query", 4);

    async {
        direct.ask(Note(1)).await.unwrap();
        direct.tell(Note(2)).await.unwrap();
    }
    .instrument(request)
    .await;
    check(&spans, "Note", 2);
}

/// A subscriber that panics when it is asked for the current span.
struct Lost;

impl Subscriber for Lost {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &tracing::Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}

    fn current_span(&self) -> tracing_core::span::Current {
        panic!("lost");
    }
}

#[tokio::test]
async fn r20_a_subscriber_that_panics_takes_no_actor_along() {
    let gate = Gate::default();
    gate.open_for_good();
    let probe = Builder::new(Probe::new(&Log::default(), &gate))
        .dispatch(Dispatch::InPlace)
        .spawn()
        .unwrap();
    probe.ready().await.unwrap();
    let direct = Builder::new(Probe::new(&Log::default(), &gate))
        .direct()
        .unwrap();
    direct.ask(Note(0)).await.unwrap();
    {
        let _guard = tracing::subscriber::set_default(Lost);
        probe.ask(Note(1)).await.unwrap();
        direct.ask(Note(2)).await.unwrap();
        direct.tell(Note(3)).await.unwrap();
        direct.ask(Query).await.unwrap();
    }
    probe.drain();
    assert!(probe.closed().await.is_balanced());
    direct.drain();
    assert!(direct.closed().await.is_balanced());
}

/// A subscriber that panics when it is asked whether it wants the spans of handlers, or when it gets one.
#[derive(Clone, Copy)]
struct Undecided {
    wants_them: bool,
}

impl Subscriber for Undecided {
    fn register_callsite(&self, _: &'static tracing::Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        let is_handler = metadata.target() == "postroom::handler";
        assert!(self.wants_them || !is_handler, "undecided");
        is_handler
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        panic!("undecided");
    }

    fn record(&self, _: &Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &tracing::Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn r20_a_subscriber_that_panics_when_it_is_asked_takes_no_actor_along() {
    let gate = Gate::default();
    gate.open_for_good();
    let cases = [
        (Dispatch::InPlace, false),
        (Dispatch::Queue, false),
        (Dispatch::InPlace, true),
        (Dispatch::Queue, true),
    ];
    for (dispatch, wants_them) in cases {
        let probe = Builder::new(Probe::new(&Log::default(), &gate))
            .dispatch(dispatch)
            .spawn()
            .unwrap();
        probe.ready().await.unwrap();
        let _guard = tracing::subscriber::set_default(Undecided { wants_them });
        assert_eq!(probe.ask(Note(1)).await.unwrap(), 1);
        probe.tell(Note(2)).await.unwrap();
        probe.drain();
        let exit = probe.closed().await;
        assert!(exit.is_balanced(), "{exit}");
        assert_eq!((exit.account.accepted, exit.account.ok), (2, 2), "{exit}");
        let direct = Builder::new(Probe::new(&Log::default(), &gate))
            .direct()
            .unwrap();
        assert_eq!(direct.ask(Note(1)).await.unwrap(), 1);
        direct.drain();
        assert!(direct.closed().await.is_balanced());
    }
}

fn poll<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::Pin::new(future).poll(&mut cx)
}

#[tokio::test]
async fn r20_without_a_span_there_is_no_link_and_unasked_for_there_is_no_span() {
    let (spans, guard) = watch(LevelFilter::DEBUG);
    let probe = Probe::named("probe", &Log::default(), &Gate::default()).spawn();
    probe.ask(Note(1)).await.unwrap();
    let handled = spans.taken();
    assert_eq!((handled.len(), &handled[0].follows), (1, &Vec::new()));
    drop(guard);
    let (spans, _guard) = watch(LevelFilter::INFO);
    let request = tracing::info_span!("request");
    probe.ask(Note(1)).instrument(request).await.unwrap();
    let mut queued = probe.ask(Note(2));
    let _ = poll_once(&mut queued).await;
    assert_eq!(spans.taken(), []);
}

/// A message that causes another one, so many times.
struct Echo(u32);

impl Message for Echo {
    type Response = ();
    type Error = Infallible;
}

impl postroom::actor::Handler<Echo> for Probe {
    async fn handle(&mut self, Echo(left): Echo, ctx: &Context<Self>) -> Result<(), Infallible> {
        if left > 0 {
            ctx.handle().unwrap().try_tell(Echo(left - 1)).unwrap();
        }
        Ok(())
    }
}

#[tokio::test]
async fn r20_messages_that_cause_messages_nest_no_spans() {
    let (spans, _guard) = watch(LevelFilter::DEBUG);
    let probe = Probe::named("probe", &Log::default(), &Gate::default()).spawn();
    probe.tell(Echo(100)).await.unwrap();
    while probe.stats().account.ok < 101 {
        tokio::task::yield_now().await;
    }
    probe.kill();
    probe.closed().await;
    let handled = spans.taken();
    assert_eq!(handled.len(), 101);
    assert!(handled.iter().all(|span| span.is_root && span.closed));
    let follows = |span: &Handled| span.follows == ["handle"];
    assert!(
        handled[1..].iter().all(follows),
        "each follows from the one before"
    );
}
