//! Leases and processes: renewed, given back, taken back; and who is blocked for want of a worker.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use uuid::Uuid;

use super::state::{Key, Process, State};
use crate::orchestration::state::{StepState, TaskState};
use crate::orchestration::store::workers::{TaskPlace, Workers};
use crate::orchestration::store::{
    Heartbeat, HistoryKind, HistoryRecord, Lease, ProcessRecord, ProcessRegistration, SweepReport,
    SweepRequest, settle,
};

impl State {
    pub(super) fn register_process(&mut self, registration: ProcessRegistration) {
        let heard_at = self.now();
        self.processes.insert(
            registration.process,
            Process {
                registration,
                heard_at,
            },
        );
    }

    pub(super) fn unregister_process(&mut self, process: Uuid) {
        let now = self.now();
        self.processes.remove(&process);
        for key in self.index.held_by(process).collect::<Vec<_>>() {
            self.give_back(key, now);
            self.settle(key.0, process, now);
        }
    }

    pub(super) fn processes(&self) -> Vec<ProcessRecord> {
        let now = self.now();
        self.processes
            .values()
            .map(|process| ProcessRecord {
                registration: process.registration.clone(),
                silent_ms: u64::try_from(now - process.heard_at).unwrap_or(0),
                leases: u32::try_from(self.index.held_by(process.registration.process).count())
                    .unwrap_or(u32::MAX),
            })
            .collect()
    }

    pub(super) fn heartbeat(&mut self, process: Uuid, lease: Duration) -> Heartbeat {
        let now = self.now();
        let known = self.processes.get_mut(&process);
        let registered = known.map(|known| known.heard_at = now).is_some();
        let held: Vec<Key> = self.index.held_by(process).collect();
        let until = now + settle::millis(lease);
        for &key in &held {
            self.change(key, |step| step.lease_until = Some(until));
        }
        let leases = |keys: &mut dyn Iterator<Item = &Key>| {
            keys.map(|&key| Lease {
                id: self.id(key),
                epoch: self.step(key).epoch,
            })
            .collect()
        };
        Heartbeat {
            held: leases(&mut held.iter()),
            stop: leases(&mut held.iter().filter(|key| self.stops(key.0))),
            registered,
        }
    }

    pub(super) fn release(&mut self, process: Uuid, leases: &[Lease]) -> u32 {
        let now = self.now();
        let mut released = 0;
        for lease in leases {
            if let Some(key) = self.key(lease.id)
                && self.holds(key, process, lease.epoch)
            {
                self.give_back(key, now);
                self.settle(key.0, process, now);
                released += 1;
            }
        }
        released
    }

    fn give_back(&mut self, key: Key, now: i64) {
        self.change(key, |step| {
            step.attempts = step.attempts.saturating_sub(1);
            step.end_attempt(StepState::Ready, now);
        });
    }

    pub(super) fn sweep(&mut self, request: &SweepRequest) -> SweepReport {
        let now = self.now();
        let mut report = SweepReport::default();
        let lost: BTreeSet<Key> = request
            .dead
            .iter()
            .flat_map(|process| self.index.held_by(*process))
            .chain(self.index.expired(now))
            .take(request.limit as usize)
            .collect();
        for &key in &lost {
            if self.rescue(key, request, now) {
                report.rescued.push(self.id(key));
            } else {
                report.failed.push(self.id(key));
            }
        }
        for number in lost.iter().map(|key| key.0).collect::<BTreeSet<_>>() {
            if let Some(end) = self.settle(number, request.process, now) {
                report.finalised.push((self.tasks[number].uuid, end));
            }
        }
        self.block_and_unblock(request, now, &mut report);
        self.forget_silent(request, now);
        report
    }

    /// Forgets processes that have been silent for long and hold nothing.
    fn forget_silent(&mut self, request: &SweepRequest, now: i64) {
        let patience = settle::millis(request.process_ttl * settle::FORGET_AFTER);
        let index = &self.index;
        self.processes.retain(|uuid, process| {
            now - process.heard_at < patience || index.held_by(*uuid).next().is_some()
        });
    }

