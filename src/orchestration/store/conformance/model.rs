//! Random work, held against a model that is slow and plain: it keeps no counters and no indexes, and works
//! everything out anew from the steps.

#[path = "model_operations.rs"]
mod operations;

use std::time::Duration;

use uuid::Uuid;

use super::subject::{LONG, Subject, WORK, failure};
use crate::orchestration::state::{FailurePolicy, StepState as S, TaskState as T};
use crate::orchestration::store::{
    ClaimRequest, ClaimedStep, Completion, CompletionOutcome, NewStep, NewTask, OperationKind,
    OperationOutcome, StepOutcome,
};

const MAX_LOST: u32 = 2;

#[derive(Clone, Debug)]
struct Step {
    name: String,
    parents: Vec<usize>,
    max_attempts: u32,
    state: S,
    attempts: u32,
    lost: u32,
    epoch: u64,
    owner: Option<Uuid>,
    result: Option<String>,
}

#[derive(Debug)]
struct Task {
    uuid: Uuid,
    priority: i16,
    policy: FailurePolicy,
    state: T,
    run: u32,
    steps: Vec<Step>,
}

impl Task {
    fn unmet(&self, index: usize) -> usize {
        let done = |parent: &&usize| self.is_done(**parent);
        let parents = &self.steps[index].parents;
        parents.len() - parents.iter().filter(done).count()
    }

    fn is_done(&self, index: usize) -> bool {
        matches!(self.steps[index].state, S::Complete | S::ResolvedManually)
    }

    fn any(&self, state: S) -> bool {
        self.steps.iter().any(|step| step.state == state)
    }

    /// Whether it starts nothing more.
    fn stops(&self) -> bool {
        self.policy == FailurePolicy::FailFast && self.any(S::Failed)
    }

    fn ready_what_is_met(&mut self) {
        for index in 0..self.steps.len() {
            if self.steps[index].state == S::Pending && self.unmet(index) == 0 {
                self.steps[index].state = S::Ready;
            }
        }
    }

    /// Works out what follows from the steps.
    fn follow(&mut self) {
        if self.state.is_terminal() {
            return;
        }
        self.ready_what_is_met();
        if self.stops() {
            for step in &mut self.steps {
                if matches!(step.state, S::Pending | S::Ready | S::RetryWait) {
                    step.state = S::Cancelled;
                }
            }
        }
        self.state = if (0..self.steps.len()).all(|index| self.is_done(index)) {
            T::Complete
        } else if self.any(S::Ready) || self.any(S::Running) {
            match self.state {
                T::Pending | T::Paused => self.state,
                _ => T::Running,
            }
        } else if self.any(S::RetryWait) {
            match self.state {
                T::Paused => T::Paused,
                _ => T::Waiting,
            }
        } else if self.any(S::Failed) {
            T::Failed
        } else {
            T::Cancelled
        };
    }

    fn holds(&self, claimed: &ClaimedStep, process: Uuid) -> bool {
        let step = &self.steps[claimed.id.index as usize];
        step.state == S::Running && step.epoch == claimed.epoch && step.owner == Some(process)
    }
}

struct Run {
    rng: fastrand::Rng,
    processes: [Subject; 2],
    tasks: Vec<Task>,
    /// Everything ever claimed, also what is no longer held.
    claimed: Vec<(usize, ClaimedStep)>,
}

impl Run {
    fn task(&mut self, uuid: Uuid) -> &mut Task {
        self.tasks
            .iter_mut()
            .find(|task| task.uuid == uuid)
            .unwrap()
    }

