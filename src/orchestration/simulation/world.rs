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
use crate::orchestration::lifecycle::{
    IdentityStrategy, ResultProcessor, StepExecutionResult, SubmitOptions, TaskRequest,
};
use crate::orchestration::state::{StepState, TaskState};
use crate::orchestration::store::memory::MemoryStore;
use crate::orchestration::store::{
    ClaimedStep, CompletionOutcome, Lease, OperationKind, OperationOutcome, StepFailure, Store,
    SweepRequest,
};
use crate::orchestration::template::TaskTemplate;

const PROCESSES: usize = 3;
/// Faults happen up to this moment (milliseconds).
const STORM: u64 = 60_000;
/// Then everything has to come to its end by this one.
const CALM: u64 = STORM + 600_000;
/// Where the clocks begin, in milliseconds since 1970.
const EPOCH: i64 = 1_700_000_000_000;

#[derive(Debug, Clone)]
enum Event {
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
    rng: Rng,
    rows: MemoryStore,
    store: Arc<FaultyStore>,
    started: Instant,
    events: BTreeMap<(u64, u64), Event>,
    processes: Vec<Option<Process>>,
    /// How often each process was started.
    lives: Vec<u32>,
    /// The ids of crashed processes.
    dead: Vec<Uuid>,
    shapes: Vec<Arc<TaskTemplate>>,
    oracle: Oracle,
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

    fn after(&mut self, delay: u64, event: Event) {
        let key = (self.now() + delay, self.rng.u64(..));
        self.events.insert(key, event);
    }