    /// Takes a step back; returns whether it may run again.
    fn rescue(&mut self, key: Key, request: &SweepRequest, now: i64) -> bool {
        let before = self.step(key);
        let (owner, attempt) = (before.owner, before.attempts);
        self.change(key, |step| {
            step.attempts = step.attempts.saturating_sub(1);
            step.lost_leases += 1;
            if step.lost_leases > request.max_lost_leases {
                step.error = Some(settle::lease_lost_text(step.lost_leases));
                step.end_attempt(StepState::Failed, now);
            } else {
                step.end_attempt(StepState::Ready, now);
            }
        });
        let step = self.step(key);
        let rescued = step.state == StepState::Ready;
        let row = HistoryRecord {
            at: now,
            run: self.tasks[key.0].run,
            kind: HistoryKind::LeaseLost,
            step: Some(self.id(key).index),
            attempt: Some(attempt),
            epoch: Some(step.epoch),
            from: Some(StepState::Running.to_string()),
            to: Some(step.state.to_string()),
            process: Some(request.process),
            detail: Some(settle::lost_by(owner)),
            result_json: None,
        };
        self.tasks[key.0].history.push(row);
        rescued
    }

    fn block_and_unblock(&mut self, request: &SweepRequest, now: i64, report: &mut SweepReport) {
        let dead: HashSet<Uuid> = request.dead.iter().copied().collect();
        let ttl = settle::millis(request.process_ttl);
        let mut workers = Workers::default();
        for (uuid, process) in &self.processes {
            if now - process.heard_at < ttl && !dead.contains(uuid) {
                let registration = &process.registration;
                workers.add(
                    registration.callables.iter().cloned(),
                    registration.only_task,
                    &registration.serves,
                );
            }
        }
        for number in self.blocked.iter().copied().collect::<Vec<_>>() {
            if let Some(reason) = self.blocking(number, &workers, now) {
                self.tasks[number].reason = Some(reason);
            } else {
                let to = settle::unblocked(&self.tasks[number].counts);
                self.move_task(number, to, None, request.process, now);
                report.unblocked.push(self.tasks[number].uuid);
            }
        }
        let mut candidates = BTreeSet::new();
        for callable in self.index.callables() {
            if !workers.run_anywhere(&callable) {
                let due = self
                    .index
                    .retry_wait(&callable)
                    .take_while(|(due, _)| *due <= now);
                candidates.extend(self.index.ready(&callable).map(|(_, key)| key.0));
                candidates.extend(due.map(|(_, (_, key))| key.0));
            }
        }
        let mut left = request.limit;
        for number in candidates {
            if left == 0 {
                break;
            }
            let state = self.tasks[number].state;
            if state.is_claimable()
                && state != TaskState::Blocked
                && let Some(reason) = self.blocking(number, &workers, now)
            {
                self.move_task(
                    number,
                    TaskState::Blocked,
                    Some(reason),
                    request.process,
                    now,
                );
                report.blocked.push(self.tasks[number].uuid);
                left -= 1;
            }
        }
    }

    /// Why a task is blocked, if it is: it has something to run, runs nothing, and nobody can run it.
    fn blocking(&self, number: usize, workers: &Workers, now: i64) -> Option<String> {
        let task = &self.tasks[number];
        if task.counts.running > 0 {
            return None;
        }
        let place = TaskPlace {
            uuid: task.uuid,
            namespace: &task.namespace,
            name: &task.name,
            version: &task.version,
        };
        let mut missing = BTreeSet::new();
        for step in &task.steps {
            let due = step.due_at.is_some_and(|due| due <= now);
            if step.state == StepState::Ready || (step.state == StepState::RetryWait && due) {
                if workers.can_run(&place, &step.callable) {
                    return None;
                }
                missing.insert(&*step.callable);
            }
        }
        let missing: Vec<&str> = missing.into_iter().collect();
        (!missing.is_empty()).then(|| settle::blocked_reason(&missing))
    }
}