    fn new_task(&mut self) -> NewTask {
        let count = self.rng.usize(1..9);
        let density = self.rng.f64() * 0.7;
        let mut new = super::subject::task(&[]);
        new.priority = self.rng.i16(-1..2);
        if self.rng.u8(0..3) == 0 {
            new.failure_policy = FailurePolicy::FailFast;
        }
        for index in 0..count {
            let parents: Vec<u32> = (0..index)
                .filter(|_| self.rng.f64() < density)
                .map(|parent| u32::try_from(parent).unwrap())
                .collect();
            new.steps.push(NewStep {
                name: format!("step {index}"),
                callable: WORK.into(),
                parents,
                max_attempts: self.rng.u32(1..4),
            });
        }
        new
    }

    /// Who claims, and how much.
    fn request(&mut self) -> (usize, ClaimRequest) {
        let who = self.rng.usize(0..2);
        let limit = self.rng.u32(1..6);
        (who, self.processes[who].request(limit))
    }

    /// Now and then with a claim.
    async fn submit(&mut self) {
        let new = self.new_task();
        let model = model_of(&new);
        if self.rng.bool() {
            self.processes[0].submit_task(new).await;
            self.tasks.push(model);
            return;
        }
        let (who, request) = self.request();
        let limit = request.limit;
        let store = &self.processes[0].store;
        let (_, steps) = store.submit_and_claim(vec![new], request).await.unwrap();
        self.tasks.push(model);
        self.took(who, limit, steps);
    }

    async fn claim(&mut self) {
        let (who, request) = self.request();
        let limit = request.limit;
        let steps = self.processes[who].claim(limit).await;
        self.took(who, limit, steps);
    }

    /// A claim has brought these: the first that could run.
    fn took(&mut self, who: usize, limit: u32, steps: Vec<ClaimedStep>) {
        let process = self.processes[who].process;
        let mut turns: Vec<(i16, usize, usize)> = Vec::new();
        for (number, task) in self.tasks.iter().enumerate() {
            for (index, step) in task.steps.iter().enumerate() {
                let claimable = !task.state.is_terminal() && task.state != T::Paused;
                if claimable && matches!(step.state, S::Ready | S::RetryWait) {
                    turns.push((-task.priority, number, index));
                }
            }
        }
        turns.sort_unstable();
        turns.truncate(limit as usize);
        assert_eq!(steps.len(), turns.len());
        for (step, (_, number, index)) in steps.into_iter().zip(turns) {
            let task = &mut self.tasks[number];
            assert_eq!(
                (step.id.task_uuid, step.id.index as usize),
                (task.uuid, index)
            );
            let parents = step.parents.iter().map(|it| (&*it.name, &*it.result_json));
            let expected = task.steps[index].parents.iter().map(|&parent| {
                let result = task.steps[parent].result.as_deref();
                (task.steps[parent].name.as_str(), result.unwrap_or("null"))
            });
            assert!(parents.eq(expected), "{:?} of {task:?}", step.parents);
            task.state = T::Running;
            let model = &mut task.steps[index];
            model.state = S::Running;
            model.attempts += 1;
            model.epoch += 1;
            model.owner = Some(process);
            assert_eq!((step.attempt, step.epoch), (model.attempts, model.epoch));
            self.claimed.push((who, step));
        }
    }

    /// Several outcomes: of steps that are held, and of ones that were held once.
    fn completions(&mut self) -> Vec<(ClaimedStep, Completion)> {
        if self.claimed.is_empty() {
            return Vec::new();
        }
        let who = self.rng.usize(0..2);
        let process = self.processes[who].process;
        let mut chosen = Vec::new();
        for _ in 0..self.rng.usize(1..5) {
            // Mostly recent ones, which are mostly still held.
            let recent = self.claimed.len().saturating_sub(8);
            let from = if self.rng.f64() < 0.8 { recent } else { 0 };
            let (_, step) = self.claimed[self.rng.usize(from..self.claimed.len())].clone();
            let outcome = match self.rng.u8(0..10) {
                0..6 => StepOutcome::Success {
                    result_json: self.rng.u16(..).to_string(),
                },
                6..9 => StepOutcome::Failure {
                    failure: failure("x"),
                    retry_in: Some(Duration::ZERO),
                },
                _ => StepOutcome::Failure {
                    failure: failure("x"),
                    retry_in: None,
                },
            };
            let completion = Completion {
                lease: step.lease(),
                process,
                outcome,
                elapsed: Duration::ZERO,
            };
            chosen.push((step, completion));
        }
        chosen
    }

