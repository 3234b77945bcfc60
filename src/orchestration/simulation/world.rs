//! The scheduler: a queue of events in the order of their moments, chance deciding between equal ones.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;
use uuid::Uuid;

use super::faults::{Breakage, FaultyStore};
use super::oracle::{self, Oracle};
use super::process::Process;
use super::shapes;
use crate::orchestration::context::ClaimMode;
use crate::orchestration::lifecycle::{ResultProcessor, StepExecutionResult};
use crate::orchestration::state::TaskState;
use crate::orchestration::store::memory::MemoryStore;
use crate::orchestration::store::{ClaimedStep, Lease, OperationKind, Store, SweepRequest};
use crate::orchestration::template::TaskTemplate;

pub(super) const PROCESSES: usize = 3;
/// Faults happen up to this moment (milliseconds).
const STORM: u64 = 60_000;
/// Then everything has to come to its end by this one.
const CALM: u64 = STORM + 600_000;
/// Where the clocks begin, in milliseconds since 1970.
const EPOCH: i64 = 1_700_000_000_000;

#[derive(Debug, Clone)]
pub(super) enum Event {
    Boot(usize),
    Crash(usize),
    Stall(usize),
    Poll {
        at: usize,
        life: u32,
        again: bool,
    },
    Sweep {
        at: usize,
        life: u32,
    },
    Beat {
        at: usize,
        life: u32,
    },
    Finish {
        at: usize,
        life: u32,
        lease: Lease,
    },
    Deliver {
        at: usize,
        life: u32,
        carrier: ResultProcessor,
        sender: Uuid,
        result: StepExecutionResult,
        tries: u32,
        copy: bool,
    },
    Submit {
        number: usize,
    },
    Operate,
}

pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) rows: MemoryStore,
    store: Arc<FaultyStore>,
    started: Instant,
    events: BTreeMap<(u64, u64), Event>,
    pub(super) processes: Vec<Option<Process>>,
    /// How often each process was started.
    pub(super) lives: Vec<u32>,
    /// The ids of crashed processes.
    dead: Vec<Uuid>,
    pub(super) shapes: Vec<Arc<TaskTemplate>>,
    pub(super) oracle: Oracle,
    calm: bool,
    handled: u32,
    trace: String,
}

impl World {
    pub(super) fn new(seed: u64, breakage: Option<Breakage>) -> Self {
        let mut rng = Rng::with_seed(seed);
        let rows = MemoryStore::at(EPOCH);
        let store = Arc::new(FaultyStore::new(rows.clone(), breakage, rng.fork()));
        Self {
            rng,
            rows,
            store,
            started: Instant::now(),
            events: BTreeMap::new(),
            processes: (0..PROCESSES).map(|_| None).collect(),
            lives: vec![0; PROCESSES],
            dead: Vec::new(),
            shapes: Vec::new(),
            oracle: Oracle::default(),
            calm: false,
            handled: 0,
            trace: String::new(),
        }
    }

