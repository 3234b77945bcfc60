//! The parsed templates and inputs of the tasks at hand, so that a task's template is parsed once and not for
//! each of its steps.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

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

/// The definitions last used, at most a given number of them.
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
}

impl Definitions {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            cached: Mutex::default(),
        }
    }

    pub(crate) fn insert(&self, task_uuid: Uuid, definition: Arc<Definition>) {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.by_task.insert(task_uuid, definition).is_none() {
            cached.order.push_back(task_uuid);
        }
        while cached.order.len() > self.capacity {
            if let Some(oldest) = cached.order.pop_front() {
                cached.by_task.remove(&oldest);
            }
        }
    }

    /// The definition of a task, from memory or from the store.
    pub(crate) async fn get(
        &self,
        task_uuid: Uuid,
        store: &dyn Store,
    ) -> Result<Arc<Definition>, StoreError> {
        let cached = {
            let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
            cached.by_task.get(&task_uuid).map(Arc::clone)
        };
        if let Some(definition) = cached {
            return Ok(definition);
        }
        let stored = store
            .definition(task_uuid)
            .await?
            .ok_or_else(|| StoreError::Corrupt {
                what: format!("task {task_uuid} has steps but no definition"),
            })?;
        let template = TaskTemplate::from_json(&stored.template_json).map_err(|problems| {
            StoreError::Corrupt {
                what: format!("the stored template of task {task_uuid}: {problems}"),
            }
        })?;
        let definition = Arc::new(Definition::new(
            Arc::new(template),
            Arc::from(stored.input_json.as_str()),
        ));
        self.insert(task_uuid, Arc::clone(&definition));
        Ok(definition)
    }
}
