//! Actors through the facade of the crate `metrics` (feature `metrics`): whatever recorder the program installs gets
//! them.
//!
//! | name | kind | labels | what |
//! |---|---|---|---|
//! | `postroom_messages_accepted_total` | counter | `actor` | messages that entered the mailbox |
//! | `postroom_messages_settled_total` | counter | `actor`, `outcome` | what became of them: the terms of an [`Account`](super::Account) |
//! | `postroom_restarts_total` | counter | `actor` | restarts |
//! | `postroom_queue_depth` | gauge | `actor` | messages that wait |
//! | `postroom_queue_high_water` | gauge | `actor` | the most slots that were taken at once |
//! | `postroom_queue_capacity` | gauge | `actor` | how many may wait |
//! | `postroom_senders_waiting` | gauge | `actor` | sends that wait for room |
//! | `postroom_handler_age_seconds` | gauge | `actor` | how long the handler that runs has been running at least, 0 if none runs |
//! | `postroom_queue_wait_seconds` | histogram | `actor`, `message` | from a send to its handler |
//! | `postroom_handling_seconds` | histogram | `actor`, `message` | from a handler's start to its end |
//!
//! Counters and gauges are published when [`publish`] is called, in whatever rhythm the program likes: actors pay
//! nothing for them. Histograms are recorded as the messages come, by the thread that handles them, after
//! [`time_one_in`] has said of how many; before, all they cost is to look whether it has. A message that is handled in
//! place has waited for nothing and is in no `postroom_queue_wait_seconds`.
//!
//! ```
//! use postroom::telemetry::{Observer, metrics};
//! use std::time::Duration;
//! # use postroom::registry::ActorRegistry;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let registry = ActorRegistry::builder().start().await?;
//! // After the recorder has been installed.
//! metrics::describe();
//! metrics::time_one_in(16);
//! let mut observer = Observer::new();
//! let mut ticks = tokio::time::interval(Duration::from_secs(5));
//! # for _ in 0..1 {
//! ticks.tick().await;
//! metrics::publish(&observer.look(&registry));
//! # }
//! # registry.shutdown().await;
//! # Ok(())
//! # }
//! ```

use super::Snapshot;
use ::metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};

/// Tells the recorder what the names mean, and their units.
pub fn describe() {
    describe_counter!(
        "postroom_messages_accepted_total",
        Unit::Count,
        "Messages that entered the mailbox."
    );
    describe_counter!(
        "postroom_messages_settled_total",
        Unit::Count,
        "What became of messages."
    );
    describe_counter!(
        "postroom_restarts_total",
        Unit::Count,
        "Restarts of the actor."
    );
    describe_gauge!(
        "postroom_queue_depth",
        Unit::Count,
        "Messages that wait in the mailbox."
    );
    describe_gauge!(
        "postroom_queue_high_water",
        Unit::Count,
        "The most slots that were taken at once."
    );
    describe_gauge!(
        "postroom_queue_capacity",
        Unit::Count,
        "How many messages may wait."
    );
    describe_gauge!(
        "postroom_senders_waiting",
        Unit::Count,
        "Sends that wait for room."
    );
    describe_gauge!(
        "postroom_handler_age_seconds",
        Unit::Seconds,
        "How long the handler that runs has been running at least."
    );
    describe_histogram!(
        "postroom_queue_wait_seconds",
        Unit::Seconds,
        "From a send to its handler."
    );
    describe_histogram!(
        "postroom_handling_seconds",
        Unit::Seconds,
        "From a handler's start to its end."
    );
}

/// Publishes the counters and gauges of these actors.
pub fn publish(actors: &[Snapshot]) {
    for actor in actors {
        let name = || actor.name.label();
        let stats = &actor.stats;
        let account = &stats.account;
        counter!("postroom_messages_accepted_total", "actor" => name()).absolute(account.accepted);
        let outcomes = [
            ("ok", account.ok),
            ("failed", account.failed),
            ("panicked", account.panicked),
            ("cancelled", account.cancelled),
            ("forwarded", account.forwarded),
            ("unanswered", account.unanswered),
            ("expired", account.expired),
            ("abandoned", account.abandoned),
            ("evicted", account.evicted),
            ("undelivered", account.undelivered),
        ];
        for (outcome, count) in outcomes {
            counter!("postroom_messages_settled_total", "actor" => name(), "outcome" => outcome)
                .absolute(count);
        }
        counter!("postroom_restarts_total", "actor" => name()).absolute(stats.restarts);
        let counts = [
            ("postroom_queue_depth", stats.depth),
            ("postroom_queue_high_water", stats.high_water),
            ("postroom_queue_capacity", stats.capacity),
            ("postroom_senders_waiting", stats.waiting),
        ];
        for (what, count) in counts {
            // Capacities end at 2^26, far below where a float skips numbers.
            #[expect(clippy::cast_precision_loss)]
            gauge!(what, "actor" => name()).set(count as f64);
        }
        let age = actor.handler_age.unwrap_or_default();
        gauge!("postroom_handler_age_seconds", "actor" => name()).set(age.as_secs_f64());
    }
}

/// From now on one send and one handler call in `n` is timed for the histograms, chosen at random; none if it is 0, as at
/// first. 16 costs little and sees enough of busy actors; 1 sees all.
pub fn time_one_in(n: u32) {
    crate::actor::time_one_in(n);
}
