//! Bugs 6-8 and 29-35: restarts, hooks that fail, and handles from before.

use crate::common::{Crash, Gate, Log, Note, Probe, Refusal};
use postroom::actor::{
    Actor, AskError, Builder, Context, Handle, Handler, Hook, Message, StopReason, Trouble,
};
use postroom::registry::ActorRegistry;
use postroom::supervision::{Backoff, RestartPolicy, Strategy};
use std::convert::Infallible;
use std::time::Duration;

fn at_once(policy: RestartPolicy) -> RestartPolicy {
    policy.backoff(Backoff::none())
}

fn supervised(log: &Log, policy: RestartPolicy) -> Handle<Probe> {
    let (log, gate) = (log.clone(), Gate::default());
    Builder::supervised(move || Probe::new(&log, &gate), policy)
        .spawn()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn b06_the_restart_limit_counts_inside_a_window_and_not_gaps() {
    let window = Duration::from_secs(10);
    let policy = at_once(RestartPolicy::permanent()).intensity(2, window);
    let slow = supervised(&Log::default(), policy);
    for n in 0..50 {
        assert!(slow.ask(Crash("now and then")).await.is_err());
        assert_eq!(slow.ask(Note(n)).await.unwrap(), n, "it is back");
        tokio::time::sleep(window * 4 / 5).await;
    }
    let quick = supervised(&Log::default(), policy);
    for _ in 0..3 {
        quick.tell(Crash("again")).await.unwrap();
    }
    let exit = quick.closed().await;
    assert!(
        matches!(exit.reason, StopReason::IntensityExceeded { limit: 2, .. }),
        "{exit}"
    );
    assert_eq!(exit.restarts, 2);
}

/// Logs the beginning and the end of both hooks, and of its state.
struct Slow(Log);

impl Actor for Slow {
    type Error = Infallible;

    async fn started(&mut self, _: &Context<Self>) -> Result<(), Infallible> {
        self.0.add("starts");
        tokio::task::yield_now().await;
        self.0.add("started");
        Ok(())
    }

    async fn stopped(&mut self, _: &StopReason) -> Result<(), Infallible> {
        self.0.add("stops");
        tokio::task::yield_now().await;
        self.0.add("stopped");
        Ok(())
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.0.add("dropped");
    }
}

impl Handler<Crash> for Slow {
    async fn handle(&mut self, Crash(text): Crash, _: &Context<Self>) -> Result<(), Infallible> {
        std::panic::panic_any(text)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b07_an_incarnation_begins_after_the_last_one_has_ended() {
    let log = Log::default();
    let made = log.clone();
    let policy = at_once(RestartPolicy::permanent()).intensity(100, Duration::from_hours(1));
    let slow = Builder::supervised(move || Slow(made.clone()), policy)
        .spawn()
        .unwrap();
    for _ in 0..100 {
        slow.tell(Crash("again")).await.unwrap();
    }
    slow.drain();
    assert_eq!(slow.closed().await.account.panicked, 100);
    let entries = log.entries();
    assert_eq!(entries.len() % 5, 0);
    assert!(entries.len() >= 100 * 5);
    for life in entries.chunks(5) {
        assert_eq!(life, ["starts", "started", "stops", "stopped", "dropped"]);
    }
}

#[tokio::test]
async fn b08_an_exhausted_limit_reports_what_was_queued() {
    let policy = RestartPolicy::permanent().intensity(0, Duration::from_secs(1));
    let probe = supervised(&Log::default(), policy);
    probe.tell(Crash("once")).await.unwrap();
    for n in 0..3 {
        probe.tell(Note(n)).await.unwrap();
    }
    let exit = probe.closed().await;
    assert!(matches!(exit.reason, StopReason::IntensityExceeded { .. }));
    assert_eq!(exit.account.undelivered, 3);
    let [(message, 3)] = exit.undelivered[..] else {
        panic!("{:?}", exit.undelivered)
    };
    assert!(message.ends_with("Note"));
}

#[tokio::test]
async fn b29_an_end_stops_no_other_and_a_stop_from_outside_is_final() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    let gate = Gate::default();
    let ill = builder
        .add(Probe::named("ill", &log, &gate))
        .register()
        .unwrap();
    let made = log.clone();
    let policy = at_once(RestartPolicy::permanent());
    let kept = builder
        .supervise(
            move || Probe::named("kept", &made, &Gate::default()),
            policy,
        )
        .register()
        .unwrap();
    let other = builder
        .add(Probe::named("other", &log, &gate))
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    ill.tell(Crash("ill")).await.unwrap();
    ill.closed().await;
    assert_eq!(other.ask(Note(1)).await.unwrap(), 1);
    kept.stop();
    let exit = kept.closed().await;
    assert!(matches!(exit.reason, StopReason::Stopped));
    assert_eq!(exit.restarts, 0);
    assert_eq!(other.ask(Note(2)).await.unwrap(), 2);
    assert!(registry.shutdown().await.is_balanced());
}

/// Panics where it is told to.
struct Panics(Hook);

impl Panics {
    fn at(&self, hook: Hook) {
        assert!(self.0 != hook, "told to");
    }
}

impl Actor for Panics {
    type Error = Infallible;

    async fn started(&mut self, _: &Context<Self>) -> Result<(), Infallible> {
        self.at(Hook::Started);
        Ok(())
    }

    async fn stopped(&mut self, _: &StopReason) -> Result<(), Infallible> {
        self.at(Hook::Stopped);
        Ok(())
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        self.at(Hook::Drop);
    }
}

impl Handler<Crash> for Panics {
    async fn handle(&mut self, Crash(text): Crash, _: &Context<Self>) -> Result<(), Infallible> {
        std::panic::panic_any(text)
    }
}

#[tokio::test]
async fn b30_a_panic_in_any_hook_is_named_in_the_report_and_holds_nothing_up() {
    let mut builder = ActorRegistry::builder();
    for (name, hook) in [("stops", Hook::Stopped), ("drops", Hook::Drop)] {
        builder.add(Panics(hook)).name(name).register().unwrap();
    }
    let mut made = false;
    let policy = at_once(RestartPolicy::permanent()).intensity(1, Duration::from_hours(1));
    let factory = move || {
        assert!(!std::mem::replace(&mut made, true), "told to");
        Panics(Hook::Factory)
    };
    let factory = builder
        .supervise(factory, policy)
        .name("factory")
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    factory.tell(Crash("ill")).await.unwrap();
    let last = factory.closed().await;
    assert!(last.to_string().contains("the factory panicked"), "{last}");
    let report = registry.shutdown().await;
    assert!(report.is_balanced());
    for (name, hook) in [("stops", Hook::Stopped), ("drops", Hook::Drop)] {
        let [problem] = &report.actor(name).unwrap().exit.problems[..] else {
            panic!("{report}")
        };
        assert_eq!(problem.hook, hook);
        assert!(matches!(&problem.trouble, Trouble::Panicked(text) if text.contains("told to")));
    }

    let mut builder = ActorRegistry::builder();
    builder.add(Panics(Hook::Started)).register().unwrap();
    assert!(builder.start().await.is_err());
}

struct CrashWithNumber;

impl Message for CrashWithNumber {
    type Response = ();
    type Error = Infallible;
}

impl Handler<CrashWithNumber> for Probe {
    async fn handle(&mut self, _: CrashWithNumber, _: &Context<Self>) -> Result<(), Infallible> {
        std::panic::panic_any(42_u64)
    }
}

#[tokio::test]
async fn b31_a_panic_without_text_is_labelled() {
    let probe = Probe::default().spawn();
    let Err(AskError::Panicked { text, .. }) = probe.ask(CrashWithNumber).await else {
        panic!("it panics")
    };
    assert!(text.contains("not text"), "{text}");
    assert!(matches!(
        probe.closed().await.reason,
        StopReason::Panicked { .. }
    ));
}

#[tokio::test]
async fn b33_handles_from_before_a_restart_reach_the_actor_of_today() {
    let log = Log::default();
    let probe = supervised(&log, at_once(RestartPolicy::permanent()));
    let weak = probe.downgrade();
    let recipient = probe.recipient::<Note>();
    assert!(probe.ask(Crash("ill")).await.is_err());
    assert_eq!(recipient.ask(Note(1)).await.unwrap(), 1);
    let upgraded = weak.upgrade().expect("it lives on");
    assert_eq!(upgraded, probe);
    upgraded.kill();
    let exit = probe.closed().await;
    assert!(matches!(exit.reason, StopReason::Killed));
    let stopped = log
        .entries()
        .iter()
        .filter(|entry| entry.contains("stopped"))
        .count();
    assert_eq!(stopped, 2, "the incarnation of today has stopped too");
}

/// Has nothing in common with a probe but the message.
struct Stranger;

impl Actor for Stranger {
    type Error = Infallible;
}

impl Handler<Note> for Stranger {
    async fn handle(&mut self, _: Note, _: &Context<Self>) -> Result<u32, Refusal> {
        Err(Refusal)
    }
}

#[tokio::test]
async fn b35_a_lookup_is_typed_and_fails_with_an_error() {
    let mut builder = ActorRegistry::builder();
    builder.add(Stranger).handles::<Note>().register().unwrap();
    let registry = builder.start().await.unwrap();
    let error = registry.recipient::<Crash>().unwrap_err();
    assert!(error.to_string().contains("Crash"), "{error}");
    assert!(matches!(
        registry.ask(Crash("no")).await,
        Err(AskError::Unrouted(Crash("no")))
    ));
    let found = registry.recipient::<Note>().unwrap();
    assert!(matches!(
        found.ask(Note(1)).await,
        Err(AskError::Handler(Refusal))
    ));
    registry.shutdown().await;
}

/// Does not start.
struct Broken;

impl Actor for Broken {
    type Error = std::io::Error;

    async fn started(&mut self, _: &Context<Self>) -> Result<(), std::io::Error> {
        Err(std::io::Error::other("the port is taken"))
    }
}

struct Employ;

impl Message for Employ {
    type Response = bool;
    type Error = Infallible;
}

/// Adds actors to its registry from its own handler.
struct Parent(std::sync::Arc<std::sync::OnceLock<ActorRegistry>>);

impl Actor for Parent {
    type Error = Infallible;
}

impl Handler<Employ> for Parent {
    async fn handle(&mut self, _: Employ, _: &Context<Self>) -> Result<bool, Infallible> {
        let registry = self.0.get().unwrap();
        let failed = registry.add(Broken).start().await.is_err();
        let child = registry.add(Stranger).name("child").start().await.unwrap();
        child.tell(Note(1)).await.unwrap();
        Ok(failed && registry.remove("child").await.is_ok())
    }
}

#[tokio::test]
async fn b32_children_that_fail_or_end_hold_nothing_up_and_do_not_pile_up() {
    let place = std::sync::Arc::new(std::sync::OnceLock::new());
    let mut builder = ActorRegistry::builder();
    let parent = builder.add(Parent(std::sync::Arc::clone(&place)));
    let parent = parent.register().unwrap();
    place.set(builder.start().await.unwrap()).unwrap();
    let registry = place.get().unwrap();
    for _ in 0..1000 {
        assert!(parent.ask(Employ).await.unwrap());
    }
    assert_eq!(registry.stats().len(), 1);
    // Those who end by themselves are there to be seen, until they are removed.
    for n in 0..1000 {
        let child = Probe::named("child", &Log::default(), &Gate::default());
        let child = registry
            .add(child)
            .name(n.to_string())
            .start()
            .await
            .unwrap();
        child.tell(Crash("ill")).await.unwrap();
        child.closed().await;
    }
    assert_eq!(registry.stats().len(), 1001);
    for n in 0..1000 {
        let report = registry.remove(&n.to_string()).await.unwrap();
        assert_eq!(report.exit.account.panicked, 1);
    }
    let report = registry.shutdown().await;
    assert_eq!(
        report.actors.len(),
        1,
        "nobody waits for those who have gone"
    );
}

#[tokio::test]
async fn b34_a_group_ends_in_reverse_and_starts_in_the_order_of_registration() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    let mut group = builder.group(Strategy::OneForAll);
    let names = ["e", "a", "d", "b", "c", "g", "f"];
    let members = names.map(|name| {
        let log = log.clone();
        let factory = move || Probe::named(name, &log, &Gate::default());
        let member = group.supervise(factory, at_once(RestartPolicy::permanent()));
        member.register().unwrap()
    });
    let registry = builder.start().await.unwrap();
    assert!(members[0].ask(Crash("ill")).await.is_err());
    while members[6].stats().restarts == 0 {
        tokio::task::yield_now().await;
    }
    members[6].ask(Note(1)).await.unwrap();
    let events = log.entries();
    let did = |what: &str| -> Vec<_> {
        let of = |event: &String| Some(event.split_once(what)?.0.trim().to_owned());
        events[7..].iter().filter_map(of).collect()
    };
    let mut reverse = names;
    reverse.reverse();
    let (first, rest) = reverse.split_last().unwrap();
    assert_eq!(
        did(" stopped"),
        [std::slice::from_ref(first), rest].concat()
    );
    assert_eq!(did(" started"), names);
    registry.shutdown().await;
}
