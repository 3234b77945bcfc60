//! Processes that share a database are killed at random, stopped past their leases and started with clocks that
//! are an hour off, while the database loses connections and power: nothing that was acknowledged is lost, and
//! nothing is recorded twice.

mod clock;
mod verdict;
mod worker;

use std::fmt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use postroom::orchestration::{ClaimMode, OrchestrationCore};
use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinSet;

use crate::place::{self, Place};
use clock::{FalseClock, HOUR};
use verdict::Acknowledged;
use worker::{LEASE, SUBMITS, Shapes, config};

/// How many kills a storm has, and whether it is the long form, which leaves a report.
fn kills() -> (u32, bool) {
    match std::env::var("POSTROOM_CRASH_KILLS") {
        Ok(text) => (
            text.parse().expect("POSTROOM_CRASH_KILLS is a number"),
            true,
        ),
        Err(_) => (20, false),
    }
}

#[derive(Debug, Default)]
struct Troubles {
    kills: u32,
    stops: u32,
    false_clocks: u32,
    cuts: u32,
    restarts: u32,
}

impl fmt::Display for Troubles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "kills (-9)                   {}", self.kills)?;
        writeln!(f, "stops past the lease         {}", self.stops)?;
        writeln!(f, "clocks an hour off           {}", self.false_clocks)?;
        writeln!(f, "connections cut (half)       {}", self.cuts)?;
        writeln!(f, "database lost power          {}", self.restarts)
    }
}

/// What can happen next.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    Kill,
    Stop,
    Cut,
    Restart,
}

/// A process that works.
struct Worker {
    child: Child,
    /// Listens to it.
    listening: JoinHandle<()>,
    /// It is stopped up to this moment.
    stopped: Option<Instant>,
}

impl Worker {
    /// Kills it, and takes in what it still said.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.listening.join().unwrap();
    }

    /// Stops it for so long.
    fn stop(&mut self, time: Duration) {
        self.signal(Signal::STOP);
        self.stopped = Some(Instant::now() + time);
    }

    fn go_on_if_due(&mut self) {
        if self.stopped.is_some_and(|until| until <= Instant::now()) {
            self.signal(Signal::CONT);
            self.stopped = None;
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

struct Storm<'a> {
    place: &'a Place,
    rng: fastrand::Rng,
    clock: FalseClock,
    troubles: Troubles,
    acknowledged: Arc<Mutex<Acknowledged>>,
}

impl Storm<'_> {
    fn acknowledged(&self) -> MutexGuard<'_, Acknowledged> {
        self.acknowledged
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A process whose clock is off by so many seconds.
    fn worker(&mut self, off: i64, submits: bool) -> Worker {
        let mut command = self
            .place
            .process("crash::worker::child_that_works_until_it_is_killed");
        if off != 0 {
            self.clock.put_off(&mut command, off);
            self.troubles.false_clocks += 1;
        }
        if submits {
            command.env(SUBMITS, "yes");
        }
        let mut child = command.spawn().unwrap();
        let acknowledged = Arc::clone(&self.acknowledged);
        let listening = place::listen(&mut child, move |line| {
            let mut acknowledged = acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
            acknowledged.hear(line);
        });
        Worker {
            child,
            listening,
            stopped: None,
        }
    }

    fn any_worker(&mut self) -> Worker {
        let off = match self.rng.u8(0..6) {
            0 => HOUR,
            1 => -HOUR,
            _ => 0,
        };
        self.worker(off, true)
    }

    fn any_trouble(&mut self) -> Trouble {
        match self.rng.u8(0..20) {
            0..3 => Trouble::Stop,
            3..6 => Trouble::Cut,
            6..8 => Trouble::Restart,
            _ => Trouble::Kill,
        }
    }

    async fn strike(&mut self, trouble: Trouble, workers: &mut [Worker]) {
        let gap = Duration::from_millis(self.rng.u64(30..400));
        tokio::time::sleep(gap).await;
        workers.iter_mut().for_each(Worker::go_on_if_due);
        // Whoever is stopped goes on later, for its results to come too late.
        let going = (0..workers.len()).filter(|&at| workers[at].stopped.is_none());
        let chosen = self.rng.choice(going.collect::<Vec<_>>()).unwrap_or(0);
        match (trouble, self.place) {
            (Trouble::Stop, _) => {
                // Others take its steps over, and what it hands in afterwards is stale.
                workers[chosen].stop(LEASE + Duration::from_millis(self.rng.u64(100..1_000)));
                self.troubles.stops += 1;
            }
            (Trouble::Cut, Place::Server { .. }) => {
                self.place.cut().await;
                self.troubles.cuts += 1;
            }
            (Trouble::Restart, Place::Server { .. }) => {
                self.place.restart();
                self.troubles.restarts += 1;
            }
            (Trouble::Kill | Trouble::Cut | Trouble::Restart, _) => {
                let next = self.any_worker();
                std::mem::replace(&mut workers[chosen], next).kill();
                self.troubles.kills += 1;
            }
        }
    }
}

