//! The places for steps in this process: how many run at a time, and how a claimed step gets to run.
//!
//! Whoever claims takes places first and claims no more steps than it has places, so that nothing is claimed
//! that has to wait. A place is free again when the step's outcome is recorded (a slow database slows
//! claiming) and no thread of its handler goes on.
//!
//! No step is left lying: one who finds no place notes that, and whoever then frees a place nudges the step
//! enqueuer, which looks at the database for what could not be taken before.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::actor::Handle;
use crate::orchestration::actors::StepEnqueuerActor;
use crate::orchestration::store::ClaimedStep;

/// Runs a claimed step in its place.
pub(super) type Start = dyn Fn(ClaimedStep, Place) + Send + Sync;

/// The places of this process, and the worker that runs steps in them.
pub(crate) struct Dispatcher {
    slots: Arc<Semaphore>,
    /// Somebody found no place.
    missed: AtomicBool,
    worker: Mutex<Option<Worker>>,
}

#[derive(Clone)]
struct Worker {
    start: Arc<Start>,
    enqueuer: Handle<StepEnqueuerActor>,
}

impl Dispatcher {
    pub(crate) fn new(concurrency: usize) -> Arc<Self> {
        Arc::new(Self {
            slots: Arc::new(Semaphore::new(concurrency)),
            missed: AtomicBool::new(false),
            worker: Mutex::default(),
        })
    }

    /// From now on steps are started in this way; before, and after [`close`](Self::close), there are no
    /// places.
    pub(super) fn open(
        &self,
        enqueuer: Handle<StepEnqueuerActor>,
        start: impl Fn(ClaimedStep, Place) + Send + Sync + 'static,
    ) {
        *self.lock() = Some(Worker {
            start: Arc::new(start),
            enqueuer,
        });
    }

    /// Nothing more is started.
    pub(super) fn close(&self) {
        *self.lock() = None;
    }

    /// Takes free places, at most so many; none while there is no worker.
    pub(crate) fn places(self: &Arc<Self>, most: usize) -> Vec<Place> {
        if most == 0 || self.lock().is_none() {
            return Vec::new();
        }
        let mut places = self.free(most);
        if places.is_empty() {
            // Noted before looking again: a place that is freed after this second look sees the note.
            self.missed.store(true, Ordering::SeqCst);
            places = self.free(most);
        }
        places
    }

    fn free(self: &Arc<Self>, most: usize) -> Vec<Place> {
        std::iter::from_fn(|| Arc::clone(&self.slots).try_acquire_owned().ok())
            .take(most)
            .map(|permit| Place {
                permit: Some(permit),
                dispatcher: Arc::clone(self),
            })
            .collect()
    }

    /// Starts claimed steps, each in a place; places left over are free again. Returns the steps that can no
    /// longer be started: their leases are to be given back.
    #[must_use]
    pub(crate) fn start(&self, steps: Vec<ClaimedStep>, places: Vec<Place>) -> Vec<ClaimedStep> {
        let Some(worker) = self.lock().clone() else {
            return steps;
        };
        let mut steps = steps.into_iter();
        for (place, step) in places.into_iter().zip(steps.by_ref()) {
            (worker.start)(step, place);
        }
        steps.collect()
    }

    /// Has somebody look for steps to claim, if there is a worker.
    pub(crate) fn nudge(&self) {
        if let Some(worker) = &*self.lock() {
            StepEnqueuerActor::nudge(&worker.enqueuer);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Worker>> {
        // Each critical section is a single move: there is no half-done state to fear.
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher")
            .field("free", &self.slots.available_permits())
            .finish_non_exhaustive()
    }
}

/// The right to run one step; free again when it is dropped.
pub(crate) struct Place {
    permit: Option<OwnedSemaphorePermit>,
    dispatcher: Arc<Dispatcher>,
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.permit.take());
        let dispatcher = &self.dispatcher;
        if dispatcher.missed.swap(false, Ordering::SeqCst) {
            dispatcher.nudge();
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}
