//! A folder to run the command line in, and what a test wants to know of it.

use std::fmt::Write;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

/// Longer than anything here takes; a test that waits for this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder of its own, with templates, a database, and a ledger in which steps write that they ran.
pub(crate) struct Place(tempfile::TempDir);

/// What a finished command left.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// A template `t.yaml` of shell steps, each given as name, dependencies and command.
    pub(crate) fn shell_template(&self, steps: &[(&str, &str, &str)]) {
        let mut yaml = String::from("name: t\nversion: \"1.0.0\"\nsteps:\n");
        for (name, dependencies, command) in steps {
            let command = serde_json::to_string(command).unwrap();
            let _ = write!(
                yaml,
                "  - name: {name}\n    dependencies: [{dependencies}]\n    handler: {{ callable: shell, \
                 initialization: {{ command: {command} }} }}\n"
            );
        }
        self.write("t.yaml", &yaml);
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postroom"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn postroom(&self, arguments: &[&str]) -> Outcome {
        self.start(arguments).outcome()
    }

    /// Starts a command that a test goes on to watch.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::new(self.command(arguments).spawn().unwrap())
    }

    /// What steps wrote, in order.
    pub(crate) fn ledger(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("ledger")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn count(&self, line: &str) -> usize {
        self.ledger().iter().filter(|noted| *noted == line).count()
    }

    /// Waits until a line stands in the ledger so many times.
    pub(crate) fn until_noted(&self, line: &str, times: usize) {
        until(&format!("{line} x{times} in {:?}", self.ledger()), || {
            self.count(line) >= times
        });
    }

    /// The id of the one task in the database.
    pub(crate) fn only_task(&self) -> String {
        let list = self.postroom(&["task", "list", "--json"]).json();
        let [task] = list.as_array().unwrap().as_slice() else {
            panic!("not one task: {list}");
        };
        task["task_uuid"].as_str().unwrap().to_owned()
    }

    /// Changes the database behind the program's back.
    pub(crate) fn sql(&self, statement: &'static str) {
        let options = SqliteConnectOptions::new().filename(self.path("postroom.db"));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut by_hand = options.connect().await.unwrap();
            sqlx::raw_sql(statement)
                .execute(&mut by_hand)
                .await
                .unwrap();
            by_hand.close().await.unwrap();
        });
    }

    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Outcome {
    /// Standard output's last line as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let line = self
            .stdout
            .lines()
            .last()
            .unwrap_or_else(|| panic!("no output: {self:?}"));
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text) || self.stdout.contains(text),
            "{text:?} is not in\nstdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }
}

/// A command that runs; killed if the test ends before it.
pub(crate) struct Running {
    child: Child,
    stdout: Said,
    stderr: Said,
}

/// What a stream has carried so far.
struct Said {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Running {
    fn new(mut child: Child) -> Self {
        let stdout = Said::listen(child.stdout.take().unwrap());
        let stderr = Said::listen(child.stderr.take().unwrap());
        Self {
            child,
            stdout,
            stderr,
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it says something on standard error.
    #[track_caller]
    pub(crate) fn until_says(&self, text: &str) {
        until(text, || self.stderr.text().contains(text));
    }

    /// Kills it as a crash would, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has ended.
    #[track_caller]
    pub(crate) fn outcome(mut self) -> Outcome {
        let mut status = None;
        until(&format!("the end of {}", self.stderr.text()), || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        Outcome {
            code: status.unwrap().code(),
            stdout: self.stdout.all(),
            stderr: self.stderr.all(),
        }
    }
}

impl Said {
    fn listen(stream: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&text);
        let reader = thread::spawn(move || {
            for line in BufReader::new(stream).lines() {
                let mut text = heard.lock().unwrap();
                text.push_str(&line.unwrap());
                text.push('\n');
            }
        });
        Self {
            text,
            reader: Some(reader),
        }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// All of it, once the stream has ended.
    fn all(&mut self) -> String {
        self.reader.take().unwrap().join().unwrap();
        self.text()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for something that only the file system or the process table can tell.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited too long for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process runs (and is not a zombie whose parent has not looked yet).
pub(crate) fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat"));
    stat.is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .trim_start()
            .starts_with(['Z', 'X'])
    })
}

/// A command for a step: notes its name, and waits until the file `NAME.go` is there.
pub(crate) fn gate(name: &str) -> String {
    // The folder goes when the test does; nothing is to wait in it then.
    format!(
        "echo {name} >> ledger; echo $$ >> {name}.pid; \
         while [ -e ledger ] && [ ! -e {name}.go ]; do sleep 0.02; done"
    )
}

/// A command for a step: notes its name.
pub(crate) fn note(name: &str) -> String {
    format!("echo {name} >> ledger; echo {name} was here")
}
