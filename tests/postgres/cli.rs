//! The command line on `PostgreSQL`.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::cluster;

const TEMPLATE: &str = "
name: greeting
version: 1.0.0
steps:
  - name: hello
    handler: { callable: shell, initialization: { command: 'echo run >> ledger; echo hello' } }
  - name: after
    dependencies: [hello]
    handler: { callable: noop }
";

fn postroom(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_postroom"))
        .args(arguments)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

#[tokio::test]
async fn one_url_moves_a_workflow_to_a_server() {
    let url = cluster::database().await;
    let url = url.replace("postgres@", "postgres:secret@");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t.yaml"), TEMPLATE).unwrap();

    let looked = postroom(folder.path(), &["task", "list", "--database", &url]);
    assert_eq!(looked.status.code(), Some(3), "{}", said(&looked));
    assert!(said(&looked).contains("no schema"), "{}", said(&looked));

    let mut outputs = vec![looked];
    for _ in 0..2 {
        let run = postroom(folder.path(), &["run", "t.yaml", "--database", &url]);
        assert!(run.status.success(), "{}", said(&run));
        outputs.push(run);
    }
    let ledger = std::fs::read_to_string(folder.path().join("ledger")).unwrap();
    assert_eq!(ledger, "run\n", "what is complete is not run again");
    let listed = postroom(folder.path(), &["task", "list", "--database", &url]);
    assert!(said(&listed).contains("greeting"), "{}", said(&listed));
    outputs.push(listed);
    let missing = uuid::Uuid::new_v4().to_string();
    let shown = postroom(
        folder.path(),
        &["task", "show", &missing, "--database", &url],
    );
    assert!(!shown.status.success());
    outputs.push(shown);
    for output in outputs {
        assert!(!said(&output).contains("secret"), "{}", said(&output));
    }
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(files.len(), 2, "no file beside the template and the ledger");
}

const FAILING: &str = "
name: errand
version: 1.0.0
steps:
  - name: go
    handler: { callable: shell, initialization: { command: 'echo go >> ledger; test -e fixed' } }
  - name: tell
    dependencies: [go]
    handler: { callable: noop }
";

/// The folder and the database that the commands of a test are for.
struct Desk {
    folder: tempfile::TempDir,
    url: String,
}

impl Desk {
    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postroom"));
        command
            .args(arguments.split_whitespace())
            .args(["--database", &self.url])
            .current_dir(self.folder.path())
            .env("NO_COLOR", "1");
        command
    }

    /// What a command says, which is to end with this status.
    #[track_caller]
    fn says(&self, arguments: &str, status: i32) -> String {
        let output = self.command(arguments).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(status), "{arguments}: {said}");
        said.trim().to_owned()
    }

    async fn until_state(&self, task: &str, state: &str) {
        let asked = format!("task show {task} --json");
        let sought = format!("\"state\":\"{state}\",\"reason\"");
        let waited = timeout(Duration::from_mins(1), async {
            while !self.says(&asked, 0).contains(&sought) {
                sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(
            waited.await.is_ok(),
            "not {state}: {}",
            self.says(&asked, 0)
        );
    }
}

/// Every command for operators, on a server as on a file.
#[tokio::test]
async fn o08_operators_do_on_a_server_what_they_do_on_a_file() {
    let database = cluster::database().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t.yaml"), FAILING).unwrap();
    let url = database.to_owned();
    let desk = Desk { folder, url };

    let first = desk.says("submit t.yaml --key first", 0);
    assert_eq!(
        desk.says(&format!("task pause {first}"), 0),
        format!("Task {first} is paused.")
    );
    let mut worker = desk.command("worker --allow-shell").spawn().unwrap();
    let second = desk.says("submit t.yaml --key second", 0);
    desk.until_state(&second, "failed").await;
    assert!(desk.says("task dead-letters", 0).contains("exit status 1"));
    assert!(
        desk.says(&format!("task resume {second}"), 1)
            .contains("it cannot be resumed")
    );
    desk.says(&format!("task resume {first}"), 0);
    desk.until_state(&first, "failed").await;

    // By hand, by retrying, by declaring it done.
    desk.says(&format!("task complete {first} --step go --result 7"), 0);
    desk.until_state(&first, "complete").await;
    std::fs::write(desk.folder.path().join("fixed"), "").unwrap();
    desk.says(&format!("task retry {second}"), 0);
    desk.until_state(&second, "complete").await;
    desk.says(&format!("task rerun {second} --from tell"), 0);
    desk.until_state(&second, "complete").await;
    let third = desk.says("submit t.yaml --key third --delay 1d", 0);
    desk.says(&format!("task resolve {third} --step go"), 0);
    desk.says(&format!("task resolve {third} --reason settled"), 0);
    let fourth = desk.says("submit t.yaml --key fourth --delay 1d", 0);
    desk.says(&format!("task cancel {fourth} --reason enough"), 0);
    assert!(
        desk.says(&format!("task show {fourth}"), 0)
            .contains("enough")
    );

    let interrupt = rustix::process::Pid::from_child(&worker);
    rustix::process::kill_process(interrupt, rustix::process::Signal::TERM).unwrap();
    assert!(worker.wait().unwrap().success());
    assert!(
        desk.says("doctor", 0)
            .contains("every unfinished task has an owner")
    );
    assert!(
        desk.says("cleanup --older-than 1d", 0)
            .contains("0 tasks were deleted")
    );
    assert!(
        desk.says("cleanup --older-than 0s --dry-run", 0)
            .contains("4 tasks would be deleted")
    );
    assert!(
        desk.says("cleanup --older-than 0s", 0)
            .contains("4 tasks were deleted")
    );
    assert!(desk.says(&format!("task show {first}"), 2).contains(&first));
}
