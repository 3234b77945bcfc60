//! Starting and stopping: hooks, levels, handles, and panics everywhere.

use crate::common::{Crash, Gate, Held, Log, Note, Probe, Refusal, occupy, poll_once};
use postroom::actor::{
    Actor, AskError, Builder, Context, Exit, Handler, Hook, Message, SendError, StopReason,
    Trouble, WeakHandle,
};
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot::{self, Sender};

#[derive(Debug, thiserror::Error)]
#[error("no disk")]
struct NoDisk;

/// What a hook does.
#[derive(Clone, Copy, PartialEq)]
enum Does {
    Nothing,
    Fail,
    Panic,
    Hang,
    Wait,
}

/// An actor with difficult hooks.
struct Moody {
    started: Does,
    stopped: Does,
    panic_in_drop: bool,
    log: Log,
    gate: Gate,
}

impl Moody {
    fn new(started: Does, stopped: Does) -> Self {
        Self {
            started,
            stopped,
            panic_in_drop: false,
            log: Log::default(),
            gate: Gate::default(),
        }
    }

    async fn mood(&self, does: Does) -> Result<(), NoDisk> {
        match does {
            Does::Nothing => Ok(()),
            Does::Fail => Err(NoDisk),
            Does::Panic => panic!("mood"),
            Does::Hang => std::future::pending().await,
            Does::Wait => {
                self.gate.pass().await;
                Ok(())
            }
        }
    }
}

impl Actor for Moody {
    type Error = NoDisk;

    async fn started(&mut self, _: &Context<Self>) -> Result<(), NoDisk> {
        self.log.add("started");
        self.mood(self.started).await
    }

    async fn stopped(&mut self, reason: &StopReason) -> Result<(), NoDisk> {
        self.log.add(format!("stopped: {reason}"));
        self.mood(self.stopped).await
    }
}

impl Drop for Moody {
    fn drop(&mut self) {
        self.log.add("dropped");
        assert!(!self.panic_in_drop, "in drop");
    }
}

impl Handler<Note> for Moody {
    async fn handle(
        &mut self,
        Note(n): Note,
        _: &Context<Self>,
    ) -> Result<u32, crate::common::Refusal> {
        Ok(n)
    }
}

fn start_trouble(exit: &Exit) -> &Trouble {
    match &exit.reason {
        StopReason::StartFailed(problem) => {
            assert_eq!(problem.hook, Hook::Started);
            &problem.trouble
        }
        other => panic!("the start has failed, and the reason is {other}"),
    }
}

#[tokio::test]
async fn r11_hooks_run_once_around_the_messages() {
    let log = Log::default();
    let probe = Probe::new(&log, &Gate::default()).spawn();
    assert_eq!(probe.ask(Note(1)).await.unwrap(), 1);
    probe.stop();
    probe.closed().await;
    assert_eq!(
        log.entries(),
        ["probe started", "1", "probe stopped: stopped"]
    );
}

#[tokio::test(start_paused = true)]
async fn r11_a_start_that_fails_in_any_way_ends_the_actor_without_stopped() {
    for does in [Does::Fail, Does::Panic, Does::Hang] {
        let moody = Moody::new(does, Does::Nothing);
        let log = moody.log.clone();
        let moody = Builder::new(moody)
            .start_deadline(Duration::from_secs(3))
            .spawn()
            .unwrap();
        let mut ask = moody.ask(Note(1));
        assert!(poll_once(&mut ask).await.is_pending());
        let exit = moody.ready().await.unwrap_err();
        match (does, start_trouble(&exit)) {
            (Does::Fail, Trouble::Failed(error)) => assert_eq!(error.to_string(), "no disk"),
            (Does::Panic, Trouble::Panicked(text)) => assert_eq!(&**text, "mood"),
            (Does::Hang, Trouble::TimedOut(after)) => assert_eq!(after.as_secs(), 3),
            (_, other) => panic!("{other:?}"),
        }
        assert!(matches!(ask.await, Err(AskError::Stopped(Note(1)))));
        assert!(exit.is_balanced());
        assert_eq!(log.entries(), ["started", "dropped"]);
    }
}

#[tokio::test]
async fn r11_a_start_that_calls_anothers_default_is_no_default() {
    struct Inner(Option<Sender<Context<Inner>>>);
    struct Outer(Log, Inner, Context<Inner>);

    impl Actor for Inner {
        type Error = Infallible;
    }

    impl Handler<Note> for Inner {
        async fn handle(&mut self, _: Note, ctx: &Context<Self>) -> Result<u32, Refusal> {
            let _ = self.0.take().map(|place| place.send(ctx.clone()));
            Ok(0)
        }
    }

    impl Actor for Outer {
        type Error = Infallible;

        fn started(
            &mut self,
            _: &Context<Self>,
        ) -> impl Future<Output = Result<(), Infallible>> + Send {
            self.0.add("started");
            self.1.started(&self.2)
        }
    }

    let (place, ctx) = oneshot::channel();
    let inner = Inner(Some(place)).spawn();
    inner.ask(Note(1)).await.unwrap();
    let log = Log::default();
    let outer = Outer(log.clone(), Inner(None), ctx.await.unwrap()).spawn();
    outer.ready().await.unwrap();
    assert_eq!(log.entries(), ["started"]);
}

