//! A step that takes time.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::orchestration::worker::{StepContext, StepError, StepHandler};

/// Waits for the configured `seconds` (a number, with fractions, zero or more), then returns the configured
/// `result` or `null`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sleep;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    seconds: f64,
    #[serde(default)]
    result: Value,
}

impl Config {
    fn duration(&self) -> Result<Duration, String> {
        Duration::try_from_secs_f64(self.seconds)
            .map_err(|error| format!("`seconds: {}`: {error}", self.seconds))
    }
}

impl<S: Send + Sync + 'static> StepHandler<S> for Sleep {
    type Input = ();
    type Output = Value;

    async fn run(&self, (): (), step: StepContext<S>) -> Result<Value, StepError> {
        let config: Config = step.config()?;
        let duration = config
            .duration()
            .map_err(|problem| StepError::permanent(problem).with_kind("config"))?;
        wait(duration).await;
        Ok(config.result)
    }

    fn check_config(&self, config: &Value) -> Result<(), String> {
        super::check::<Config>(config)?.duration().map(drop)
    }
}

/// Waits, also for less than a tick of tokio's clock (1 ms), which would make two of it.
async fn wait(duration: Duration) {
    const TICK: Duration = Duration::from_millis(1);
    if duration >= TICK {
        tokio::time::sleep(duration).await;
        return;
    }
    // The machine's clock: virtual time would stand still meanwhile.
    let started = std::time::Instant::now();
    while started.elapsed() < duration {
        tokio::task::yield_now().await;
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
            .register_type("sleep", Sleep)
            .build()
            .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn less_than_a_tick_is_no_tick() {
        let (virtual_time, real_time) = (tokio::time::Instant::now(), std::time::Instant::now());
        wait(Duration::from_micros(300)).await;
        assert!(real_time.elapsed() >= Duration::from_micros(300));
        assert_eq!(virtual_time.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn it_takes_its_time() {
        let mut job = fixture::job("sleep");
        job.config = Arc::new(json!({"seconds": 1.5, "result": "rested"}));
        let report = execute(job, &table()).await;
        assert_eq!(report.outcome.unwrap(), r#""rested""#);
        assert!(
            report.elapsed >= Duration::from_millis(1500),
            "{:?}",
            report.elapsed
        );
    }

    #[test]
    fn o07_what_cannot_be_slept_is_refused() {
        let cases = [
            (json!({}), "missing field `seconds`"),
            (Value::Null, "missing field `seconds`"),
            (json!({"secs": 1}), "unknown field `secs`"),
            (json!({"seconds": "1"}), "invalid type: string"),
            (json!({"seconds": -1}), "`seconds: -1`"),
            (json!({"seconds": 1e300}), "`seconds: 1"),
        ];
        for (config, expected) in cases {
            let error = table().check_config("sleep", &config).unwrap_err();
            assert!(error.contains(expected), "{config}: {error}");
        }
        table()
            .check_config("sleep", &json!({"seconds": 0}))
            .unwrap();
    }
}
