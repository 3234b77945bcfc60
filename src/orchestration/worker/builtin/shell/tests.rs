//! Tests with a real `sh`.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::orchestration::worker::executor::{StepJob, StepReport, execute, fixture};
use crate::orchestration::worker::{HandlerTable, StepHandlers};

fn shell() -> (HandlerTable, ProcessGroups) {
    let (handlers, groups) =
        crate::orchestration::worker::builtin::register(StepHandlers::new(), Uuid::now_v7());
    (handlers.build().unwrap(), groups)
}

fn job(config: Value) -> StepJob {
    let mut job = fixture::job("shell");
    job.config = Arc::new(config);
    job
}

async fn run(config: Value) -> StepReport {
    let (table, groups) = shell();
    let report = execute(job(config), &table).await;
    assert!(groups.is_empty());
    report
}

async fn error(config: Value) -> StepError {
    run(config).await.outcome.unwrap_err()
}

/// Something that a test waits for until the other side, a child process, has gone: reading to the end of a
/// named pipe that every one of its processes holds open.
struct Fifo(tempfile::TempDir);

impl Fifo {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(folder.path().join("f"))
            .status()
            .unwrap();
        assert!(made.success());
        Self(folder)
    }

    fn path(&self) -> String {
        self.0.path().join("f").display().to_string()
    }

    /// Tells when the first line was read, and ends when nobody holds the other end any more.
    fn read(&self) -> (oneshot::Receiver<()>, std::thread::JoinHandle<()>) {
        let path = self.path();
        let (up, is_up) = oneshot::channel();
        let reader = std::thread::spawn(move || {
            let mut lines = std::io::BufRead::lines(std::io::BufReader::new(
                std::fs::File::open(path).unwrap(),
            ));
            lines.next().unwrap().unwrap();
            up.send(()).unwrap();
            lines.for_each(drop);
        });
        (is_up, reader)
    }
}

