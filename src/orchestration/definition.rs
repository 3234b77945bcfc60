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

/// The definitions of tasks that are under way, at most a given number of them.
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
    /// By their canonical JSON.
    templates: HashMap<String, Arc<TaskTemplate>>,
}

impl Cached {
    fn insert(&mut self, capacity: usize, task_uuid: Uuid, definition: Arc<Definition>) {
        if self.by_task.insert(task_uuid, definition).is_none() {
            self.order.push_back(task_uuid);
        }
        while self.by_task.len() > capacity {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.by_task.remove(&oldest);
        }
        if self.order.len() > 2 * capacity {
            // Of tasks that have been forgotten.
            let by_task = &self.by_task;
            self.order
                .retain(|task_uuid| by_task.contains_key(task_uuid));
        }
    }
}

impl Definitions {
    /// Templates that are kept parsed at most. A program has few.
    const TEMPLATES: usize = 64;

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
        if cached.by_task.len() < self.capacity {
            cached.insert(self.capacity, task_uuid, definition);
        }
    }

    /// The task has ended.
    pub(crate) fn forget(&self, task_uuid: Uuid) {
        self.lock().by_task.remove(&task_uuid);
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
