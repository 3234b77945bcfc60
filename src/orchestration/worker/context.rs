//! What a handler is told about the step it runs.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::StepError;
use super::decode::{decode, decode_value};
use super::joined::Joined;
use crate::orchestration::store::ClaimedStep;

/// One attempt of one step, as everything around the handler sees it.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) claimed: Arc<ClaimedStep>,
    pub(crate) input_json: Arc<str>,
    pub(crate) config: Arc<Value>,
    pub(crate) cancellation: CancellationToken,
    /// Results beyond this many bytes of JSON are refused.
    pub(crate) max_result: usize,
    /// Who holds the lease.
    pub(crate) process: Uuid,
    pub(crate) started: Instant,
    pub(crate) joined: Joined,
}

/// What a handler is told about the step it runs: which one, which attempt, its parents' results, when to
/// stop, and the state it shares with other handlers (`S`).
pub struct StepContext<S = ()> {
    attempt: Arc<Attempt>,
    state: Arc<S>,
}

impl<S> StepContext<S> {
    pub(super) fn new(attempt: Arc<Attempt>, state: Arc<S>) -> Self {
        Self { attempt, state }
    }

    /// The task that the step belongs to.
    pub fn task_uuid(&self) -> Uuid {
        self.attempt.claimed.id.task_uuid
    }

    /// The step's name in its template.
    pub fn step_name(&self) -> &str {
        &self.attempt.claimed.name
    }

    /// Which attempt this is; 1 for the first.
    pub fn attempt(&self) -> u32 {
        self.attempt.claimed.attempt
    }

    /// How many attempts the step may use up.
    pub fn max_attempts(&self) -> u32 {
        self.attempt.claimed.max_attempts
    }

    /// The fencing token: it rises whenever the step is claimed anew or touched by an operator, and never
    /// falls.
    ///
    /// A handler whose process was thought dead may still be running when another process runs the step
    /// again. A side effect that must not be doubled is guarded by this number: let its receiver remember the
    /// highest epoch seen for `(task_uuid, step_name)` and refuse lower ones.
    pub fn epoch(&self) -> u64 {
        self.attempt.claimed.epoch
    }

    /// Carried by every row, span and log line of the task.
    pub fn correlation_id(&self) -> Uuid {
        self.attempt.claimed.correlation_id
    }

    /// The task's input, decoded. `()` accepts any input, and no input (`null`) also stands for `{}`.
    ///
    /// # Errors
    ///
    /// A permanent [`StepError`] of kind `input` if the input is not a `T`.
    pub fn input<T: DeserializeOwned + 'static>(&self) -> Result<T, StepError> {
        self.attempt.input()
    }

    /// The task's input as JSON text.
    pub fn input_json(&self) -> &str {
        &self.attempt.input_json
    }

    /// What the template says in the step's `handler.initialization`, decoded. Nothing there also stands for
    /// `{}`.
    ///
    /// # Errors
    ///
    /// A permanent [`StepError`] of kind `config` if it is not a `T`.
    pub fn config<T: DeserializeOwned + 'static>(&self) -> Result<T, StepError> {
        decode_value(&self.attempt.config).map_err(|error| {
            let step = self.step_name();
            StepError::permanent(format!(
                "handler.initialization of step \"{step}\": {error}"
            ))
            .with_kind("config")
        })
    }

    /// The result of a direct parent, decoded; `null` if it returned nothing.
    ///
    /// # Errors
    ///
    /// A permanent [`StepError`] of kind `parent` if the step does not depend on `name`, or the result is not
    /// a `T`.
    pub fn parent<T: DeserializeOwned + 'static>(&self, name: &str) -> Result<T, StepError> {
        let step = self.step_name();
        let Some((_, json)) = self.parents().find(|(parent, _)| *parent == name) else {
            return Err(StepError::permanent(format!(
                "step \"{step}\" asks for the result of \"{name}\", on which it does not depend"
            ))
            .with_kind("parent"));
        };
        decode(json).map_err(|error| {
            StepError::permanent(format!(
                "the result of \"{name}\" does not fit step \"{step}\": {error}"
            ))
            .with_kind("parent")
        })
    }

    /// Name and result (JSON text) of every direct parent, in template order.
    pub fn parents(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        let parents = self.attempt.claimed.parents.iter();
        parents.map(|parent| (parent.name.as_str(), parent.result_json.as_str()))
    }

    /// Cancelled when the handler should stop: its time is up, its task was cancelled, its lease was lost, or
    /// the process shuts down. It is also cancelled once the attempt is over, for whatever the handler
    /// spawned.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.attempt.cancellation
    }

    /// What is behind it.
    pub(super) fn under_way(&self) -> &Attempt {
        &self.attempt
    }

    /// The most bytes of JSON that a result may have.
    pub(super) fn max_result(&self) -> usize {
        self.attempt.max_result
    }

    /// What all handlers of this table share.
    pub fn state(&self) -> &S {
        &self.state
    }
}