#[tokio::test]
async fn text_and_json_results() {
    let text = run(json!({"command": "printf 'a\\nb\\n\\n'"})).await;
    assert_eq!(text.outcome.unwrap(), r#""a\nb\n""#);
    let strange = run(json!({"command": "printf '\\377x'"})).await;
    assert_eq!(strange.outcome.unwrap(), "\"\u{fffd}x\"");
    let json =
        run(json!({"command": "echo ' {\"n\": 12345678901234567890123}'", "output": "json"})).await;
    assert_eq!(json.outcome.unwrap(), r#"{"n": 12345678901234567890123}"#);
    let bad = error(json!({"command": "printf '{\"a\":\\n1,}'", "output": "json"})).await;
    assert_eq!((bad.kind(), bad.is_retryable()), ("output", false));
    assert!(bad.message().contains("line 2 column 3"), "{bad}");
    let nothing = error(json!({"command": ":", "output": "json"})).await;
    assert!(
        nothing.message().contains("nothing was printed"),
        "{nothing}"
    );
}

#[tokio::test]
async fn the_command_is_given_everything_on_standard_input() {
    let (table, _) = shell();
    let mut job = job(json!({"command": "cat", "output": "json"}));
    job.input_json = r#"{"name":"$(touch /tmp/never); 'x'"}"#.into();
    Arc::make_mut(&mut job.claimed).parents = vec![fixture::parent("before", "[1,2]")];
    let given: Value = serde_json::from_str(&execute(job, &table).await.outcome.unwrap()).unwrap();
    assert_eq!(
        given,
        json!({
            "input": {"name": "$(touch /tmp/never); 'x'"},
            "parents": {"before": [1, 2]},
            "task_uuid": Uuid::from_u128(7),
            "step": "shell",
            "attempt": 2,
            "epoch": 4,
            "correlation_id": Uuid::from_u128(8),
        })
    );
}

#[tokio::test]
async fn environment_and_directory() {
    let folder = tempfile::tempdir().unwrap();
    let command = "echo $POSTROOM_STEP $POSTROOM_ATTEMPT $POSTROOM_EPOCH $WHO; test -n \"$POSTROOM_TASK\" && pwd -P";
    let report =
        run(json!({"command": command, "env": {"WHO": "me"}, "directory": folder.path()})).await;
    let printed: String = serde_json::from_str(&report.outcome.unwrap()).unwrap();
    let folder = folder.path().canonicalize().unwrap();
    assert_eq!(printed, format!("shell 2 4 me\n{}", folder.display()));

    let missing = error(json!({"command": ":", "directory": "/nowhere/at/all"})).await;
    assert_eq!(missing.kind(), "spawn");
    assert!(missing.message().contains("/nowhere/at/all"), "{missing}");
}

#[tokio::test]
async fn a_command_that_does_not_read_its_input_does_not_mind() {
    let (table, _) = shell();
    let mut job = job(json!({"command": "exec 0<&-; echo done"}));
    job.input_json = format!("\"{}\"", "x".repeat(900_000)).into();
    assert_eq!(execute(job, &table).await.outcome.unwrap(), r#""done""#);
}

#[tokio::test]
async fn o07_failures_say_why() {
    let status =
        error(json!({"command": "for i in 1 2 3; do echo line $i >&2; done; exit 3"})).await;
    assert_eq!(
        (status.kind(), status.is_retryable()),
        ("exit_status", true)
    );
    assert_eq!(status.message(), "exit status 3: line 1\nline 2\nline 3");
    let signal = error(json!({"command": "kill -9 $$"})).await;
    assert_eq!(
        (signal.kind(), signal.message()),
        ("signal", "ended by signal 9")
    );
    let noisy =
        error(json!({"command": "head -c 300000 /dev/zero | tr '\\0' x >&2; echo; echo last >&2; exit 1"})).await;
    assert!(noisy.message().ends_with("last") && noisy.message().len() <= 70_000);
}

#[tokio::test]
async fn o14_an_output_that_is_too_large_is_refused_with_its_tail() {
    let fits = run(json!({"command": "head -c 1000000 /dev/zero | tr '\\0' x"})).await;
    assert_eq!(fits.outcome.unwrap().len(), 1_000_002);
    let large =
        error(json!({"command": "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo the end"}))
            .await;
    assert_eq!(
        (large.kind(), large.is_retryable()),
        ("output_too_large", false)
    );
    assert!(large.message().contains("3000009 bytes") && large.message().ends_with("the end"));
}

#[tokio::test]
async fn what_a_command_leaves_running_ends_with_it() {
    let fifo = Fifo::new();
    let (is_up, reader) = fifo.read();
    let command = format!(
        "exec 3>{}; echo up >&3; sleep 600 & echo parent",
        fifo.path()
    );
    // The sleeping grandchild also holds standard output open.
    let report = run(json!({"command": command})).await;
    assert_eq!(report.outcome.unwrap(), r#""parent""#);
    is_up.await.unwrap();
    reader.join().unwrap();
}

#[tokio::test]
async fn a_daemon_that_left_the_group_is_not_waited_for() {
    let fifo = Fifo::new();
    let (is_up, reader) = fifo.read();
    let left = Fifo::new();
    let daemon = format!("echo up >&3; echo $$ > {}; exec sleep 600", left.path());
    // It also holds standard output open.
    let command = format!(
        "exec 3>{}; setsid sh -c '{daemon}' & read pid < {}; echo $pid",
        fifo.path(),
        left.path()
    );
    let attempt = tokio::spawn(run(json!({"command": command})));
    is_up.await.unwrap();
    let printed: String = serde_json::from_str(&attempt.await.unwrap().outcome.unwrap()).unwrap();
    let daemon = rustix::process::Pid::from_raw(printed.parse().unwrap()).unwrap();
    rustix::process::kill_process_group(daemon, rustix::process::Signal::KILL).unwrap();
    reader.join().unwrap();
}

#[tokio::test]
async fn o07_a_timeout_ends_the_whole_group() {
    let fifo = Fifo::new();
    let (is_up, reader) = fifo.read();
    let (table, groups) = shell();
    let command = format!(
        "exec 3>{}; (sleep 600; :) & echo up >&3; echo busy >&2; wait",
        fifo.path()
    );
    let mut job = job(json!({"command": command}));
    job.timeout = Some(Duration::from_millis(300));
    let report = execute(job, &table).await;
    let error = report.outcome.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), ("timeout", true));
    assert!(
        error
            .message()
            .starts_with("no result within 300ms; the command was told to end"),
        "{error}"
    );
    assert!(error.message().ends_with("busy"), "{error}");
    is_up.await.unwrap();
    reader.join().unwrap();
    assert!(groups.is_empty());
}

/// Starts a command that prints a line to the fifo and never ends, and waits for that line.
async fn started(
    command: &str,
    fifo: &Fifo,
    token: &CancellationToken,
) -> (
    tokio::task::JoinHandle<StepReport>,
    ProcessGroups,
    std::thread::JoinHandle<()>,
) {
    let (is_up, reader) = fifo.read();
    let (table, groups) = shell();
    let mut job = job(json!({"command": format!("exec 3>{}; {command}", fifo.path())}));
    job.cancellation = token.clone();
    let attempt = tokio::spawn(async move { execute(job, &table).await });
    is_up.await.unwrap();
    (attempt, groups, reader)
}

const DEAF: &str = "trap '' TERM; (sleep 600; :) & echo up >&3; while :; do sleep 600; done";

#[tokio::test]
async fn o08_cancelling_asks_the_group_to_end() {
    let (fifo, token) = (Fifo::new(), CancellationToken::new());
    let command = "trap 'echo told >&2; exit 0' TERM; echo up >&3; sleep 600 & wait";
    let (attempt, groups, reader) = started(command, &fifo, &token).await;
    assert_eq!(groups.len(), 1);
    token.cancel();
    let report = attempt.await.unwrap();
    assert!(report.interrupted);
    let error = report.outcome.unwrap_err();
    assert!(error.message().contains("told"), "{error}");
    reader.join().unwrap();
}

#[tokio::test]
async fn o08_a_command_that_will_not_end_is_ended() {
    let (fifo, token) = (Fifo::new(), CancellationToken::new());
    let (attempt, groups, reader) = started(DEAF, &fifo, &token).await;
    token.cancel();
    // Real time: TERM, five seconds, KILL.
    let report = attempt.await.unwrap();
    assert!(report.interrupted);
    assert!(report.outcome.unwrap_err().message().contains("signal 9"));
    assert!(report.elapsed >= Shell::TERM_GRACE);
    reader.join().unwrap();
    assert!(groups.is_empty());
}

#[tokio::test]
async fn dropping_the_attempt_ends_the_group_at_once() {
    let (fifo, token) = (Fifo::new(), CancellationToken::new());
    let (attempt, groups, reader) = started(DEAF, &fifo, &token).await;
    attempt.abort();
    assert!(attempt.await.unwrap_err().is_cancelled());
    reader.join().unwrap();
    assert!(groups.is_empty());
}

#[tokio::test]
async fn an_emergency_exit_leaves_nothing_and_starts_nothing() {
    let (fifo, token) = (Fifo::new(), CancellationToken::new());
    let (attempt, groups, reader) = started(DEAF, &fifo, &token).await;
    groups.kill_all();
    reader.join().unwrap();
    // A step that was ended so has not failed.
    token.cancel();
    let report = attempt.await.unwrap();
    assert!(report.interrupted);
    assert_eq!(report.outcome.unwrap_err().kind(), "interrupted");
    let table = StepHandlers::new()
        .register_type("shell", Shell::new(Uuid::now_v7(), groups))
        .build()
        .unwrap();
    let refused = execute(job(json!({"command": ":"})), &table)
        .await
        .outcome
        .unwrap_err();
    assert_eq!(refused.kind(), "spawn");
}

#[test]
fn o07_a_bad_configuration_is_refused() {
    let (table, _) = shell();
    let cases = [
        (json!({}), "missing field `command`"),
        (Value::Null, "missing field `command`"),
        (json!({"command": " "}), "`command` is empty"),
        (json!({"command": "a\0b"}), "NUL"),
        (
            json!({"command": ":", "comand": ":"}),
            "unknown field `comand`",
        ),
        (
            json!({"command": ":", "output": "xml"}),
            "unknown variant `xml`, expected `text` or `json`",
        ),
        (json!({"command": ":", "env": {"A": 1}}), "invalid type"),
        (
            json!({"command": ":", "env": {"A=B": "1"}}),
            "\"A=B\" cannot be set",
        ),
        (
            json!({"command": ":", "env": {"POSTROOM_STEP": "1"}}),
            "POSTROOM_STEP is set by postroom itself",
        ),
    ];
    for (config, expected) in cases {
        let error = table.check_config("shell", &config).unwrap_err();
        assert!(error.contains(expected), "{config}: {error}");
    }
    let good = json!({"command": ":", "output": "text", "env": {"A": "1"}, "directory": "/"});
    table.check_config("shell", &good).unwrap();
}
