//! The same actors called in place.

use crate::common::{Crash, Fail, Gate, Held, Log, Note, Probe, Refusal, poll_once};
use postroom::actor::{
    Actor, AskError, Batch, Builder, Context, Direct, Handler, Hook, Message, Receive, Reply,
    SendError, StopReason,
};
use postroom::supervision::{Backoff, RestartPolicy};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Duration;

fn direct(log: &Log, gate: &Gate) -> Direct<Probe> {
    Builder::new(Probe::new(log, gate)).direct().unwrap()
}

#[tokio::test]
async fn r22_the_same_handlers_answer_in_place_and_hooks_run() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = direct(&log, &gate);
    assert_eq!(log.entries(), Vec::<String>::new(), "nothing runs unasked");
    probe.ready().await.unwrap();
    assert_eq!(probe.ask(Note(1)).await.unwrap(), 1);
    probe.tell(Note(2)).await.unwrap();
    assert_eq!(
        log.entries(),
        ["probe started", "1", "2"],
        "a tell has been handled"
    );
    assert!(matches!(
        probe.ask(Fail).await,
        Err(AskError::Handler(Refusal))
    ));
    probe.stop();
    let exit = probe.closed().await;
    assert!(exit.is_balanced(), "{exit}");
    assert_eq!(
        (exit.account.accepted, exit.account.ok, exit.account.failed),
        (3, 2, 1)
    );
    assert_eq!(log.entries()[3], "probe stopped: stopped");
    assert!(matches!(
        probe.ask(Note(3)).await,
        Err(AskError::Closed(Note(3)))
    ));
    assert!(matches!(
        probe.tell(Note(3)).await,
        Err(SendError::Closed(Note(3)))
    ));
}

struct Handles;

impl Message for Handles {
    type Response = bool;
    type Error = Infallible;
}

struct Itself;

impl Actor for Itself {
    type Error = Infallible;
}

impl Handler<Handles> for Itself {
    async fn handle(&mut self, _: Handles, ctx: &Context<Self>) -> Result<bool, Infallible> {
        Ok(ctx.handle().is_some() || ctx.weak().upgrade().is_some())
    }
}

#[tokio::test]
async fn r22_nobody_has_a_handle_to_an_actor_without_a_mailbox() {
    let actor = Builder::new(Itself).direct().unwrap();
    assert!(!actor.ask(Handles).await.unwrap());
    assert!(Itself.spawn().ask(Handles).await.unwrap());
}

#[tokio::test]
async fn r22_started_runs_with_the_first_call() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = direct(&log, &gate);
    assert_eq!(probe.ask(Note(1)).await.unwrap(), 1);
    assert_eq!(log.entries(), ["probe started", "1"]);
}

#[tokio::test]
async fn r22_callers_take_turns_in_the_order_in_which_they_came() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = direct(&log, &gate);
    let mut held = probe.ask(Held(0));
    assert!(poll_once(&mut held).await.is_pending());
    let mut calls: Vec<_> = (1..=5).map(|n| probe.ask(Note(n))).collect();
    for call in &mut calls {
        assert!(poll_once(call).await.is_pending());
    }
    assert_eq!(
        (probe.stats().waiting, probe.stats().account.running),
        (5, 1)
    );
    let left = calls.remove(1);
    drop(left);
    gate.open();
    assert_eq!(held.await.unwrap(), 0);
    // Polled in the wrong order, each waits for its turn.
    assert!(poll_once(&mut calls[3]).await.is_pending());
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(log.entries()[1..], ["0", "1", "3", "4", "5"]);
}

