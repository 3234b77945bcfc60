//! Tests of the executor with handlers written for the purpose.

use std::sync::mpsc;

use tokio::sync::{Notify, oneshot};

use super::fixture::{job, slots};
use super::*;
use crate::orchestration::worker::{StepContext, StepHandler, StepHandlers};

fn error(report: &StepReport) -> &StepError {
    report.outcome.as_ref().unwrap_err()
}

#[tokio::test]
async fn o07_values_and_errors_come_through() {
    let table = StepHandlers::with_state(10_u32)
        .register("add", |n: u32, step: StepContext<u32>| async move {
            let parent: u32 = step.parent("before")?;
            Ok::<_, StepError>(n + parent + step.state() + step.attempt())
        })
        .register("io", |(), _: StepContext<u32>| async move {
            std::fs::read_to_string("/nowhere/at/all")
        })
        .build()
        .unwrap();
    let mut adding = job("add");
    Arc::make_mut(&mut adding.claimed).parents = vec![fixture::parent("before", "100")];
    adding.input_json = "1000".into();
    let report = execute(adding, &table).await;
    assert_eq!(report.outcome.as_ref().unwrap(), "1112");
    assert!(!report.interrupted);

    let report = execute(job("io"), &table).await;
    assert_eq!(
        (error(&report).kind(), error(&report).is_retryable()),
        ("error", true)
    );
}

#[tokio::test]
async fn o14_what_cannot_run_says_so_without_running() {
    let table = StepHandlers::new()
        .register("number", |_: u32, _: StepContext| async move {
            Ok::<_, StepError>(())
        })
        .register_blocking("blocking_number", |_: u32, _: StepContext| {
            Ok::<_, StepError>(())
        })
        .build()
        .unwrap();
    let report = execute(job("nobody"), &table).await;
    assert_eq!(error(&report).kind(), "unknown_handler");
    for name in ["number", "blocking_number"] {
        let mut job = job(name);
        job.input_json = r#""text""#.into();
        let report = execute(job, &table).await;
        assert_eq!(
            (error(&report).kind(), error(&report).is_retryable()),
            ("input", false)
        );
        assert!(error(&report).message().contains(name));
    }
}

#[tokio::test]
async fn o07_a_panic_is_an_outcome() {
    let table = StepHandlers::new()
        .register("async", |(), step: StepContext| async move {
            assert!(step.attempt() == 0, "wheel {} fell off", 3);
            Ok::<_, StepError>(())
        })
        .register_blocking("blocking", |(), step: StepContext| {
            assert!(step.attempt() == 0, "no wheels");
            Ok::<_, StepError>(())
        })
        .build()
        .unwrap();
    for (name, text) in [("async", "wheel 3 fell off"), ("blocking", "no wheels")] {
        let report = execute(job(name), &table).await;
        assert_eq!(
            (error(&report).kind(), error(&report).is_retryable()),
            ("panic", true)
        );
        assert!(
            error(&report).message().contains(text),
            "{:?}",
            report.outcome
        );
    }
}

#[tokio::test(start_paused = true)]
async fn o07_a_panic_while_being_dropped_is_held() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let table = StepHandlers::new()
        .register("bomb", |(), _: StepContext| async move {
            let _bomb = Bomb;
            std::future::pending::<Result<(), StepError>>().await
        })
        .build()
        .unwrap();
    let mut job = job("bomb");
    job.timeout = Some(Duration::from_secs(1));
    assert_eq!(error(&execute(job, &table).await).kind(), "timeout");
}

#[tokio::test(start_paused = true)]
async fn o07_time_is_up() {
    let table = StepHandlers::new()
        .register("never", |(), _: StepContext| {
            std::future::pending::<Result<(), StepError>>()
        })
        .build()
        .unwrap();
    let mut job = job("never");
    job.timeout = Some(Duration::from_secs(3));
    let report = execute(job, &table).await;
    assert_eq!(report.elapsed, Duration::from_secs(3));
    assert_eq!(
        (error(&report).kind(), error(&report).is_retryable()),
        ("timeout", true)
    );
    assert_eq!(error(&report).message(), "no result within 3s");
    assert!(!report.interrupted);
}

/// Ends a second after it is told to, in the way it was made for.
struct Tidy(Result<&'static str, &'static str>, Duration);

impl StepHandler for Tidy {
    type Input = ();
    type Output = &'static str;

    async fn run(&self, (): (), step: StepContext) -> Result<&'static str, StepError> {
        step.cancellation().cancelled().await;
        sleep(Duration::from_secs(1)).await;
        self.0.map_err(StepError::permanent)
    }

    fn grace(&self) -> Duration {
        self.1
    }
}

