//! Every bound and interval of the orchestration, in one place.

use std::time::Duration;

use super::store::TemplateSelector;

/// How a process takes part in the orchestration. [`Default`] is right for one service on one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrchestrationConfig {
    /// Steps that may run at once in this process. Default: the number of CPUs.
    pub concurrency: usize,
    /// The templates whose tasks this process serves; empty (the default): all.
    pub serves: Vec<TemplateSelector>,
    /// How long a claimed step is ours without a heartbeat. Default: 30 s.
    ///
    /// A process that is stopped for longer than this loses its steps to others. The steps of a process that
    /// died on the same host are taken over with the next [sweep](Self::sweep_interval), whatever the
    /// lease says.
    pub lease: Duration,
    /// How often leases are renewed. Default: 5 s; at most a third of the lease. A process that holds none is heard
    /// of half as often.
    pub heartbeat: Duration,
    /// How often the database is looked at for work that nobody told this process about, while it runs steps.
    /// Default: 500 ms.
    pub poll_interval: Duration,
    /// How often leases that ran out, dead processes and tasks without a worker are looked for, while a step runs
    /// anywhere; ten times as long as looking takes, if that is more, up to half a [`lease`](Self::lease). Default: 1 s.
    pub sweep_interval: Duration,
    /// How far these two intervals grow, doubling each time, while there is nothing to do. Default: 5 s.
    ///
    /// An idle process asks the database less than once a second in all. That costs no time where the store gives
    /// [hints](super::store::Store::hints) of new work; behind a transaction pooler it does not.
    pub idle_interval: Duration,
    /// How often what waits and what runs is counted. Default: 10 s.
    pub metrics_interval: Duration,
    /// A process that has not been heard of for this long counts as gone. Default: 30 s.
    pub process_ttl: Duration,
    /// A step that loses its lease more often than this fails. Default: 10.
    pub max_lost_leases: u32,
    /// Steps rescued by one sweep at most. Default: 1,000.
    pub sweep_limit: u32,
    /// Messages that wait in the mailbox of each lifecycle actor at most; a full one makes its callers wait.
    /// Default: 1,024.
    pub mailbox_capacity: usize,
    /// How long running steps may take to end at shutdown before they are interrupted and their leases given
    /// back. Default: 10 s.
    pub drain: Duration,
    /// How long the whole shutdown may take. Default: 30 s.
    pub shutdown: Duration,
    /// Task inputs and step results beyond this many bytes are refused. Default: 1 MiB.
    pub max_payload: usize,
    /// Tasks under way whose template and input are kept in memory at most, and of inputs no more than 64 MiB; of
    /// others they are read when a step starts. Default: 16,384.
    pub definition_cache: usize,
    /// Refuse a submission that names a handler which this process does not have. Default: true. Turn it off
    /// in a process that only submits and lets others do the work.
    pub require_known_handlers: bool,
    /// Tasks that ended this long ago are deleted, in bounded batches, once a minute. Default: none is.
    pub retention: Option<Duration>,
    /// How often a step's outcome is offered to the store again after a transient failure before the step is
    /// left to its lease. Default: 10, from 10 ms doubling to 1 s.
    ///
    /// While the database is away ([`StoreError::is_outage`](super::store::StoreError::is_outage)) the outcome is
    /// kept, however long it takes, and none of these is used up.
    pub completion_retries: u32,
    /// How long a submission waits for room when the mailbox for new tasks is full; then it is refused with
    /// [`SubmitError::Overloaded`](super::SubmitError::Overloaded). Default: 5 s. Zero refuses at once.
    pub submit_patience: Duration,
    /// After so many failures of the database in a row the circuit breaker opens: calls are answered with
    /// [`StoreError::CircuitOpen`](super::store::StoreError::CircuitOpen) at once, but for one at a time that tries
    /// whether the database works again. Default: 3.
    pub breaker_failures: u32,
    /// How long the breaker stays open before the next call is tried. Default: 1 s.
    pub breaker_open: Duration,
}

impl Default for OrchestrationConfig {
    fn default() -> Self {
        Self {
            concurrency: std::thread::available_parallelism().map_or(1, usize::from),
            serves: Vec::new(),
            lease: Duration::from_secs(30),
            heartbeat: Duration::from_secs(5),
            poll_interval: Duration::from_millis(500),
            sweep_interval: Duration::from_secs(1),
            idle_interval: Duration::from_secs(5),
            metrics_interval: Duration::from_secs(10),
            process_ttl: Duration::from_secs(30),
            max_lost_leases: 10,
            sweep_limit: 1_000,
            mailbox_capacity: 1_024,
            drain: Duration::from_secs(10),
            shutdown: Duration::from_secs(30),
            max_payload: 1024 * 1024,
            definition_cache: 16_384,
            require_known_handlers: true,
            retention: None,
            completion_retries: 10,
            submit_patience: Duration::from_secs(5),
            breaker_failures: 3,
            breaker_open: Duration::from_secs(1),
        }
    }
}

impl OrchestrationConfig {
    /// Refuses settings that cannot work.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], naming the setting.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let positive = [
            ("lease", self.lease),
            ("heartbeat", self.heartbeat),
            ("poll_interval", self.poll_interval),
            ("sweep_interval", self.sweep_interval),
            ("idle_interval", self.idle_interval),
            ("metrics_interval", self.metrics_interval),
            ("process_ttl", self.process_ttl),
            ("breaker_open", self.breaker_open),
        ];
        for (setting, value) in positive {
            if value.is_zero() {
                return Err(ConfigError {
                    setting,
                    problem: "must be longer than zero".into(),
                });
            }
        }
        let counts = [
            ("concurrency", self.concurrency),
            ("mailbox_capacity", self.mailbox_capacity),
            ("definition_cache", self.definition_cache),
            ("max_payload", self.max_payload),
            ("sweep_limit", self.sweep_limit as usize),
            ("breaker_failures", self.breaker_failures as usize),
        ];
        for (setting, value) in counts {
            if value == 0 {
                return Err(ConfigError {
                    setting,
                    problem: "must be at least 1".into(),
                });
            }
        }
        if self.heartbeat * 3 > self.lease {
            return Err(ConfigError {
                setting: "heartbeat",
                problem: format!("must be at most a third of the lease ({:?})", self.lease),
            });
        }
        if self.process_ttl < self.heartbeat * 3 {
            return Err(ConfigError {
                setting: "process_ttl",
                problem: format!("must be at least three heartbeats ({:?})", self.heartbeat),
            });
        }
        Ok(())
    }
}

/// A setting of [`OrchestrationConfig`] that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("configuration: `{setting}` {problem}")]
pub struct ConfigError {
    /// The field's name.
    pub setting: &'static str,
    /// What is wrong with its value.
    pub problem: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid() {
        assert_eq!(OrchestrationConfig::default().validate(), Ok(()));
    }

    #[test]
    fn a_setting_that_cannot_work_is_named() {
        type Change = fn(&mut OrchestrationConfig);
        let cases: [(&str, Change); 5] = [
            ("concurrency", |c| c.concurrency = 0),
            ("mailbox_capacity", |c| c.mailbox_capacity = 0),
            ("lease", |c| c.lease = Duration::ZERO),
            ("heartbeat", |c| c.heartbeat = c.lease),
            ("process_ttl", |c| c.process_ttl = c.heartbeat),
        ];
        for (setting, change) in cases {
            let mut config = OrchestrationConfig::default();
            change(&mut config);
            assert_eq!(config.validate().unwrap_err().setting, setting);
        }
    }
}