#[tokio::test]
async fn r22_a_handler_whose_caller_has_gone_runs_on() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = direct(&log, &gate);
    let mut held = probe.ask(Held(1));
    assert!(poll_once(&mut held).await.is_pending());
    gate.wait_entered().await;
    drop(held);
    let mut next = probe.ask(Note(2));
    assert!(
        poll_once(&mut next).await.is_pending(),
        "one handler at a time"
    );
    gate.open();
    assert_eq!(next.await.unwrap(), 2);
    assert_eq!(log.entries(), ["probe started", "1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn r22_a_timeout_takes_back_what_waits_and_lets_run_what_runs() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = direct(&log, &gate);
    let second = Duration::from_secs(1);
    let error = probe.ask(Held(1)).timeout(second).await.unwrap_err();
    assert!(matches!(error, AskError::TimedOut { actor, .. } if &*actor == "probe"));
    let error = probe.ask(Note(2)).timeout(second).await.unwrap_err();
    assert!(matches!(error, AskError::Expired(Note(2))));
    let error = probe.tell(Note(3)).timeout(second).await.unwrap_err();
    assert_eq!(error, SendError::Expired(Note(3)));
    gate.open();
    assert_eq!(probe.ask(Note(4)).await.unwrap(), 4);
    assert_eq!(log.entries(), ["probe started", "1", "4"]);
}

#[tokio::test]
async fn r22_a_kill_reaches_a_handler_that_waits() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = direct(&log, &gate);
    let killer = probe.clone();
    let (held, waiting, ()) = tokio::join!(probe.ask(Held(1)), probe.ask(Note(2)), async {
        gate.wait_entered().await;
        killer.kill();
    });
    assert!(matches!(held, Err(AskError::Cancelled { .. })));
    assert!(matches!(waiting, Err(AskError::Closed(Note(2)))));
    let exit = probe.closed().await;
    assert_eq!((exit.account.cancelled, exit.account.accepted), (1, 1));
    assert_eq!(log.entries(), ["probe started", "probe stopped: killed"]);
}

#[tokio::test]
async fn r22_a_panic_is_the_askers_answer_and_ends_a_plain_actor() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = direct(&log, &gate);
    let error = probe.ask(Crash("oh no")).await.unwrap_err();
    assert!(matches!(error, AskError::Panicked { text, .. } if &*text == "oh no"));
    let exit = probe.closed().await;
    assert!(matches!(&exit.reason, StopReason::Panicked { text, .. } if &**text == "oh no"));
    assert!(exit.is_balanced() && exit.account.panicked == 1, "{exit}");
    assert_eq!(
        log.entries().len(),
        2,
        "`stopped` has run: {:?}",
        log.entries()
    );
}

#[tokio::test]
async fn r22_a_supervised_actor_comes_back() {
    let (log, gate) = (Log::default(), Gate::default());
    let (made, policy) = (
        log.clone(),
        RestartPolicy::permanent().backoff(Backoff::none()),
    );
    let probe = Builder::supervised(move || Probe::new(&made, &gate), policy)
        .direct()
        .unwrap();
    assert!(probe.ask(Crash("once")).await.is_err());
    assert_eq!(probe.ask(Note(1)).await.unwrap(), 1);
    assert_eq!(probe.stats().restarts, 1);
}

#[tokio::test]
async fn r22_an_actor_ends_with_its_last_owner() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = direct(&log, &gate);
    assert_eq!(probe.ask(Note(1)).await.unwrap(), 1);
    let (clone, closed) = (probe.clone(), probe.closed());
    drop(probe);
    assert_eq!(clone.ask(Note(2)).await.unwrap(), 2);
    drop(clone);
    let exit = closed.await;
    assert!(matches!(exit.reason, StopReason::HandlesDropped), "{exit}");
    assert!(log.entries()[3].starts_with("probe stopped"));
}

#[tokio::test]
async fn r22_an_actor_whose_start_fails_handles_nothing() {
    struct Broken;
    impl Actor for Broken {
        type Error = Refusal;
        async fn started(&mut self, _: &Context<Self>) -> Result<(), Refusal> {
            Err(Refusal)
        }
    }
    impl Handler<Note> for Broken {
        async fn handle(&mut self, _: Note, _: &Context<Self>) -> Result<u32, Refusal> {
            unreachable!("it has not started")
        }
    }
    let broken = Builder::new(Broken).direct().unwrap();
    assert!(matches!(
        broken.ask(Note(1)).await,
        Err(AskError::Closed(Note(1)))
    ));
    let exit = broken.ready().await.unwrap_err();
    assert!(matches!(exit.reason, StopReason::StartFailed(_)), "{exit}");
}