    fn note(&mut self, what: std::fmt::Arguments<'_>) {
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

    fn lives(&self, at: usize, life: u32) -> bool {
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
    async fn begin(&mut self, at: usize, life: u32, steps: Vec<ClaimedStep>) -> Result<(), String> {
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
        let Some(process) = &mut self.processes[at] else {
            return Ok(());
        };
        let rescued = match known {
            None => process.finalizer.sweep().await,
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
        if let Ok(report) = rescued
            && !report.rescued.is_empty()
        {
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

    async fn finish(&mut self, at: usize, life: u32, lease: Lease) -> Result<(), String> {
        if !self.lives(at, life) {
            return Ok(());
        }
        let Some(process) = &mut self.processes[at] else {
            return Ok(());
        };
        let Some((step, token)) = process.running.remove(&lease) else {
            return Ok(());
        };
        if token.is_cancelled() {
            let context = &process.context;
            // If this fails, the heartbeat finds that nobody works on it.
            let released = context
                .store()
                .release(context.process(), vec![lease])
                .await;
            context.running().end(lease);
            let what = if released.is_ok() {
                "gives back"
            } else {
                "drops"
            };
            self.note(format_args!(
                "{at} {what} {} @{}",
                step_name(lease),
                lease.epoch
            ));
            return Ok(());
        }
        let outcome = match self.rng.u8(0..10) {
            0 => Err(failure(false, None)),
            1..3 => Err(failure(true, None)),
            3 => Err(failure(
                true,
                Some(Duration::from_millis(self.rng.u64(0..9_000))),
            )),
            _ => Ok(format!("{}", lease.epoch)),
        };
        let result = StepExecutionResult {
            step,
            outcome,
            elapsed: Duration::from_millis(1),
        };
        let (carrier, sender) = (process.results.clone(), process.context.process());
        let deliver = |world: &mut Self, delay, copy| {
            let (carrier, result) = (carrier.clone(), result.clone());
            let event = Event::Deliver {
                at,
                life,
                carrier,
                sender,
                result,
                tries: 0,
                copy,
            };
            world.after(delay, event);
        };
        let delay = self.rng.u64(0..100);
        deliver(self, delay, false);
        if self.rng.u8(0..3) == 0 {
            let delay = self.rng.u64(0..20_000);
            deliver(self, delay, true);
        }
        Ok(())
    }

    async fn deliver(&mut self, event: Event) -> Result<(), String> {
        let Event::Deliver {
            at,
            life,
            carrier,
            sender,
            result,
            tries,
            copy,
        } = event
        else {
            return Ok(());
        };
        let lives = self.lives(at, life);
        let lease = result.step.lease();
        // From a process that is gone it arrives all the same: it was on its way.
        let before = oracle::steps(&self.rows, lease.id.task_uuid).await?;
        // The place of the step that ends takes the next one at once.
        let room = usize::from(lives && !copy);
        let verdict = carrier.process(vec![result.clone()], room).await;
        let answer = verdict.answers.into_iter().next();
        let row = &before[lease.id.index as usize];
        let (held, holder, epoch) = (row.state == StepState::Running, row.owner, row.epoch);
        match answer {
            Some(Ok(CompletionOutcome::Recorded {
                step_state,
                task_state,
                ..
            })) => {
                self.note(format_args!(
                    "{at} records {} @{}: {step_state}, task {task_state}",
                    step_name(lease),
                    lease.epoch
                ));
                if !(held && epoch == lease.epoch && holder == Some(sender)) {
                    return Err(format!("{lease:?} of {sender:?} was recorded over {row:?}"));
                }
            }
            Some(Ok(other)) => {
                let what = matches!(other, CompletionOutcome::Stale { .. });
                self.note(format_args!(
                    "{at} {} @{}: stale {what}",
                    step_name(lease),
                    lease.epoch
                ));
            }
            Some(Err(_)) if lives && !copy && tries < 3 => {
                let delay = 50 << tries;
                let tries = tries + 1;
                self.after(
                    delay,
                    Event::Deliver {
                        at,
                        life,
                        carrier,
                        sender,
                        result,
                        tries,
                        copy,
                    },
                );
                return Ok(());
            }
            Some(Err(_)) | None => {}
        }
        if lives
            && !copy
            && let Some(process) = &self.processes[at]
        {
            process.context.running().end(lease);
        }
        if lives {
            self.begin(at, life, verdict.claimed).await?;
        }
        if verdict.more_to_claim && lives {
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

    async fn submit(&mut self, number: usize) -> Result<(), String> {
        let at = self.rng.usize(0..PROCESSES);
        let options = SubmitOptions {
            identity: IdentityStrategy::Strict,
            priority: self.rng.i16(-1..2),
            task_uuid: Some(Uuid::from_u128(self.rng.u128(1..))),
            correlation_id: Some(Uuid::from_u128(7)),
            ..SubmitOptions::default()
        };
        let Some(process) = &mut self.processes[at] else {
            self.after(1_000, Event::Submit { number });
            return Ok(());
        };
        let request = TaskRequest {
            template: Arc::clone(&self.shapes[number]),
            input: serde_json::Value::Null,
            options,
        };
        let prepared = process
            .requests
            .prepare(request)
            .map_err(|error| error.to_string())?;
        let answer = process.initializer.initialize(vec![prepared]).await;
        let answer = answer.answers.into_iter().next();
        match answer {
            Some(Ok(receipt)) => {
                let uuid = receipt.task_uuid;
                self.note(format_args!("{at} stores shape {number} as {uuid}"));
                self.oracle.acknowledged.insert(uuid);
                if self.oracle.acknowledged.len() > self.shapes.len() {
                    return Err(format!("shape {number} became more than one task"));
                }
                let life = self.lives[at];
                self.after(
                    0,
                    Event::Poll {
                        at,
                        life,
                        again: false,
                    },
                );
            }
            // Whoever asked asks again.
            _ => self.after(1_000, Event::Submit { number }),
        }
        Ok(())
    }

    async fn operate(&mut self) -> Result<(), String> {
        let Some(&uuid) = self.rng.choice(&self.oracle.acknowledged) else {
            return Ok(());
        };
        let at = self.rng.usize(0..PROCESSES);
        let step = self.rng.u32(0..6);
        let reason = || "simulated".to_owned();
        let kind = match self.rng.u8(0..12) {
            0 => OperationKind::Cancel { reason: reason() },
            1..4 => OperationKind::Pause { reason: reason() },
            4..6 => OperationKind::Resume,
            6..8 => OperationKind::Retry,
            8 => OperationKind::ResolveStep {
                step,
                reason: reason(),
            },
            9 => OperationKind::CompleteStep {
                step,
                result_json: "0".into(),
            },
            _ => OperationKind::Rerun { from: step },
        };
        let Some(process) = &mut self.processes[at] else {
            return Ok(());
        };
        let operations = vec![(uuid, kind.clone())];
        if let Some(Ok(outcome)) = process.finalizer.operate(operations).await.pop() {
            let life = self.lives[at];
            self.note(format_args!("{at} {kind:?} {uuid}: {outcome:?}"));
            if matches!(outcome, OperationOutcome::Applied { .. }) {
                self.after(
                    0,
                    Event::Poll {
                        at,
                        life,
                        again: false,
                    },
                );
            }
        }
        Ok(())
    }
}

fn failure(retryable: bool, retry_after: Option<Duration>) -> StepFailure {
    StepFailure {
        kind: "error".into(),
        message: "simulated".into(),
        retryable,
        retry_after,
    }
}

fn step_name(lease: Lease) -> String {
    format!("{}/{}", lease.id.task_uuid.as_u128() >> 112, lease.id.index)
}