#[tokio::test]
async fn r11_a_hook_that_calls_the_default_of_the_other_is_no_default() {
    static REASON: StopReason = StopReason::Stopped;
    struct Starts(Log);

    impl Actor for Starts {
        type Error = Infallible;

        fn started(
            &mut self,
            _: &Context<Self>,
        ) -> impl Future<Output = Result<(), Infallible>> + Send {
            self.0.add("started");
            self.stopped(&REASON)
        }
    }

    let log = Log::default();
    let actor = Starts(log.clone()).spawn();
    actor.ready().await.unwrap();
    actor.stop();
    actor.closed().await;
    assert_eq!(log.entries(), ["started"]);
}

#[tokio::test]
async fn r11_an_actor_with_nothing_to_start_has_started_when_it_is_spawned() {
    struct Stops(Log);

    impl Actor for Stops {
        type Error = Infallible;

        async fn stopped(&mut self, reason: &StopReason) -> Result<(), Infallible> {
            self.0.add(format!("stopped: {reason}"));
            Ok(())
        }
    }

    let log = Log::default();
    let actor = Stops(log.clone()).spawn();
    actor.kill();
    let exit = actor.closed().await;
    assert!(matches!(exit.reason, StopReason::Killed), "{exit}");
    assert_eq!(log.entries(), ["stopped: killed"], "as for every start");
    actor.ready().await.unwrap();

    let log = Log::default();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.unwrap();
    let actor = {
        let _entered = runtime.enter();
        Stops(log.clone()).spawn()
    };
    runtime.shutdown_background();
    let exit = actor.closed().await;
    assert!(matches!(exit.reason, StopReason::RuntimeGone), "{exit}");
    assert!(log.entries().is_empty(), "there was no time for it");
}

#[tokio::test]
async fn r17_a_runtime_that_goes_before_the_first_poll_is_told_of() {
    let log = Log::default();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.unwrap();
    let (plain, killed) = {
        let _entered = runtime.enter();
        let probe = || Probe::new(&log, &Gate::default()).spawn();
        (probe(), probe())
    };
    killed.kill();
    runtime.shutdown_background();
    for probe in [plain, killed] {
        let exit = probe.closed().await;
        assert!(matches!(exit.reason, StopReason::RuntimeGone), "{exit}");
    }
    assert!(log.entries().is_empty(), "there was no time for its hooks");
}