#[tokio::test(start_paused = true)]
async fn o07_a_handler_may_end_by_itself_within_its_grace() {
    let long = Duration::from_secs(5);
    let table = StepHandlers::new()
        .register_type("done", Tidy(Ok("saved"), long))
        .register_type("undone", Tidy(Err("half a file"), long))
        .register_type("slow", Tidy(Ok("saved"), Duration::from_millis(300)))
        .build()
        .unwrap();
    // Interrupted: a result that came all the same is kept.
    let interrupted = |name: &str| {
        let job = job(name);
        job.cancellation.cancel();
        job
    };
    let report = execute(interrupted("done"), &table).await;
    assert_eq!(report.outcome.unwrap(), r#""saved""#);
    assert!(!report.interrupted);
    let report = execute(interrupted("undone"), &table).await;
    assert_eq!(
        error(&report).message(),
        "the step was told to stop; half a file"
    );
    assert!(report.interrupted && error(&report).is_retryable());
    let report = execute(interrupted("slow"), &table).await;
    assert_eq!(report.elapsed, Duration::from_millis(300));
    assert!(report.interrupted);
    // Timed out: what was declared is enforced.
    let mut late = job("done");
    late.timeout = Some(Duration::from_secs(2));
    let report = execute(late, &table).await;
    assert_eq!(report.elapsed, Duration::from_secs(3));
    assert_eq!(error(&report).kind(), "timeout");
}

#[tokio::test]
async fn o08_cancelled_from_outside_while_it_runs() {
    let started = Arc::new(Notify::new());
    let table = StepHandlers::with_state(Arc::clone(&started))
        .register("never", |(), step: StepContext<Arc<Notify>>| async move {
            step.state().notify_one();
            std::future::pending::<Result<(), StepError>>().await
        })
        .build()
        .unwrap();
    let job = job("never");
    let token = job.cancellation.clone();
    let (report, ()) = tokio::join!(execute(job, &table), async {
        started.notified().await;
        token.cancel();
    });
    assert!(report.interrupted);
    assert_eq!(error(&report).kind(), "interrupted");
}

#[tokio::test]
async fn o07_a_blocking_handler_keeps_its_slot_until_it_ends() {
    let (finish, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let (told, was_told) = oneshot::channel();
    let told = std::sync::Mutex::new(Some(told));
    let table = StepHandlers::new()
        .register_blocking("stubborn", move |(), step: StepContext| {
            wait.lock().unwrap().recv()?;
            let told = told.lock().unwrap().take().unwrap();
            told.send(step.cancellation().is_cancelled()).unwrap();
            Ok::<_, StepError>("too late")
        })
        .build()
        .unwrap();
    let slots = slots();
    let mut job = job("stubborn");
    job.slot = Arc::new(Arc::clone(&slots).try_acquire_owned().unwrap());
    job.timeout = Some(Duration::from_millis(1));
    let report = execute(job, &table).await;
    assert_eq!(error(&report).kind(), "timeout");
    assert_eq!(slots.available_permits(), 0);
    finish.send(()).unwrap();
    assert!(
        was_told.await.unwrap(),
        "the thread can see that it should stop"
    );
    // Free once the thread has ended, and not before.
    let _free = slots.acquire().await.unwrap();
}

#[tokio::test]
async fn o07_dropping_the_attempt_tells_what_the_handler_left_behind() {
    let (token, got_token) = oneshot::channel();
    let token = std::sync::Mutex::new(Some(token));
    let table = StepHandlers::new()
        .register("never", move |(), step: StepContext| {
            let token = token.lock().unwrap().take().unwrap();
            token.send(step.cancellation().clone()).unwrap();
            std::future::pending::<Result<(), StepError>>()
        })
        .build()
        .unwrap();
    let attempt = tokio::spawn(async move { execute(job("never"), &table).await.elapsed });
    let token = got_token.await.unwrap();
    assert!(!token.is_cancelled());
    attempt.abort();
    token.cancelled().await;
}

#[tokio::test]
async fn o14_a_result_that_is_too_large_is_refused() {
    let table = StepHandlers::new()
        .register("text", |n: usize, _: StepContext| async move {
            Ok::<_, StepError>("x".repeat(n))
        })
        .build()
        .unwrap();
    let mut fits = job("text");
    fits.max_result = 100;
    fits.input_json = "98".into();
    assert_eq!(execute(fits, &table).await.outcome.unwrap().len(), 100);
    let mut large = job("text");
    large.max_result = 100;
    large.input_json = "99".into();
    let report = execute(large, &table).await;
    assert_eq!(
        (error(&report).kind(), error(&report).is_retryable()),
        ("result_too_large", false)
    );
    assert!(
        error(&report).message().contains("101 bytes"),
        "{:?}",
        report.outcome
    );
}
