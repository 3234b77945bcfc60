//! Stores prepared tasks, many in one commit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::task_request::{PreparedTask, SubmitError, TaskReceipt};
use crate::orchestration::context::SystemContext;
use crate::orchestration::store::{NewTask, Submission};

/// What became of a batch of new tasks.
#[derive(Debug)]
pub(crate) struct Initialized {
    /// One for each, in order.
    pub(crate) answers: Vec<Result<TaskReceipt, SubmitError>>,
    /// Whether some of their first steps are still to be claimed.
    pub(crate) more_to_claim: bool,
}

/// The logic of the task initializer actor.
#[derive(Debug, Clone)]
pub(crate) struct TaskInitializer {
    context: Arc<SystemContext>,
}

impl TaskInitializer {
    pub(crate) fn new(context: Arc<SystemContext>) -> Self {
        Self { context }
    }

    /// Stores the tasks, and starts their first steps as far as there is room.
    pub(crate) async fn initialize(&self, prepared: Vec<PreparedTask>) -> Initialized {
        let mut tasks = Vec::with_capacity(prepared.len());
        let mut kept = Vec::with_capacity(prepared.len());
        for PreparedTask {
            task,
            definition,
            key,
        } in prepared
        {
            kept.push((definition, key));
            tasks.push(task);
        }
        let first: HashMap<Uuid, usize> = tasks
            .iter()
            .map(|task| (task.task_uuid, self.first_steps(task)))
            .collect();
        let places = self.context.dispatcher().places(first.values().sum());
        let store = self.context.store();
        let stored = match self.context.claim_request(places.len()) {
            Some(claim) => store.submit_and_claim(tasks, claim).await,
            None => store
                .submit(tasks)
                .await
                .map(|answers| (answers, Vec::new())),
        };
        let (answers, claimed) = match stored {
            Ok(stored) => stored,
            Err(error) => {
                let error = Arc::new(error);
                return Initialized {
                    answers: kept
                        .iter()
                        .map(|_| Err(SubmitError::Store(Arc::clone(&error))))
                        .collect(),
                    more_to_claim: false,
                };
            }
        };
        let started: HashSet<Uuid> = claimed.iter().map(|step| step.id.task_uuid).collect();
        let mut left = 0;
        let answers = answers
            .into_iter()
            .zip(kept)
            .map(|(answer, (definition, key))| {
                if let Ok(Submission::Created { task_uuid }) = answer {
                    let definitions = self.context.definitions();
                    if started.contains(&task_uuid) {
                        definitions.insert(task_uuid, definition);
                    } else {
                        definitions.offer(task_uuid, definition);
                    }
                    left += first.get(&task_uuid).copied().unwrap_or(0);
                }
                TaskReceipt::of(answer, key)
            })
            .collect();
        let ours = claimed
            .iter()
            .filter(|step| first.contains_key(&step.id.task_uuid));
        let more_to_claim = ours.count() < left;
        self.context.start_steps(claimed, places).await;
        Initialized {
            answers,
            more_to_claim,
        }
    }

    /// How many steps of a task could run here as soon as it is stored.
    fn first_steps(&self, task: &NewTask) -> usize {
        let handlers = self.context.handlers();
        task.steps
            .iter()
            .filter(|step| step.parents.is_empty() && handlers.get(&step.callable).is_some())
            .count()
    }
}