#[tokio::test(start_paused = true)]
async fn r11_trouble_in_stopped_is_reported_and_hangs_nothing() {
    for does in [Does::Fail, Does::Panic, Does::Hang] {
        let moody = Builder::new(Moody::new(Does::Nothing, does))
            .stop_deadline(Duration::from_secs(3))
            .spawn()
            .unwrap();
        moody.ready().await.unwrap();
        moody.stop();
        let exit = moody.closed().await;
        assert!(matches!(exit.reason, StopReason::Stopped));
        assert_eq!(exit.problems.len(), 1);
        assert_eq!(exit.problems[0].hook, Hook::Stopped);
        match (does, &exit.problems[0].trouble) {
            (Does::Fail, Trouble::Failed(_)) | (Does::Panic, Trouble::Panicked(_)) => {}
            (Does::Hang, Trouble::TimedOut(after)) => assert_eq!(after.as_secs(), 3),
            (_, other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn r11_stopped_runs_after_a_panic_and_after_a_kill() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Probe::new(&log, &gate).spawn();
    probe.tell(Crash("oh")).await.unwrap();
    let clone = probe.clone();
    clone.closed().await;
    assert!(
        log.entries()[1].starts_with("probe stopped: panicked"),
        "{:?}",
        log.entries()
    );

    let probe = Probe::new(&log, &gate).spawn();
    occupy(&probe, &gate).await;
    probe.kill();
    probe.closed().await;
    assert_eq!(
        log.entries()[2..],
        ["probe started", "probe stopped: killed"]
    );
}

#[tokio::test]
async fn r12_a_panic_while_dropping_the_state_is_reported() {
    let mut moody = Moody::new(Does::Nothing, Does::Nothing);
    moody.panic_in_drop = true;
    let moody = moody.spawn();
    moody.stop();
    let exit = moody.closed().await;
    assert!(matches!(&exit.problems[..], [problem] if problem.hook == Hook::Drop));
}

/// A message whose drop panics.
struct Brittle;

impl Message for Brittle {
    type Response = ();
    type Error = Infallible;
}

impl Drop for Brittle {
    fn drop(&mut self) {
        panic!("brittle");
    }
}

impl Handler<Brittle> for Probe {
    async fn handle(&mut self, brittle: Brittle, _: &Context<Self>) -> Result<(), Infallible> {
        std::mem::forget(brittle);
        Ok(())
    }
}

#[tokio::test]
async fn r12_a_panic_while_dropping_a_queued_message_loses_no_other() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Probe::new(&log, &gate).spawn();
    occupy(&probe, &gate).await;
    probe.tell(Brittle).await.unwrap();
    let mut ask = probe.ask(Note(1));
    assert!(poll_once(&mut ask).await.is_pending());
    probe.stop();
    gate.open();
    assert!(matches!(ask.await, Err(AskError::Stopped(Note(1)))));
    let exit = probe.closed().await;
    assert_eq!(exit.account.undelivered, 2);
    assert!(exit.is_balanced());
    assert!(matches!(&exit.problems[..], [problem] if problem.hook == Hook::Drop));
}

#[tokio::test]
async fn r16_a_stop_during_started_lets_it_finish() {
    let moody = Moody::new(Does::Wait, Does::Nothing);
    let (log, gate) = (moody.log.clone(), moody.gate.clone());
    let moody = moody.spawn();
    gate.wait_entered().await;
    moody.stop();
    gate.open();
    let exit = moody.closed().await;
    assert!(matches!(exit.reason, StopReason::Stopped));
    assert_eq!(log.entries(), ["started", "stopped: stopped", "dropped"]);
}

#[tokio::test]
async fn r16_a_kill_during_started_drops_it() {
    let moody = Moody::new(Does::Hang, Does::Nothing);
    let log = moody.log.clone();
    let moody = moody.spawn();
    tokio::task::yield_now().await;
    assert_eq!(log.entries(), ["started"]);
    moody.kill();
    let exit = moody.closed().await;
    assert!(matches!(exit.reason, StopReason::Killed));
    assert!(moody.ready().await.is_err(), "it never became ready");
    assert_eq!(log.entries(), ["started", "dropped"]);
}

#[tokio::test]
async fn r16_a_stop_before_the_start_starts_nothing() {
    for kill in [false, true] {
        let log = Log::default();
        let probe = Probe::new(&log, &Gate::default()).spawn();
        probe.try_tell(Note(1)).unwrap();
        if kill {
            probe.kill();
        } else {
            probe.stop();
        }
        let exit = probe.closed().await;
        assert!(matches!(
            (kill, &exit.reason),
            (true, StopReason::Killed) | (false, StopReason::Stopped)
        ));
        assert_eq!(exit.account.undelivered, 1);
        assert!(log.entries().is_empty());
    }
}

#[tokio::test]
async fn r16_levels_only_rise_and_may_be_asked_for_again() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Probe::new(&log, &gate).spawn();
    occupy(&probe, &gate).await;
    probe.tell(Note(1)).await.unwrap();
    probe.stop();
    probe.stop();
    probe.drain();
    assert_eq!(probe.stats().level, postroom::actor::Level::Stop);
    probe.kill();
    probe.stop();
    let exit = probe.closed().await;
    assert!(matches!(exit.reason, StopReason::Killed));
    probe.kill();
    assert!(
        matches!(probe.closed().await.reason, StopReason::Killed),
        "the report does not change"
    );
}

struct StopYourself;

impl Message for StopYourself {
    type Response = bool;
    type Error = Infallible;
}

impl Handler<StopYourself> for Probe {
    async fn handle(&mut self, _: StopYourself, ctx: &Context<Self>) -> Result<bool, Infallible> {
        ctx.stop();
        Ok(ctx.is_stopping())
    }
}

#[tokio::test]
async fn r16_an_actor_may_stop_itself() {
    let probe = Builder::new(Probe::default()).capacity(1).spawn().unwrap();
    assert!(probe.ask(StopYourself).await.unwrap());
    assert!(matches!(probe.closed().await.reason, StopReason::Stopped));
}

impl Handler<StopYourself> for Moody {
    async fn handle(&mut self, _: StopYourself, ctx: &Context<Self>) -> Result<bool, Infallible> {
        ctx.stop();
        Ok(true)
    }
}

#[tokio::test]
async fn r16_an_actor_that_stops_itself_is_closed_before_its_stopped_runs() {
    let moody = Moody::new(Does::Nothing, Does::Wait);
    let gate = moody.gate.clone();
    let moody = moody.spawn();
    moody.tell(StopYourself).await.unwrap();
    gate.wait_entered().await;
    assert!(matches!(
        moody.try_tell(Note(1)),
        Err(SendError::Closed(Note(1)))
    ));
    gate.open();
    moody.closed().await;
}

struct Background(tokio::sync::oneshot::Sender<()>);

impl Message for Background {
    type Response = ();
    type Error = Infallible;
}

impl Handler<Background> for Probe {
    async fn handle(
        &mut self,
        Background(done): Background,
        ctx: &Context<Self>,
    ) -> Result<(), Infallible> {
        let stopping = ctx.stopping();
        tokio::spawn(async move {
            stopping.await;
            let _ = done.send(());
        });
        Ok(())
    }
}

#[tokio::test]
async fn r16_tasks_of_an_actor_can_wait_for_its_end() {
    let probe = Probe::default().spawn();
    let (done, noticed) = tokio::sync::oneshot::channel();
    probe.ask(Background(done)).await.unwrap();
    drop(probe);
    noticed.await.unwrap();
}

#[tokio::test]
async fn r17_an_actor_drains_when_its_last_handle_is_gone() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Probe::new(&log, &gate).spawn();
    occupy(&probe, &gate).await;
    let recipient = probe.recipient::<Note>();
    let (weak, closed) = (probe.downgrade(), probe.closed());
    drop(probe);
    assert!(weak.upgrade().is_some(), "the recipient keeps it alive");
    recipient.tell(Note(1)).await.unwrap();
    drop(recipient);
    assert!(weak.upgrade().is_none());
    gate.open();
    let exit = closed.await;
    assert!(matches!(exit.reason, StopReason::HandlesDropped));
    assert_eq!(exit.account.ok, 2, "what was accepted is handled");
}