/// Asks another player until the count is down.
struct Player {
    other: Arc<OnceLock<Direct<Player>>>,
}

impl Actor for Player {
    type Error = Infallible;
}

struct Ball(u32);

impl Message for Ball {
    type Response = u32;
    type Error = Infallible;
}

impl Handler<Ball> for Player {
    async fn handle(&mut self, Ball(left): Ball, _: &Context<Self>) -> Result<u32, Infallible> {
        match self.other.get() {
            Some(other) if left > 0 => Ok(other.ask(Ball(left - 1)).await.unwrap_or(u32::MAX)),
            _ => Ok(left),
        }
    }
}

#[tokio::test]
async fn r22_actors_that_call_each_other_compile_and_one_that_calls_itself_is_told() {
    let other = Arc::new(OnceLock::new());
    let first = Builder::new(Player {
        other: Arc::clone(&other),
    })
    .direct()
    .unwrap();
    let second = Builder::new(Player {
        other: Arc::default(),
    })
    .direct()
    .unwrap();
    other.set(second).unwrap_or_else(|_| unreachable!());
    assert_eq!(first.ask(Ball(1)).await.unwrap(), 0);
    let other = Arc::new(OnceLock::new());
    let narcissus = Builder::new(Player {
        other: Arc::clone(&other),
    })
    .direct()
    .unwrap();
    other
        .set(narcissus.clone())
        .unwrap_or_else(|_| unreachable!());
    assert_eq!(
        narcissus.ask(Ball(1)).await.unwrap(),
        u32::MAX,
        "`WouldDeadlock`"
    );
    // The two would be a circle of strong owners.
    narcissus.stop();
}

/// Keeps the tokens of odd messages.
#[derive(Default)]
struct Desk(Vec<Reply<Ball>>);

impl Actor for Desk {
    type Error = Infallible;
}

impl Receive<Ball> for Desk {
    async fn receive(&mut self, batch: Batch<Ball>, _: &Context<Self>) {
        for (Ball(n), reply) in batch {
            if n % 2 == 0 {
                for kept in self.0.drain(..) {
                    kept.ok(100);
                }
                reply.ok(n);
            } else {
                self.0.push(reply);
            }
        }
    }
}

