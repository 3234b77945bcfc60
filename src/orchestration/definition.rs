//! The parsed templates and inputs of the tasks at hand, so that a task's template is parsed once and not for
//! each of its steps.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use uuid::Uuid;

use super::store::{Store, StoreError};
use super::template::TaskTemplate;

/// What a task runs with: its own copy of its template, and its input.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) template: Arc<TaskTemplate>,
    pub(crate) input_json: Arc<str>,
    /// Each step's `handler.initialization`, by position.
    pub(crate) configs: Vec<Arc<Value>>,
}

impl Definition {
    pub(crate) fn new(template: Arc<TaskTemplate>, input_json: Arc<str>) -> Self {
        let configs = template
            .steps()
            .iter()
            .map(|step| Arc::new(step.initialization().clone()))
            .collect();
        Self {
            template,
            input_json,
            configs,
        }
    }
}

/// The definitions of tasks that are under way: at most a given number of them, and of bytes.
///
/// Tasks of one template share it once it has been parsed, so that a definition that has to be read again costs
/// a read and no parsing.
#[derive(Debug)]
pub(crate) struct Definitions {
    capacity: usize,
    cached: Mutex<Cached>,
}

#[derive(Debug, Default)]
struct Cached {
    by_task: HashMap<Uuid, Arc<Definition>>,
    // Oldest first. First in, first out is enough: a task's steps follow one another closely.
    order: VecDeque<Uuid>,
    /// Of the inputs.
    bytes: usize,
    /// By their canonical JSON.
    templates: HashMap<String, Arc<TaskTemplate>>,
}

impl Cached {
    fn insert(&mut self, capacity: usize, task_uuid: Uuid, definition: Arc<Definition>) {
        self.bytes += definition.input_json.len();
        match self.by_task.insert(task_uuid, definition) {
            Some(replaced) => self.bytes -= replaced.input_json.len(),
            None => self.order.push_back(task_uuid),
        }
        while self.by_task.len() > capacity || self.bytes > Definitions::BYTES {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.remove(oldest);
        }
        if self.order.len() > 2 * capacity {
            // Of tasks that have been forgotten.
            let by_task = &self.by_task;
            self.order
                .retain(|task_uuid| by_task.contains_key(task_uuid));
        }
    }

    fn remove(&mut self, task_uuid: Uuid) {
        if let Some(definition) = self.by_task.remove(&task_uuid) {
            self.bytes -= definition.input_json.len();
        }
    }
}

impl Definitions {
    /// Templates that are kept parsed at most. A program has few.
    const TEMPLATES: usize = 64;

    /// Bytes of inputs that are kept at most: all tasks together may have much larger ones than memory.
    const BYTES: usize = 64 * 1024 * 1024;

    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            cached: Mutex::default(),
        }
    }

    /// Keeps the definition of a task whose steps start.
    pub(crate) fn insert(&self, task_uuid: Uuid, definition: Arc<Definition>) {
        self.lock().insert(self.capacity, task_uuid, definition);
    }

    /// Keeps the definition of a task whose steps may start much later, if there is room: it must not drive out
    /// those that run.
    pub(crate) fn offer(&self, task_uuid: Uuid, definition: Arc<Definition>) {
        let mut cached = self.lock();
        let bytes = cached.bytes + definition.input_json.len();
        if cached.by_task.len() < self.capacity && bytes <= Self::BYTES {
            cached.insert(self.capacity, task_uuid, definition);
        }
    }

    /// The task has ended.
    pub(crate) fn forget(&self, task_uuid: Uuid) {
        self.lock().remove(task_uuid);
    }

    fn lock(&self) -> MutexGuard<'_, Cached> {
        // Nothing inside the critical sections can panic half-way.
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stored template, parsed unless it was parsed before.
    fn template(&self, task_uuid: Uuid, json: String) -> Result<Arc<TaskTemplate>, StoreError> {
        if let Some(template) = self.lock().templates.get(&json) {
            return Ok(Arc::clone(template));
        }
        let template = TaskTemplate::from_json(&json).map_err(|problems| StoreError::Corrupt {
            what: format!("the stored template of task {task_uuid}: {problems}"),
        })?;
        let template = Arc::new(template);
        let mut cached = self.lock();
        if cached.templates.len() >= Self::TEMPLATES {
            cached.templates.clear();
        }
        cached.templates.insert(json, Arc::clone(&template));
        Ok(template)
    }

    /// The definition of a task, from memory or from the store.
    pub(crate) async fn get(
        &self,
        task_uuid: Uuid,
        store: &dyn Store,
    ) -> Result<Arc<Definition>, StoreError> {
        let cached = self.lock().by_task.get(&task_uuid).map(Arc::clone);
        if let Some(definition) = cached {
            return Ok(definition);
        }
        let stored = store
            .definition(task_uuid)
            .await?
            .ok_or_else(|| StoreError::Corrupt {
                what: format!("task {task_uuid} has steps but no definition"),
            })?;
        let template = self.template(task_uuid, stored.template_json.clone())?;
        let input_json = Arc::from(stored.input_json.as_str());
        let definition = Arc::new(Definition::new(template, input_json));
        self.insert(task_uuid, Arc::clone(&definition));
        Ok(definition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(bytes: usize) -> Arc<Definition> {
        let mut template = TaskTemplate::builder("t");
        template.step("only", "noop").add();
        let template = Arc::new(template.build().unwrap());
        Arc::new(Definition::new(template, "1".repeat(bytes).into()))
    }

    fn kept(definitions: &Definitions, tasks: &[Uuid]) -> Vec<bool> {
        let cached = definitions.lock();
        let kept = |task| cached.by_task.contains_key(task);
        tasks.iter().map(kept).collect()
    }

    #[test]
    fn no_more_tasks_are_kept_than_there_may_be() {
        let definitions = Definitions::new(2);
        let tasks = [1, 2, 3, 4].map(Uuid::from_u128);
        definitions.insert(tasks[0], definition(1));
        definitions.offer(tasks[1], definition(1));
        definitions.offer(tasks[2], definition(1));
        assert_eq!(kept(&definitions, &tasks), [true, true, false, false]);
        definitions.insert(tasks[3], definition(1));
        assert_eq!(kept(&definitions, &tasks), [false, true, false, true]);
        definitions.forget(tasks[1]);
        definitions.offer(tasks[2], definition(1));
        assert_eq!(kept(&definitions, &tasks), [false, false, true, true]);
    }

    #[test]
    fn no_more_of_inputs_is_kept_than_there_may_be() {
        let definitions = Definitions::new(100);
        let tasks = [1, 2, 3].map(Uuid::from_u128);
        let half = Definitions::BYTES / 2;
        definitions.insert(tasks[0], definition(half));
        definitions.insert(tasks[0], definition(half));
        definitions.offer(tasks[1], definition(half));
        definitions.offer(tasks[2], definition(1));
        assert_eq!(kept(&definitions, &tasks), [true, true, false]);
        definitions.insert(tasks[2], definition(1));
        assert_eq!(kept(&definitions, &tasks), [false, true, true]);
        definitions.forget(tasks[1]);
        definitions.forget(tasks[2]);
        assert_eq!(definitions.lock().bytes, 0);
    }
}