/// What a program says of this run, for the report; a machine may do without it.
fn what_says(program: &str, arguments: &[&str]) -> String {
    let said = Command::new(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    match said {
        Ok(said) if said.status.success() => {
            String::from_utf8_lossy(&said.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

/// Asked once, before the first report changes the tree.
static COMMIT: OnceLock<String> = OnceLock::new();

async fn storm(place: Place, processes: usize) {
    let (kills, is_long) = kills();
    let commit = COMMIT
        .get_or_init(|| what_says("git", &["describe", "--always", "--dirty", "--abbrev=12"]));
    let rows = place.open().await;
    let core = OrchestrationCore::builder(Arc::clone(&rows))
        .config(config())
        .claims(ClaimMode::Paused)
        .start()
        .await
        .unwrap();
    let core = Arc::new(core);
    let started = Instant::now();
    let mut storm = Storm {
        place: &place,
        rng: fastrand::Rng::new(),
        clock: FalseClock::make(),
        troubles: Troubles::default(),
        acknowledged: Arc::default(),
    };
    println!("{}: seed {}", place.name(), storm.rng.get_seed());
    let mut workers: Vec<Worker> = (0..processes).map(|_| storm.any_worker()).collect();
    let shapes = Arc::new(Shapes::new());
    let mut submitting = JoinSet::new();
    let mut submitted = 1_000;
    let first = shapes.submit(&core, "", 0, submitted).await;
    storm.acknowledged().tasks.extend(first);
    // Each of them once in any case.
    let mut troubles = vec![Trouble::Restart, Trouble::Cut, Trouble::Stop];
    while storm.troubles.kills < kills {
        let trouble = troubles.pop().unwrap_or_else(|| storm.any_trouble());
        let before = storm.troubles.kills;
        storm.strike(trouble, &mut workers).await;
        if storm.troubles.kills > before {
            // A process that is stopped while it writes to a file holds it up, and must not hold up the storm.
            let (core, shapes, first) = (Arc::clone(&core), Arc::clone(&shapes), submitted);
            submitting.spawn(async move { shapes.submit(&core, "", first, 15).await });
            submitted += 15;
        }
    }
    let stormed = started.elapsed();
    // Where the machine's clock is the database's, what was dated by a clock that is ahead is due for such a one.
    for worker in &mut workers {
        let last = storm.worker(HOUR, false);
        std::mem::replace(worker, last).kill();
        storm.troubles.kills += 1;
    }
    for more in submitting.join_all().await {
        storm.acknowledged().tasks.extend(more);
    }
    verdict::wait_for_all(&core, &*rows).await;
    let ended = started.elapsed();
    workers.into_iter().for_each(Worker::kill);
    let acknowledged = std::mem::take(&mut *storm.acknowledged());
    let counts = verdict::pass(&*rows, &acknowledged).await;
    assert!(counts.lost > 0, "the storm took leases away");
    let said = format!(
        "{processes} processes on {}\n\n{}{counts}storm                        {:.0} s\nall ended after              {:.0} s\n",
        place.name(),
        storm.troubles,
        stormed.as_secs_f64(),
        ended.as_secs_f64()
    );
    println!("{said}");
    assert!(core.shutdown().await.is_balanced());
    if is_long {
        let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/processes/reports");
        let found = "Every acknowledged task ended once, no result was recorded twice, no stale one was accepted,\n\
                     and the doctor found nothing.\n";
        std::fs::create_dir_all(&reports).unwrap();
        let file = reports.join(format!("crash-{}.txt", place.name()));
        let run = format!(
            "date                         {}\ncommit                       {commit}\n",
            what_says("date", &["--utc", "+%F %R UTC"]),
        );
        std::fs::write(file, format!("{said}{run}\n{found}")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o01_two_processes_on_one_file_lose_nothing_and_record_nothing_twice_in_a_storm() {
    storm(Place::file(), 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o01_three_processes_on_one_server_lose_nothing_and_record_nothing_twice_in_a_storm() {
    storm(Place::own_server().await, 3).await;
}
