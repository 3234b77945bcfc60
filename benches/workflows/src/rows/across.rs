//! From a submission in one process to the first step's start in another one.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use postroom::orchestration::OrchestrationConfig;
use postroom::orchestration::worker::{StepContext, StepError, StepHandlers};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::database::{Kind, Opened};
use crate::engine::Engine;
use crate::report::spread;

fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("it is not 1970")
}

/// The other process: says when a first step has started, until its input ends.
pub(crate) async fn worker(url: &str) {
    let (told, mut tell) = tokio::sync::mpsc::unbounded_channel();
    let (first, last) = (told.clone(), told);
    let handlers = StepHandlers::new()
        .register("first", move |_: Value, _: StepContext| {
            // The receiver is gone only when this process ends.
            let _ = first.send(now().as_nanos().to_string());
            async { Ok::<_, StepError>(()) }
        })
        .register("noop", |_: Value, _: StepContext| async {
            Ok::<_, StepError>(())
        })
        .register("last", move |_: Value, _: StepContext| {
            let _ = last.send("end".to_owned());
            async { Ok::<_, StepError>(()) }
        });
    let handlers = handlers.build().expect("the handlers have different names");
    let config = OrchestrationConfig {
        concurrency: 16,
        ..OrchestrationConfig::default()
    };
    let engine = Engine::with(Opened::open(url).await, handlers, config, Arc::default()).await;
    let mut out = tokio::io::stdout();
    out.write_all(b"ready\n").await.expect("it is read");
    out.flush().await.expect("it is read");
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            line = input.next_line() => if !matches!(line, Ok(Some(_))) { break },
            Some(word) = tell.recv() => {
                out.write_all(format!("{word}\n").as_bytes()).await.expect("it is read");
                out.flush().await.expect("it is read");
            }
        }
    }
    engine.stop().await;
}

pub(crate) async fn measure(kind: &Kind, workflows: usize) -> Value {
    let database = kind.database().await;
    let engine = Engine::submitting(&database).await;
    let this = std::env::current_exe().expect("this program");
    let mut child = tokio::process::Command::new(this)
        .args(["worker", database.url()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut line = async || {
        lines
            .next_line()
            .await
            .expect("it can be read")
            .expect("it goes on")
    };
    assert_eq!(line().await, "ready");
    let mut first_step = Vec::new();
    for number in 0..workflows {
        // Not in step with anything that is done at intervals.
        tokio::time::sleep(Duration::from_micros(
            20_000 + (number as u64 * 7_919) % 20_000,
        ))
        .await;
        let submitted = now();
        engine.submit(number).await;
        let started = Duration::from_nanos(line().await.parse().expect("a number"));
        first_step.push(started.saturating_sub(submitted).as_secs_f64() * 1_000.0);
        assert_eq!(line().await, "end");
    }
    drop(child.stdin.take());
    let ended = child.wait().await.expect("it ends");
    assert!(ended.success());
    engine.stop().await;
    json!({ "submit_to_first_step_ms": spread(&mut first_step) })
}
