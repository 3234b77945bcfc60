//! Actors through the facade of the crate `metrics`.

use crate::common::{Crash, Fail, Gate, Held, Log, Note, Probe, occupy, poll_once};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use postroom::actor::{
    Actor, AskError, Batch, Builder, Context, Dispatch, Handler, Message, Receive,
};
use postroom::registry::ActorRegistry;
use postroom::supervision::{Backoff, RestartPolicy};
use postroom::telemetry::{Observer, metrics as facade};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Keeps everything, by name and labels.
#[derive(Clone, Default)]
struct Kept(Arc<Inner>);

#[derive(Default)]
struct Inner {
    described: Mutex<BTreeSet<String>>,
    values: Mutex<BTreeMap<String, Vec<f64>>>,
    panics: bool,
}

struct Cell {
    key: String,
    kept: Kept,
}

impl Kept {
    fn describe(&self, key: &KeyName) {
        let described = &self.0.described;
        described.lock().unwrap().insert(key.as_str().to_owned());
    }

    /// `name actor=a message=Note`
    fn cell(&self, key: &Key) -> Arc<Cell> {
        let mut text = key.name().to_owned();
        for label in key.labels() {
            let value = label.value().rsplit("::").next().unwrap_or_default();
            write!(text, " {}={value}", label.key()).unwrap();
        }
        Arc::new(Cell {
            key: text,
            kept: self.clone(),
        })
    }

    fn take(&self) -> BTreeMap<String, Vec<f64>> {
        std::mem::take(&mut *self.0.values.lock().unwrap())
    }
}

impl Cell {
    fn add(&self, value: f64) {
        assert!(!self.kept.0.panics, "a recorder that panics");
        let mut values = self.kept.0.values.lock().unwrap();
        values.entry(self.key.clone()).or_default().push(value);
    }
}

#[expect(clippy::cast_precision_loss)]
impl CounterFn for Cell {
    fn increment(&self, value: u64) {
        self.add(value as f64);
    }

    fn absolute(&self, value: u64) {
        self.add(value as f64);
    }
}

impl GaugeFn for Cell {
    fn increment(&self, _: f64) {
        unreachable!("gauges are set");
    }

    fn decrement(&self, _: f64) {
        unreachable!("gauges are set");
    }

    fn set(&self, value: f64) {
        self.add(value);
    }
}

impl HistogramFn for Cell {
    fn record(&self, value: f64) {
        self.add(value);
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&key);
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&key);
    }

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&key);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.cell(key))
    }
}

/// Takes as long as it is told to.
#[derive(Debug)]
struct Work(Duration);

impl Message for Work {
    type Response = ();
    type Error = Infallible;
}

struct Worker;

impl Actor for Worker {
    type Error = Infallible;
}

impl Handler<Work> for Worker {
    async fn handle(&mut self, Work(time): Work, _: &Context<Self>) -> Result<(), Infallible> {
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
        Ok(())
    }
}

struct Crew;

impl Actor for Crew {
    type Error = Infallible;
}

impl Receive<Work> for Crew {
    const MAX_BATCH: usize = 8;

    async fn receive(&mut self, batch: Batch<Work>, _: &Context<Self>) {
        tokio::time::sleep(SECOND).await;
        for (_, reply) in batch {
            reply.ok(());
        }
    }
}

#[tokio::test]
async fn r19_counters_and_gauges_are_published_under_their_documented_names() {
    let kept = Kept::default();
    let _recorder = metrics::set_default_local_recorder(&kept);
    facade::describe();
    let documented: BTreeSet<String> = include_str!("../../src/telemetry/metrics.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `"))
        .filter_map(|line| Some(line.split_once('`')?.0.to_owned()))
        .collect();
    assert_eq!(*kept.0.described.lock().unwrap(), documented);
    assert_eq!(documented.len(), 10);

    let (log, gate) = (Log::default(), Gate::default());
    let made = (log.clone(), gate.clone());
    let policy = RestartPolicy::permanent().backoff(Backoff::none());
    let mut builder = ActorRegistry::builder();
    let probe = builder
        .supervise(move || Probe::new(&made.0, &made.1), policy)
        .capacity(7)
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    probe.ask(Note(1)).await.unwrap();
    probe.ask(Fail).await.unwrap_err();
    probe.ask(Crash("oh")).await.unwrap_err();
    occupy(&probe, &gate).await;
    probe.tell(Note(2)).await.unwrap();
    probe.tell(Note(3)).await.unwrap();
    let mut observer = Observer::new();
    facade::publish(&observer.look(&registry));
    let values = kept.take();
    for (name, value) in [
        ("postroom_messages_accepted_total actor=probe", 6.0),
        (
            "postroom_messages_settled_total actor=probe outcome=ok",
            1.0,
        ),
        (
            "postroom_messages_settled_total actor=probe outcome=failed",
            1.0,
        ),
        (
            "postroom_messages_settled_total actor=probe outcome=panicked",
            1.0,
        ),
        (
            "postroom_messages_settled_total actor=probe outcome=expired",
            0.0,
        ),
        ("postroom_restarts_total actor=probe", 1.0),
        ("postroom_queue_depth actor=probe", 2.0),
        ("postroom_queue_high_water actor=probe", 2.0),
        ("postroom_queue_capacity actor=probe", 7.0),
        ("postroom_senders_waiting actor=probe", 0.0),
        ("postroom_handler_age_seconds actor=probe", 0.0),
    ] {
        assert_eq!(values.get(name), Some(&vec![value]), "{name}: {values:#?}");
    }
    let names = |name: &String| name.split(' ').next().unwrap().to_owned();
    let published: BTreeSet<String> = values.keys().map(names).collect();
    assert!(published.is_subset(&documented), "{published:?}");
    gate.open_for_good();
    registry.shutdown().await;
}

