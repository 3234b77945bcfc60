//! A step that does nothing: a joint in a graph, or a value.

use serde::Deserialize;
use serde_json::Value;

use crate::orchestration::worker::{StepContext, StepError, StepHandler};

/// Returns the `result` that it is configured with, or `null`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Noop;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    result: Value,
}

impl<S: Send + Sync + 'static> StepHandler<S> for Noop {
    type Input = ();
    type Output = Value;

    async fn run(&self, (): (), step: StepContext<S>) -> Result<Value, StepError> {
        Ok(step.config::<Config>()?.result)
    }

    fn check_config(&self, config: &Value) -> Result<(), String> {
        super::check::<Config>(config).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::orchestration::worker::executor::{execute, fixture};
    use crate::orchestration::worker::{HandlerTable, StepHandlers};

    fn table() -> HandlerTable {
        StepHandlers::new()
            .register_type("noop", Noop)
            .build()
            .unwrap()
    }

    #[tokio::test]
    async fn it_returns_what_it_is_given() {
        assert_eq!(
            execute(fixture::job("noop"), &table())
                .await
                .outcome
                .unwrap(),
            "null"
        );
        let mut job = fixture::job("noop");
        job.config = Arc::new(json!({"result": {"n": [1]}}));
        assert_eq!(
            execute(job, &table()).await.outcome.unwrap(),
            r#"{"n":[1]}"#
        );
    }

    #[test]
    fn o07_unknown_keys_are_refused() {
        let error = table()
            .check_config("noop", &json!({"resul": 1}))
            .unwrap_err();
        assert!(
            error.contains("unknown field `resul`, expected `result`"),
            "{error}"
        );
        table().check_config("noop", &Value::Null).unwrap();
    }
}