    pub(super) fn into_trace(self) -> String {
        self.trace
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn after(&mut self, delay: u64, event: Event) {
        let key = (self.now() + delay, self.rng.u64(..));
        self.events.insert(key, event);
    }

    pub(super) fn note(&mut self, what: std::fmt::Arguments<'_>) {
        let now = self.now();
        // Writing to a string cannot fail.
        let _ = writeln!(self.trace, "{now:>6} {what}");
    }

    pub(super) async fn run(&mut self) -> Result<(), String> {
        for at in 0..PROCESSES {
            let delay = self.rng.u64(0..3_000);
            self.after(delay, Event::Boot(at));
        }
        for number in 0..self.rng.usize(1..4) {
            let shape = shapes::template(number, &mut self.rng)?;
            self.shapes.push(shape);
            // Sometimes it is asked for twice, which must make one task.
            for _ in 0..self.rng.usize(1..3) {
                let delay = self.rng.u64(3_000..30_000);
                self.after(delay, Event::Submit { number });
            }
        }
        for _ in 0..self.rng.usize(0..4) {
            let (delay, at) = (self.rng.u64(3_000..STORM), self.rng.usize(0..PROCESSES));
            self.after(delay, Event::Crash(at));
        }
        for _ in 0..self.rng.usize(0..7) {
            let (delay, at) = (self.rng.u64(3_000..STORM), self.rng.usize(0..PROCESSES));
            self.after(delay, Event::Stall(at));
        }
        for _ in 0..self.rng.usize(0..9) {
            let delay = self.rng.u64(5_000..STORM);
            self.after(delay, Event::Operate);
        }
        self.until_the_end().await?;
        oracle::audit(&self.rows).await?;
        self.oracle.at_the_end(&self.rows).await
    }

    async fn until_the_end(&mut self) -> Result<(), String> {
        while let Some(((moment, _), event)) = self.events.pop_first() {
            if moment > self.now() {
                tokio::time::advance(Duration::from_millis(moment - self.now())).await;
            }
            if self.now() >= STORM && !self.calm {
                self.settle_down().await?;
            }
            self.handle(event).await?;
            self.handled += 1;
            if self.handled.is_multiple_of(48) {
                oracle::audit(&self.rows).await?;
                if self.calm && self.oracle.unfinished(&self.rows).await?.is_empty() {
                    return Ok(());
                }
            }
            if self.now() > CALM {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The faults end: what is down comes up, what is paused goes on.
    async fn settle_down(&mut self) -> Result<(), String> {
        self.calm = true;
        self.store.calm();
        for at in 0..PROCESSES {
            if self.processes[at].is_none() {
                self.after(0, Event::Boot(at));
            }
        }
        for (uuid, state) in self.oracle.unfinished(&self.rows).await? {
            if state == TaskState::Paused {
                let operation = crate::orchestration::store::Operation {
                    task_uuid: uuid,
                    kind: OperationKind::Resume,
                    process: Uuid::nil(),
                };
                let resumed = self.rows.operate(vec![operation]).await;
                resumed.map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    async fn handle(&mut self, event: Event) -> Result<(), String> {
        if let Some(until) = self.stalled(&event) {
            let delay = until.saturating_sub(self.now()) + self.rng.u64(0..500);
            self.after(delay, event);
            return Ok(());
        }
        match event {
            Event::Boot(at) => self.boot(at).await,
            Event::Crash(at) => {
                self.crash(at);
                Ok(())
            }
            Event::Stall(at) => {
                let until = self.now() + self.rng.u64(1_000..40_000);
                if !self.calm
                    && let Some(process) = &mut self.processes[at]
                {
                    process.stalled_until = until;
                    self.note(format_args!("{at} stalls until {until}"));
                }
                Ok(())
            }
            Event::Poll { at, life, again } => self.poll(at, life, again).await,
            Event::Sweep { at, life } => self.sweep(at, life).await,
            Event::Beat { at, life } => self.beat(at, life).await,
            Event::Finish { at, life, lease } => self.finish(at, life, lease).await,
            Event::Deliver { .. } => self.deliver(event).await,
            Event::Submit { number } => self.submit(number).await,
            Event::Operate => self.operate().await,
        }
    }

    /// Until when the process of an event does nothing.
    fn stalled(&self, event: &Event) -> Option<u64> {
        let at = match event {
            Event::Poll { at, .. }
            | Event::Sweep { at, .. }
            | Event::Beat { at, .. }
            | Event::Finish { at, .. } => *at,
            // What is on its way arrives.
            _ => return None,
        };
        let until = self.processes[at].as_ref()?.stalled_until;
        (until > self.now()).then_some(until)
    }

    pub(super) fn lives(&self, at: usize, life: u32) -> bool {
        self.lives[at] == life && self.processes[at].is_some()
    }

    async fn boot(&mut self, at: usize) -> Result<(), String> {
        if self.processes[at].is_some() {
            return Ok(());
        }
        self.lives[at] += 1;
        let (life, seed) = (self.lives[at], self.rng.u64(..));
        let id = Uuid::from_u64_pair(u64::try_from(at).unwrap_or(0) + 1, u64::from(life));
        let store: Arc<dyn Store> = Arc::<FaultyStore>::clone(&self.store);
        let process = Process::new(id, store, seed)?;
        let registration = process.context.registration(ClaimMode::Any);
        if process
            .context
            .store()
            .register_process(registration)
            .await
            .is_err()
        {
            self.after(1_000, Event::Boot(at));
            return Ok(());
        }
        self.processes[at] = Some(process);
        self.note(format_args!("{at} starts as {life}"));
        self.after(0, Event::Sweep { at, life });
        self.after(
            0,
            Event::Poll {
                at,
                life,
                again: true,
            },
        );
        self.after(5_000, Event::Beat { at, life });
        Ok(())
    }

    /// Everything in it is gone; of what was on its way to the database, some arrives.
    fn crash(&mut self, at: usize) {
        if self.calm {
            return;
        }
        let Some(process) = self.processes[at].take() else {
            return;
        };
        self.dead.push(process.context.process());
        self.note(format_args!("{at} crashes"));
        let lost: Vec<(u64, u64)> = self
            .events
            .iter()
            .filter(|(_, event)| matches!(event, Event::Deliver { at: of, .. } if *of == at))
            .map(|(key, _)| *key)
            .collect();
        for key in lost {
            if self.rng.bool() {
                self.events.remove(&key);
            }
        }
        let delay = self.rng.u64(100..20_000);
        self.after(delay, Event::Boot(at));
    }

    async fn poll(&mut self, at: usize, life: u32, again: bool) -> Result<(), String> {
        if !self.lives(at, life) {
            return Ok(());
        }
        if again {
            let jitter = self.rng.u64(0..200);
            self.after(2_000 + jitter, Event::Poll { at, life, again });
        }
        let Some(process) = &mut self.processes[at] else {
            return Ok(());
        };
        let free = process.free();
        if free == 0 {
            return Ok(());
        }
        let Ok(claims) = process.enqueuer.claim(free).await else {
            return Ok(());
        };
        self.begin(at, life, claims.steps).await?;
        if let Some(due) = claims.next_due {
            let delay = u64::try_from(due.as_millis()).unwrap_or(0) + 1;
            self.after(
                delay,
                Event::Poll {
                    at,
                    life,
                    again: false,
                },
            );
        }
        Ok(())
    }

    /// Runs claimed steps.
    pub(super) async fn begin(
        &mut self,
        at: usize,
        life: u32,
        steps: Vec<ClaimedStep>,
    ) -> Result<(), String> {
        let mut begun = Vec::new();
        for step in steps {
            self.oracle.claimed(&step, &self.rows).await?;
            let lease = step.lease();
            if let Some(process) = &mut self.processes[at] {
                let token = process.context.running().begin(lease);
                process.running.insert(lease, (Arc::new(step), token));
                begun.push(lease);
            }
        }
        for lease in begun {
            self.note(format_args!(
                "{at} runs {} @{}",
                step_name(lease),
                lease.epoch
            ));
            // Now and then for longer than a lease.
            let takes = match self.rng.u8(0..6) {
                0 => self.rng.u64(5_000..40_000),
                _ => self.rng.u64(1..2_000),
            };
            self.after(takes, Event::Finish { at, life, lease });
        }
        Ok(())
    }

    async fn sweep(&mut self, at: usize, life: u32) -> Result<(), String> {
        if !self.lives(at, life) {
            return Ok(());
        }
        self.after(5_000, Event::Sweep { at, life });
        // Processes on the same host may know that another one is dead before its leases run out.
        let dead = self.rng.choice(&self.dead).copied();
        let known = dead.filter(|_| self.rng.u8(0..4) == 0);
        let before = oracle::running(&self.rows).await?;
        let Some(process) = &mut self.processes[at] else {
            return Ok(());
        };
        let rescued = match known {
            None => process.finalizer.sweep().await.map(|swept| swept.report),
            Some(dead) => {
                let config = process.context.config();
                let request = SweepRequest {
                    process: process.context.process(),
                    dead: vec![dead],
                    max_lost_leases: config.max_lost_leases,
                    process_ttl: config.process_ttl,
                    limit: config.sweep_limit,
                };
                process.context.store().sweep(request).await
            }
        };
        let Ok(report) = rescued else {
            return Ok(());
        };
        let now = EPOCH + i64::try_from(self.now()).unwrap_or(i64::MAX);
        self.oracle
            .swept(&before, &report, known, now, &self.rows)
            .await?;
        if !report.rescued.is_empty() {
            let many = report.rescued.len();
            self.note(format_args!("{at} takes {many} steps back"));
            self.after(
                0,
                Event::Poll {
                    at,
                    life,
                    again: false,
                },
            );
        }
        Ok(())
    }

    async fn beat(&mut self, at: usize, life: u32) -> Result<(), String> {
        if !self.lives(at, life) {
            return Ok(());
        }
        self.after(5_000, Event::Beat { at, life });
        if let Some(process) = &mut self.processes[at] {
            let context = Arc::clone(&process.context);
            process.heart.beat(&context).await;
            // An interrupted handler ends at once.
            let stopped: Vec<Lease> = process
                .running
                .iter()
                .filter(|(_, (_, token))| token.is_cancelled())
                .map(|(lease, _)| *lease)
                .collect();
            for lease in stopped {
                self.after(0, Event::Finish { at, life, lease });
            }
        }
        Ok(())
    }
}

pub(super) fn step_name(lease: Lease) -> String {
    format!("{}/{}", lease.id.task_uuid.as_u128() >> 112, lease.id.index)
}