#[tokio::test]
async fn r22_tokens_may_answer_later() {
    let desk = Builder::new(Desk::default()).direct().unwrap();
    let mut later = desk.ask(Ball(1));
    assert!(poll_once(&mut later).await.is_pending());
    desk.tell(Ball(3)).await.unwrap();
    assert_eq!(
        desk.ask(Ball(2)).await.unwrap(),
        2,
        "the turn is free meanwhile"
    );
    assert_eq!(later.await.unwrap(), 100);
    desk.drain();
    let account = desk.closed().await.account;
    assert_eq!((account.forwarded, account.ok), (2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r22_any_schedule_of_calls_drops_and_ends_keeps_the_account() {
    for round in 0..200_u32 {
        let (log, gate) = (Log::default(), Gate::default());
        gate.open_for_good();
        let probe = direct(&log, &gate);
        let callers: Vec<_> = (0..4_u32)
            .map(|caller| {
                let probe = probe.clone();
                tokio::spawn(async move {
                    let mut handled = 0;
                    for n in 0..20 {
                        if (n + caller) % 7 == 0 {
                            let mut call = probe.ask(Held(n));
                            // Dropped wherever it is.
                            let _ = poll_once(&mut call).await;
                        } else if probe.ask(Note(n)).await.is_ok() {
                            handled += 1;
                        }
                    }
                    handled
                })
            })
            .collect();
        for _ in 0..round % 10 {
            tokio::task::yield_now().await;
        }
        if round % 2 == 0 {
            probe.stop();
        } else {
            probe.kill();
        }
        let mut handled = 0;
        for caller in callers {
            handled += caller.await.unwrap();
        }
        let exit = probe.closed().await;
        assert!(exit.is_balanced(), "{exit}");
        assert!(exit.account.ok >= handled);
        let starts = log
            .entries()
            .iter()
            .filter(|entry| entry.ends_with("started"))
            .count();
        let stops = log
            .entries()
            .iter()
            .filter(|entry| entry.contains("stopped"))
            .count();
        assert_eq!(starts, stops);
    }
}

#[test]
fn r22_a_runtime_that_goes_away_ends_the_actor() {
    let (log, gate) = (Log::default(), Gate::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let probe = runtime.block_on(async {
        let probe = direct(&log, &gate);
        let mut held = probe.ask(Held(1));
        assert!(poll_once(&mut held).await.is_pending());
        drop(held);
        probe
    });
    drop(runtime);
    assert!(probe.is_closed());
    let closed = probe.closed();
    drop(probe);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let exit = runtime.block_on(closed);
    assert!(
        matches!(exit.reason, StopReason::RuntimeGone) && exit.is_balanced(),
        "{exit}"
    );
}

/// Gives its context away, and waits in `stopped`.
struct Leaving {
    ctx: Arc<OnceLock<Context<Leaving>>>,
    polls: Arc<AtomicUsize>,
    waits: bool,
}

impl Leaving {
    fn direct(
        ctx: &Arc<OnceLock<Context<Self>>>,
        polls: &Arc<AtomicUsize>,
        waits: bool,
    ) -> Direct<Self> {
        let leaving = Self {
            ctx: Arc::clone(ctx),
            polls: Arc::clone(polls),
            waits,
        };
        Builder::new(leaving).direct().unwrap()
    }
}

impl Actor for Leaving {
    type Error = Infallible;

    async fn started(&mut self, ctx: &Context<Self>) -> Result<(), Infallible> {
        let _ = self.ctx.set(ctx.clone());
        Ok(())
    }

    async fn stopped(&mut self, _: &StopReason) -> Result<(), Infallible> {
        std::future::poll_fn(|_| {
            self.polls.fetch_add(1, Ordering::SeqCst);
            if self.waits {
                std::task::Poll::Pending
            } else {
                std::task::Poll::Ready(())
            }
        })
        .await;
        Ok(())
    }
}

impl Handler<Note> for Leaving {
    async fn handle(&mut self, Note(n): Note, _: &Context<Self>) -> Result<u32, Refusal> {
        Ok(n)
    }
}

#[tokio::test(start_paused = true)]
async fn r22_a_context_ends_its_actor_from_outside_while_it_is_idle() {
    let ctx = Arc::new(OnceLock::new());
    let leaving = Leaving::direct(&ctx, &Arc::default(), false);
    assert_eq!(leaving.ask(Note(1)).await.unwrap(), 1);
    ctx.get().unwrap().stop();
    let exit = tokio::time::timeout(Duration::from_mins(1), leaving.closed()).await;
    let exit = exit.expect("nobody has to call it");
    assert!(matches!(exit.reason, StopReason::Stopped), "{exit}");
}

#[test]
fn r22_a_context_ends_its_actor_whose_runtime_is_gone() {
    let ctx = Arc::new(OnceLock::new());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let leaving = runtime.block_on(async {
        let leaving = Leaving::direct(&ctx, &Arc::default(), false);
        assert_eq!(leaving.ask(Note(1)).await.unwrap(), 1);
        leaving
    });
    drop(runtime);
    ctx.get().unwrap().stop();
    assert!(leaving.is_closed());
}

#[test]
fn r22_an_end_that_is_asked_for_while_somebody_has_the_turn_is_seen() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    for round in 0..2_000 {
        let ctx = Arc::new(OnceLock::new());
        let leaving = {
            let _inside = runtime.enter();
            Leaving::direct(&ctx, &Arc::default(), false)
        };
        let ends = async {
            leaving.ready().await.unwrap();
            let (caller, calls) = (leaving.clone(), Arc::new(AtomicUsize::new(0)));
            let made = Arc::clone(&calls);
            let caller = tokio::spawn(async move {
                while caller.ask(Note(1)).await.is_ok() {
                    made.fetch_add(1, Ordering::SeqCst);
                }
            });
            // On the other thread, in the middle of it.
            while calls.load(Ordering::SeqCst) < 10 + round % 7 {
                std::hint::spin_loop();
            }
            match round % 2 {
                0 => ctx.get().unwrap().stop(),
                _ => leaving.drain(),
            }
            caller.await.unwrap();
            leaving.closed().await;
        };
        let ended = async { tokio::time::timeout(Duration::from_secs(30), ends).await };
        runtime.block_on(ended).expect("it ends");
    }
}

#[tokio::test(start_paused = true)]
async fn r22_a_kill_while_stopped_waits_does_not_poll_it_again_and_again() {
    let (ctx, polls) = (Arc::new(OnceLock::new()), Arc::new(AtomicUsize::new(0)));
    let leaving = Leaving::direct(&ctx, &polls, true);
    assert_eq!(leaving.ask(Note(1)).await.unwrap(), 1);
    ctx.get().unwrap().stop();
    while polls.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    leaving.kill();
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    let polls = polls.load(Ordering::SeqCst);
    assert!(polls <= 8, "it was polled {polls} times");
    // Its limit ends it.
    let exit = leaving.closed().await;
    assert_eq!(exit.problems.len(), 1, "{exit}");
}

#[test]
fn r13_without_a_clock_a_restart_that_has_to_wait_is_an_end() {
    let (log, gate) = (Log::default(), Gate::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let probe =
            Builder::supervised(move || Probe::new(&log, &gate), RestartPolicy::permanent())
                .direct()
                .unwrap();
        let crashed = probe.ask(Crash("broken")).await;
        assert!(matches!(crashed, Err(AskError::Panicked { .. })));
        let exit = probe.closed().await;
        assert!(matches!(exit.reason, StopReason::Panicked { .. }), "{exit}");
        assert_eq!(exit.problems.len(), 1, "{exit}");
        assert_eq!(exit.problems[0].hook, Hook::Backoff);
        assert!(exit.is_balanced(), "{exit}");
    });
}

#[test]
fn r22_the_pause_of_a_restart_is_on_the_actors_own_runtime() {
    let (log, gate) = (Log::default(), Gate::default());
    let home = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let probe = {
        let _inside = home.enter();
        let make = move || Probe::new(&log, &gate);
        Builder::supervised(make, RestartPolicy::permanent())
            .direct()
            .unwrap()
    };
    let without_a_clock = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    without_a_clock.block_on(async {
        // In its caller's task to the end.
        let crashed = probe.tell(Crash("broken")).await;
        assert!(crashed.is_ok(), "a tell does not say how it went");
        assert_eq!(probe.ask(Note(1)).await.unwrap(), 1);
        assert_eq!(probe.stats().restarts, 1);
    });
}

/// Panics when the last that has it lets go of it.
struct Brittle;

impl Wake for Brittle {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Brittle {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "a brittle waker");
    }
}

/// Polls it once with a waker that only the actor has afterwards.
fn poll_brittle<F: Future>(call: Pin<&mut F>) -> Poll<F::Output> {
    let waker = Waker::from(Arc::new(Brittle));
    call.poll(&mut TaskContext::from_waker(&waker))
}

#[tokio::test]
async fn r22_a_waker_that_panics_when_dropped_keeps_nobody_from_the_actor() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = direct(&log, &gate);
    let mut ask = Box::pin(probe.ask(Held(1)));
    assert!(poll_brittle(ask.as_mut()).is_pending());
    gate.open();
    assert_eq!(ask.await.unwrap(), 1);
    assert_eq!(probe.ask(Note(2)).await.unwrap(), 2);

    // A task of its own goes on with the handler.
    let mut ask = Box::pin(probe.ask(Held(3)));
    assert!(poll_brittle(ask.as_mut()).is_pending());
    drop(ask);
    tokio::task::yield_now().await;
    gate.open();
    assert_eq!(probe.ask(Note(4)).await.unwrap(), 4);
    probe.drain();
    let exit = probe.closed().await;
    assert_eq!(exit.account.ok, 4, "{exit}");
    assert!(matches!(exit.reason, StopReason::Drained), "{exit}");
}