impl Attempt {
    /// The task's input as the handler's input type.
    pub(super) fn input<T: DeserializeOwned + 'static>(&self) -> Result<T, StepError> {
        decode(&self.input_json).map_err(|error| {
            let step = &self.claimed.name;
            StepError::permanent(format!(
                "the task's input does not fit step \"{step}\": {error}"
            ))
            .with_kind("input")
        })
    }
}

impl<S> Clone for StepContext<S> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.attempt), Arc::clone(&self.state))
    }
}

impl<S> fmt::Debug for StepContext<S> {
    // Payloads stay out of it: contexts end up in log lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepContext")
            .field("task_uuid", &self.task_uuid())
            .field("step", &self.step_name())
            .field("attempt", &self.attempt())
            .field("epoch", &self.epoch())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::orchestration::worker::executor::fixture;

    fn context() -> StepContext<u8> {
        let mut attempt = fixture::attempt("ship");
        attempt.input_json = r#"{"order":7}"#.into();
        attempt.config = Arc::new(json!({"carrier": "rail"}));
        let parents = vec![
            fixture::parent("pay", "42"),
            fixture::parent("pack", "null"),
        ];
        Arc::make_mut(&mut attempt.claimed).parents = parents;
        StepContext::new(Arc::new(attempt), Arc::new(9))
    }

    #[test]
    fn a_step_sees_only_its_direct_parents() {
        let step = context();
        assert_eq!(step.parent::<u32>("pay").unwrap(), 42);
        assert_eq!(step.parent::<Option<u32>>("pack").unwrap(), None);
        assert_eq!(
            step.parents().collect::<Vec<_>>(),
            [("pay", "42"), ("pack", "null")]
        );
        let stranger = step.parent::<u32>("order").unwrap_err();
        assert_eq!(stranger.kind(), "parent");
        assert!(!stranger.is_retryable());
        assert!(
            stranger
                .message()
                .contains("\"order\", on which it does not depend"),
            "{stranger}"
        );
        let wrong = step.parent::<String>("pay").unwrap_err();
        assert!(
            wrong
                .message()
                .contains("result of \"pay\" does not fit step \"ship\""),
            "{wrong}"
        );
    }

    #[test]
    fn o14_input_and_config_errors_name_their_place() {
        let step = context();
        assert_eq!(step.input::<Value>().unwrap(), json!({"order": 7}));
        assert_eq!(step.config::<Value>().unwrap(), json!({"carrier": "rail"}));
        let input = step.input::<Vec<u32>>().unwrap_err();
        assert_eq!((input.kind(), input.is_retryable()), ("input", false));
        assert!(input.message().contains("step \"ship\""), "{input}");
        let config = step.config::<Vec<u32>>().unwrap_err();
        assert_eq!((config.kind(), config.is_retryable()), ("config", false));
        assert!(
            config
                .message()
                .contains("handler.initialization of step \"ship\""),
            "{config}"
        );
    }

    #[test]
    fn o15_payloads_do_not_show_in_debug_output() {
        let shown = format!("{:?}", context());
        assert!(
            shown.contains("ship") && !shown.contains("42") && !shown.contains("order"),
            "{shown}"
        );
        assert_eq!(*context().clone().state(), 9);
    }
}
