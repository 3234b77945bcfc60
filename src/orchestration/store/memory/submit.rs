//! Storing new tasks.

use std::sync::Arc;

use super::state::{State, Step, Task};
use crate::orchestration::state::StepCounts;
use crate::orchestration::store::{NewTask, StoreError, Submission, TaskDefinition, settle};

impl State {
    pub(super) fn submit(&mut self, new: NewTask) -> Result<Submission, StoreError> {
        if let Some(&number) = self.by_identity.get(&new.identity) {
            let task = &self.tasks[number];
            return Ok(Submission::Duplicate {
                task_uuid: task.uuid,
                state: task.state,
                same_content: task.content == new.content,
            });
        }
        settle::check(&new)?;
        if self.by_uuid.contains_key(&new.task_uuid) {
            return Err(StoreError::Invalid {
                task_uuid: new.task_uuid,
                problem: "another task has this id".to_owned(),
            });
        }
        let number = self.tasks.next_number();
        self.by_uuid.insert(new.task_uuid, number);
        self.by_identity.insert(new.identity, number);
        let mut children = vec![Vec::new(); new.steps.len()];
        for (index, step) in new.steps.iter().enumerate() {
            for &parent in &step.parents {
                children[parent as usize].push(index);
            }
        }
        let now = self.now();
        let later = new.run_at.filter(|at| *at > now);
        let steps: Vec<Step> = new
            .steps
            .into_iter()
            .zip(children)
            .map(|(step, children)| {
                (
                    settle::new_step(step.parents.is_empty(), later),
                    step,
                    children,
                )
            })
            .map(|((state, due_at), step, children)| Step {
                name: step.name,
                callable: Arc::from(step.callable),
                state,
                unmet: u32::try_from(step.parents.len()).unwrap_or(u32::MAX),
                parents: {
                    let mut parents = step.parents;
                    parents.sort_unstable();
                    parents
                },
                children,
                attempts: 0,
                max_attempts: step.max_attempts,
                lost_leases: 0,
                epoch: 0,
                owner: None,
                lease_until: None,
                due_at,
                started_at: None,
                ended_at: None,
                result: None,
                error: None,
            })
            .collect();
        for (index, step) in steps.iter().enumerate() {
            self.index.insert(new.priority, (number, index), step);
        }
        self.tasks.push(Task {
            uuid: new.task_uuid,
            content: new.content,
            namespace: new.namespace,
            name: new.name,
            version: new.version,
            definition: Arc::new(TaskDefinition {
                template_json: new.template_json,
                input_json: new.input_json,
            }),
            correlation_id: new.correlation_id,
            priority: new.priority,
            policy: new.failure_policy,
            identity: new.identity,
            state: settle::new_task(later),
            reason: None,
            run: 1,
            counts: steps.iter().map(|step| step.state).collect::<StepCounts>(),
            created_at: now,
            started_at: None,
            ended_at: None,
            steps,
            history: Vec::new(),
        });
        Ok(Submission::Created {
            task_uuid: new.task_uuid,
        })
    }
}
