//! A process that is killed loses nothing it was told is stored.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use postroom::orchestration::state::StepState;
use postroom::orchestration::store::{Store, SweepRequest};
use uuid::Uuid;

use super::kit::{assert_sound, chain, claim, open, place, submit, success};

const FILE: &str = "POSTROOM_TEST_CRASH_FILE";

/// Not a test of its own: the process that is killed. It says on a line of its own what it was told is stored.
#[tokio::test(flavor = "current_thread")]
async fn child_that_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(FILE) else {
        return;
    };
    let store = open(path.as_ref()).await;
    let process = Uuid::new_v4();
    let say = |line: String| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").unwrap();
        out.flush().unwrap();
    };
    loop {
        let writing = (0..4).map(|_| async {
            let task = submit(&store, chain(3)).await;
            say(format!("stored {task}"));
            for step in claim(&store, process, 2).await {
                store.complete(vec![success(&step, process)]).await.unwrap();
                say(format!("complete {} {}", step.id.task_uuid, step.id.index));
            }
        });
        super::kit::join_all(writing).await;
    }
}

#[tokio::test]
async fn o01_a_killed_process_loses_nothing_that_was_acknowledged() {
    let (_folder, path) = place();
    let mut acknowledged = Vec::new();
    for round in 1..=4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "sqlite::crash::child_that_writes_until_it_is_killed",
            ])
            .env(FILE, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = 0;
        for line in lines.by_ref() {
            acknowledged.push(line.unwrap());
            said += 1;
            // A different moment each time.
            if said == round * 37 {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it still said before it died counts as well.
        acknowledged.extend(lines.map_while(Result::ok));

        let store = open(&path).await;
        assert_sound(&store).await;
        let mut seen = 0;
        for line in &acknowledged {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["stored", task] => {
                    let task = store.task(task.parse().unwrap()).await.unwrap();
                    assert!(task.is_some(), "{line}");
                }
                ["complete", task, index] => {
                    let steps = store.steps(task.parse().unwrap()).await.unwrap();
                    let step = &steps[index.parse::<usize>().unwrap()];
                    assert_eq!(step.state, StepState::Complete, "{line}");
                    assert!(step.result_json.is_some(), "{line}");
                }
                // What the test harness says, and a last line that was cut short.
                _ => continue,
            }
            seen += 1;
        }
        assert!(seen >= round * 30, "{seen} acknowledged");
        finish(&store).await;
        store.close().await;
    }
}

/// Takes back what the dead process held, and runs everything to its end.
async fn finish(store: &postroom::orchestration::store::sqlite::SqliteStore) {
    let process = Uuid::new_v4();
    let mut dead = Vec::new();
    for task in store.tasks(everything()).await.unwrap() {
        if task.state.is_terminal() {
            continue;
        }
        let steps = store.steps(task.task_uuid).await.unwrap();
        dead.extend(steps.into_iter().filter_map(|step| step.owner));
    }
    let request = SweepRequest {
        process,
        dead,
        max_lost_leases: 3,
        process_ttl: std::time::Duration::from_secs(60),
        limit: 10_000,
    };
    store.sweep(request).await.unwrap();
    loop {
        let steps = claim(store, process, 100).await;
        if steps.is_empty() {
            break;
        }
        let completions = steps.iter().map(|step| success(step, process)).collect();
        store.complete(completions).await.unwrap();
    }
    for task in store.tasks(everything()).await.unwrap() {
        assert!(task.state.is_terminal(), "{task:?}");
    }
    assert_sound(store).await;
}

fn everything() -> postroom::orchestration::store::TaskFilter {
    postroom::orchestration::store::TaskFilter {
        limit: u32::MAX,
        ..Default::default()
    }
}