    /// Completes several steps in one batch, now and then with a claim.
    async fn complete(&mut self) {
        let chosen = self.completions();
        let batch = chosen.iter().map(|(_, it)| it.clone()).collect();
        let store = &self.processes[0].store;
        if self.rng.bool() {
            let answers = store.complete(batch).await.unwrap();
            self.were_completed(&chosen, answers);
            return;
        }
        let (who, request) = self.request();
        let limit = request.limit;
        let store = &self.processes[0].store;
        let (answers, steps) = store.complete_and_claim(batch, request).await.unwrap();
        self.were_completed(&chosen, answers);
        self.took(who, limit, steps);
    }

    /// Completes and submits, at once if the store has one writer; a claim that comes with the second sees what both
    /// have done. Beside each other they may see what they like of each other.
    async fn complete_and_submit(&mut self) {
        let chosen = self.completions();
        let batch = chosen.iter().map(|(_, it)| it.clone()).collect();
        let new = self.new_task();
        let model = model_of(&new);
        let (who, request) = self.request();
        let limit = request.limit;
        let completes_first = self.rng.bool();
        let store = &self.processes[0].store;
        let at_once = store.writers() == 1;
        let (answers, steps) = if completes_first {
            let complete = store.complete(batch);
            let submit = store.submit_and_claim(vec![new], request);
            let (answers, submitted) = both(at_once, complete, submit).await;
            (answers.unwrap(), submitted.unwrap().1)
        } else {
            let submit = store.submit(vec![new]);
            let complete = store.complete_and_claim(batch, request);
            both(at_once, submit, complete).await.1.unwrap()
        };
        self.were_completed(&chosen, answers);
        self.tasks.push(model);
        self.took(who, limit, steps);
    }

    fn were_completed(
        &mut self,
        chosen: &[(ClaimedStep, Completion)],
        answers: Vec<CompletionOutcome>,
    ) {
        assert_eq!(answers.len(), chosen.len());
        for ((step, completion), answer) in chosen.iter().zip(answers) {
            let expected = self.expect(step, &completion.outcome, completion.process);
            assert_eq!(answer, expected);
        }
    }

    fn expect(
        &mut self,
        claimed: &ClaimedStep,
        outcome: &StepOutcome,
        by: Uuid,
    ) -> CompletionOutcome {
        let task = self.task(claimed.id.task_uuid);
        let index = claimed.id.index as usize;
        if !task.holds(claimed, by) {
            return CompletionOutcome::Stale {
                step_state: task.steps[index].state,
                epoch: task.steps[index].epoch,
            };
        }
        let stopped = task.stops();
        let step = &mut task.steps[index];
        step.owner = None;
        if let StepOutcome::Success { result_json } = outcome {
            step.result = Some(result_json.clone());
        }
        step.state = match outcome {
            StepOutcome::Success { .. } => S::Complete,
            StepOutcome::Failure {
                retry_in: Some(_), ..
            } if step.attempts < step.max_attempts => {
                if stopped {
                    S::Cancelled
                } else {
                    S::RetryWait
                }
            }
            StepOutcome::Failure { .. } => S::Failed,
        };
        let step_state = step.state;
        let ready = |task: &Task| {
            task.steps
                .iter()
                .filter(|step| step.state == S::Ready)
                .count()
        };
        let before = ready(task);
        if !stopped {
            task.ready_what_is_met();
        }
        let newly_ready = ready(task) - before;
        task.follow();
        CompletionOutcome::Recorded {
            step_state,
            task_state: task.state,
            newly_ready: u32::try_from(newly_ready).unwrap(),
            finalised: task.state.is_terminal(),
            stops: task.stops(),
        }
    }