/// One test, for the switch is the program's.
#[tokio::test(start_paused = true)]
async fn r19_times_are_recorded_when_that_is_asked_for() {
    let kept = Kept::default();
    let _recorder = metrics::set_default_local_recorder(&kept);
    let queued = Builder::new(Worker).name("queued");
    let queued = queued.dispatch(Dispatch::Queue).spawn().unwrap();
    let work = Work(Duration::ZERO);
    queued.ask(work).await.unwrap();
    assert!(kept.take().is_empty(), "nobody has asked");

    facade::time_one_in(1);
    for _ in 0..2 {
        queued.tell(Work(SECOND)).await.unwrap();
    }
    queued.ask(Work(Duration::ZERO)).await.unwrap();
    let values = kept.take();
    let expected = [
        (
            "postroom_handling_seconds actor=queued message=Work",
            vec![1.0, 1.0, 0.0],
        ),
        (
            "postroom_queue_wait_seconds actor=queued message=Work",
            vec![0.0, 1.0, 2.0],
        ),
    ];
    let expected: BTreeMap<_, _> = expected
        .map(|(name, values)| (name.to_owned(), values))
        .into();
    assert_eq!(values, expected);

    // In place, suspended and not: nothing waits.
    let here = Builder::new(Worker).name("here");
    let here = here.dispatch(Dispatch::InPlace).spawn().unwrap();
    here.ready().await.unwrap();
    here.ask(Work(Duration::ZERO)).await.unwrap();
    here.ask(Work(SECOND)).await.unwrap();
    let mut killed = here.ask(Work(SECOND * 9));
    assert!(poll_once(&mut killed).await.is_pending());
    tokio::time::advance(SECOND * 3).await;
    here.kill();
    assert!(matches!(killed.await, Err(AskError::Cancelled { .. })));
    let name = "postroom_handling_seconds actor=here message=Work".to_owned();
    assert_eq!(kept.take(), [(name, vec![0.0, 1.0, 3.0])].into());

    // Called directly.
    let direct = Builder::new(Worker).name("direct").direct().unwrap();
    direct.ask(Work(SECOND)).await.unwrap();
    direct.tell(Work(SECOND * 2)).await.unwrap();
    let name = "postroom_handling_seconds actor=direct message=Work".to_owned();
    assert_eq!(kept.take(), [(name, vec![1.0, 2.0])].into());

    // A batch is one call, each of its messages waits for itself, and who has gone is in none.
    let crew = Builder::new(Crew).name("crew");
    let crew = crew.dispatch(Dispatch::Queue).spawn().unwrap();
    let gone = crew.ask(Work(SECOND)).enqueue().await.unwrap();
    for _ in 0..2 {
        crew.tell(Work(SECOND)).await.unwrap();
    }
    drop(gone);
    crew.ask(Work(SECOND)).await.unwrap();
    let expected = [
        (
            "postroom_handling_seconds actor=crew message=Work",
            vec![1.0],
        ),
        (
            "postroom_queue_wait_seconds actor=crew message=Work",
            vec![0.0; 3],
        ),
    ];
    let expected: BTreeMap<_, _> = expected
        .map(|(name, values)| (name.to_owned(), values))
        .into();
    assert_eq!(kept.take(), expected);

    // One in so many, whatever the rhythm of the program.
    facade::time_one_in(4);
    for _ in 0..1_000 {
        queued.ask(Work(Duration::ZERO)).await.unwrap();
    }
    for (name, values) in kept.take() {
        assert!(
            (100..500).contains(&values.len()),
            "{name}: {}",
            values.len()
        );
    }

    // A recorder may panic.
    facade::time_one_in(1);
    let panics = Kept(Arc::new(Inner {
        panics: true,
        ..Inner::default()
    }));
    let _recorder = metrics::set_default_local_recorder(&panics);
    let direct = Builder::new(Worker).direct().unwrap();
    direct.ask(Work(SECOND)).await.unwrap();
    crew.ask(Work(SECOND)).await.unwrap();
    queued.ask(Work(SECOND)).await.unwrap();
    facade::time_one_in(0);
    queued.drain();
    let exit = queued.closed().await;
    assert!(exit.is_balanced() && exit.account.ok == 1_005, "{exit}");
    let (log, gate) = (Log::default(), Gate::default());
    gate.open();
    let probe = Probe::new(&log, &gate).spawn();
    assert_eq!(probe.ask(Held(1)).await.unwrap(), 1);
}
