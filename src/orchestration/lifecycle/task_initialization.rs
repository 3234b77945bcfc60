//! Stores prepared tasks, many in one commit.

use std::sync::Arc;

use super::task_request::{PreparedTask, SubmitError, TaskReceipt};
use crate::orchestration::context::SystemContext;
use crate::orchestration::store::Submission;

/// The logic of the task initializer actor.
#[derive(Debug, Clone)]
pub(crate) struct TaskInitializer {
    context: Arc<SystemContext>,
}

impl TaskInitializer {
    pub(crate) fn new(context: Arc<SystemContext>) -> Self {
        Self { context }
    }

    /// Stores the tasks; one answer for each, in order.
    pub(crate) async fn initialize(
        &self,
        prepared: Vec<PreparedTask>,
    ) -> Vec<Result<TaskReceipt, SubmitError>> {
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
        let answers = match self.context.store().submit(tasks).await {
            Ok(answers) => answers,
            Err(error) => {
                let error = Arc::new(error);
                return kept
                    .iter()
                    .map(|_| Err(SubmitError::Store(Arc::clone(&error))))
                    .collect();
            }
        };
        answers
            .into_iter()
            .zip(kept)
            .map(|(answer, (definition, key))| match answer {
                Ok(Submission::Created { task_uuid }) => {
                    self.context.definitions().insert(task_uuid, definition);
                    Ok(TaskReceipt {
                        task_uuid,
                        duplicate: None,
                    })
                }
                Ok(Submission::Duplicate {
                    task_uuid,
                    state,
                    same_content,
                }) => match key {
                    Some(key) if !same_content => Err(SubmitError::KeyConflict { key, task_uuid }),
                    _ => Ok(TaskReceipt {
                        task_uuid,
                        duplicate: Some(state),
                    }),
                },
                Err(error) => Err(SubmitError::Store(Arc::new(error))),
            })
            .collect()
    }
}