    async fn release(&mut self) {
        let Some((who, step)) = self.rng.choice(&self.claimed).cloned() else {
            return;
        };
        let process = self.processes[who].process;
        let released = self.processes[who]
            .store
            .release(process, vec![step.lease()])
            .await;
        let task = self.task(step.id.task_uuid);
        let held = task.holds(&step, process);
        assert_eq!(released.unwrap(), u32::from(held));
        if held {
            let step = &mut task.steps[step.id.index as usize];
            step.state = S::Ready;
            step.owner = None;
            step.attempts -= 1;
            task.follow();
        }
    }

    /// One of the two processes is said to be dead.
    async fn sweep(&mut self) {
        let who = self.rng.usize(0..2);
        let dead = self.processes[who].process;
        let mut request = self.processes[1 - who].sweep_request(&[dead]);
        request.max_lost_leases = MAX_LOST;
        request.limit = 10_000;
        let mut report = self.processes[0].store.sweep(request).await.unwrap();
        let (mut rescued, mut failed, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        for task in &mut self.tasks {
            for (index, step) in task.steps.iter_mut().enumerate() {
                if step.state != S::Running || step.owner != Some(dead) {
                    continue;
                }
                let id = (task.uuid, index);
                step.owner = None;
                step.attempts -= 1;
                step.lost += 1;
                if step.lost > MAX_LOST {
                    step.state = S::Failed;
                    failed.push(id);
                } else {
                    step.state = S::Ready;
                    rescued.push(id);
                }
            }
            let before = task.state;
            task.follow();
            if before != task.state && task.state.is_terminal() {
                ended.push((task.uuid, task.state));
            }
        }
        let told = |ids: &[crate::orchestration::store::StepId]| {
            let mut ids: Vec<_> = ids
                .iter()
                .map(|id| (id.task_uuid, id.index as usize))
                .collect();
            ids.sort_unstable();
            ids
        };
        rescued.sort_unstable();
        failed.sort_unstable();
        ended.sort_unstable();
        report.finalised.sort_unstable();
        assert_eq!(
            (told(&report.rescued), told(&report.failed)),
            (rescued, failed)
        );
        assert_eq!(report.finalised, ended);
        assert_eq!((report.blocked, report.unblocked), (Vec::new(), Vec::new()));
    }

    async fn operate(&mut self) {
        let number = self.rng.usize(0..self.tasks.len());
        let step = self
            .rng
            .u32(0..u32::try_from(self.tasks[number].steps.len()).unwrap());
        let reason = || "x".to_owned();
        // Ending tasks often would leave little to look at.
        let kind = match self.rng.u8(0..40) {
            0..2 => OperationKind::Cancel { reason: reason() },
            2..4 => OperationKind::Resolve { reason: reason() },
            4..10 => OperationKind::Finalise,
            10..17 => OperationKind::Pause { reason: reason() },
            17..24 => OperationKind::Resume,
            24..29 => OperationKind::Retry,
            29..32 => OperationKind::ResolveStep {
                step,
                reason: reason(),
            },
            32..35 => OperationKind::CompleteStep {
                step,
                result_json: "2".into(),
            },
            _ => OperationKind::Rerun { from: step },
        };
        let task = &mut self.tasks[number];
        let expected = match operations::apply(task, &kind) {
            Ok(()) => OperationOutcome::Applied { state: task.state },
            Err(refusal) => refusal,
        };
        let uuid = task.uuid;
        let outcome = self.processes[0].operate(uuid, kind.clone()).await;
        assert_eq!(outcome, expected, "{kind:?}");
    }

    async fn compare(&self) {
        for task in &self.tasks {
            let record = self.processes[0].task(task.uuid).await;
            assert_eq!(
                (record.state, record.run),
                (task.state, task.run),
                "{task:?}"
            );
            let steps = self.processes[0].steps(task.uuid).await;
            for ((stored, step), index) in steps.iter().zip(&task.steps).zip(0..) {
                let stored_as = (
                    stored.state,
                    stored.attempts,
                    stored.epoch,
                    stored.lost_leases,
                );
                assert_eq!(
                    stored_as,
                    (step.state, step.attempts, step.epoch, step.lost)
                );
                assert_eq!(stored.owner, step.owner);
                assert_eq!(stored.unmet_dependencies as usize, task.unmet(index));
            }
        }
    }
}

/// Both, beside each other or one after the other.
async fn both<A: Future, B: Future>(at_once: bool, first: A, second: B) -> (A::Output, B::Output) {
    if at_once {
        tokio::join!(first, second)
    } else {
        (first.await, second.await)
    }
}

fn model_of(new: &NewTask) -> Task {
    let mut task = Task {
        uuid: new.task_uuid,
        priority: new.priority,
        policy: new.failure_policy,
        state: T::Pending,
        run: 1,
        steps: new
            .steps
            .iter()
            .map(|step| Step {
                name: step.name.clone(),
                parents: step.parents.iter().map(|parent| *parent as usize).collect(),
                max_attempts: step.max_attempts,
                state: S::Pending,
                attempts: 0,
                lost: 0,
                epoch: 0,
                owner: None,
                result: None,
            })
            .collect(),
    };
    task.follow();
    task
}

/// Twelve runs of random submissions, claims, outcomes, releases, deaths and operations; at the end
/// everything is driven to its end.
pub async fn random_work_does_what_the_model_says(subject: Subject) {
    let first = fastrand::u64(..);
    let other = subject.another().await;
    for seed in (0..12).map(|number| first.wrapping_add(number)) {
        println!("seed {seed}");
        let mut run = Run {
            rng: fastrand::Rng::with_seed(seed),
            processes: [subject.clone(), other.clone()],
            tasks: Vec::new(),
            claimed: Vec::new(),
        };
        run.submit().await;
        for _ in 0..60 {
            match run.rng.u8(0..100) {
                0..8 => run.submit().await,
                8..45 => run.claim().await,
                45..72 => run.complete().await,
                72..80 => run.complete_and_submit().await,
                80..86 => run.release().await,
                86..92 => run.sweep().await,
                92..94 => drop(
                    subject
                        .store
                        .heartbeat(subject.process, LONG)
                        .await
                        .unwrap(),
                ),
                _ => run.operate().await,
            }
            run.compare().await;
        }
        run.drive_to_the_end().await;
        run.compare().await;
        let violations = subject.store.audit().await.unwrap();
        assert_eq!(violations, Vec::<String>::new());
    }
}

impl Run {
    /// Everything goes on, everybody dies, and one process succeeds with all that is left.
    async fn drive_to_the_end(&mut self) {
        for number in 0..self.tasks.len() {
            if self.tasks[number].state == T::Paused {
                operations::apply(&mut self.tasks[number], &OperationKind::Resume).unwrap();
                let uuid = self.tasks[number].uuid;
                self.processes[0].operate(uuid, OperationKind::Resume).await;
            }
        }
        for dead in [0, 1] {
            while self
                .tasks
                .iter()
                .flat_map(|task| &task.steps)
                .any(|step| step.owner == Some(self.processes[dead].process))
            {
                self.sweep().await;
            }
        }
        loop {
            let before = self.claimed.len();
            self.claim().await;
            if self.claimed.len() == before {
                break;
            }
            for number in before..self.claimed.len() {
                let (who, step) = self.claimed[number].clone();
                let process = self.processes[who].process;
                let completion = self.processes[who].success(&step);
                let answer = self.processes[who].complete(completion.clone()).await;
                assert_eq!(answer, self.expect(&step, &completion.outcome, process));
            }
        }
        assert!(self.tasks.iter().all(|task| task.state.is_terminal()));
    }
}