struct Whoami;

impl Message for Whoami {
    type Response = (String, WeakHandle<Probe>);
    type Error = Infallible;
}

impl Handler<Whoami> for Probe {
    async fn handle(
        &mut self,
        _: Whoami,
        ctx: &Context<Self>,
    ) -> Result<(String, WeakHandle<Probe>), Infallible> {
        Ok((format!("{} {}", ctx.name(), ctx.id()), ctx.weak()))
    }
}

#[tokio::test]
async fn r17_handles_know_who_they_reach() {
    let first = Builder::new(Probe::default())
        .name("first")
        .spawn()
        .unwrap();
    let second = Builder::new(Probe::default())
        .name("second")
        .spawn()
        .unwrap();
    assert_eq!(first, first.clone());
    assert_ne!(first, second);
    assert_eq!(
        std::collections::HashSet::from([first.clone(), second.clone(), first.clone()]).len(),
        2
    );
    assert_eq!(first.recipient::<Note>(), first.recipient::<Note>());
    assert_eq!(
        format!("{first:?}"),
        format!("Handle(first {:?})", first.id())
    );
    let (name, weak) = first.ask(Whoami).await.unwrap();
    assert_eq!(name, format!("first {}", first.id()));
    assert_eq!(weak.upgrade().unwrap(), first);
}

#[tokio::test]
async fn r17_closed_is_repeatable_and_may_be_dropped() {
    let probe = Probe::default().spawn();
    let early = tokio::spawn(probe.closed());
    tokio::task::yield_now().await;
    drop(probe.closed());
    probe.stop();
    let (first, second) = (probe.closed().await, probe.closed().await);
    assert!(Arc::ptr_eq(&first, &second));
    assert!(Arc::ptr_eq(&first, &early.await.unwrap()));
    assert!(probe.is_closed());
}

#[test]
fn r17_a_runtime_that_goes_away_gives_everything_back() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let (log, gate) = (Log::default(), Gate::default());
    let (probe, running, queued) = runtime.block_on(async {
        let probe = Probe::new(&log, &gate).spawn();
        let (asker, other) = (probe.clone(), probe.clone());
        let mut running =
            Box::pin(async move { asker.ask(Held(1)).await.unwrap_err().was_executed() });
        assert!(poll_once(&mut running).await.is_pending());
        gate.wait_entered().await;
        let mut queued =
            Box::pin(async move { other.ask(Note(2)).await.unwrap_err().into_message() });
        assert!(poll_once(&mut queued).await.is_pending());
        (probe, running, queued)
    });
    drop(runtime);
    let other = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    other.block_on(async {
        assert_eq!(running.await, postroom::actor::Executed::Yes);
        assert_eq!(queued.await, Some(Note(2)));
        let exit = probe.closed().await;
        assert!(matches!(exit.reason, StopReason::RuntimeGone));
        assert_eq!((exit.account.cancelled, exit.account.undelivered), (1, 1));
        assert!(exit.is_balanced());
    });
}
