//! Many actors in one registry: nothing grows faster than their number (R15, R16).

use crate::common::{Gate, Log, Note, Probe, Refusal};
use postroom::actor::{Actor, Context, Handler};
use postroom::registry::ActorRegistry;
use std::convert::Infallible;
use std::time::Duration;

const MANY: u32 = 100_000;

struct Small(u32);

impl Actor for Small {
    type Error = Infallible;
}

impl Handler<Note> for Small {
    async fn handle(&mut self, Note(n): Note, _: &Context<Self>) -> Result<u32, Refusal> {
        Ok(self.0 + n)
    }
}

#[tokio::test]
async fn r16_a_hundred_thousand_actors_start_answer_and_end_in_reverse() {
    let mut builder = ActorRegistry::builder();
    builder.shutdown_deadline(Duration::from_mins(10));
    let mut handles = Vec::new();
    for n in 0..MANY {
        let small = builder.add(Small(n)).name(n.to_string()).capacity(1);
        // A chain of dependencies as long as the registry.
        let small = match handles.last() {
            Some(before) => small.sends_to(before),
            None => small,
        };
        handles.push(small.register().unwrap());
    }
    let registry = builder.start().await.unwrap();
    for (n, handle) in (0..).zip(&handles) {
        assert_eq!(handle.ask(Note(1)).await.unwrap(), n + 1);
    }
    let report = registry.shutdown().await;
    assert!(report.is_balanced());
    assert_eq!(report.actors.len(), handles.len());
    for (n, actor) in (0..MANY).rev().zip(&report.actors) {
        assert_eq!(actor.name(), n.to_string());
        assert_eq!(actor.exit.account.ok, 1);
    }
}

#[tokio::test]
async fn r15_actors_come_and_go_without_trace() {
    let registry = ActorRegistry::builder().start().await.unwrap();
    for n in 0..MANY / 5 {
        let small = registry.add(Small(n)).handles::<Note>().capacity(1);
        let weak = small.start().await.unwrap().downgrade();
        assert_eq!(registry.ask(Note(1)).await.unwrap(), n + 1);
        assert!(registry.remove("Small").await.unwrap().exit.is_balanced());
        assert!(weak.upgrade().is_none());
    }
    assert!(registry.stats().is_empty());
    assert!(registry.shutdown().await.actors.is_empty());
}

#[tokio::test(start_paused = true)]
async fn r16_the_end_of_many_that_hang_is_bounded_by_the_deadlines_of_all() {
    let (log, gate) = (Log::default(), Gate::default());
    let mut builder = ActorRegistry::builder();
    builder.shutdown_deadline(Duration::from_secs(30));
    let mut handles = Vec::new();
    for n in 0..2000 {
        let probe = builder.add(Probe::new(&log, &gate)).name(n.to_string());
        handles.push(probe.register().unwrap());
    }
    let registry = builder.start().await.unwrap();
    for handle in &handles {
        crate::common::occupy(handle, &gate).await;
    }
    let report = registry.shutdown().await;
    assert!(report.is_balanced());
    assert!(
        report
            .actors
            .iter()
            .all(|it| it.exit.account.cancelled == 1)
    );
    assert_eq!(report.elapsed.as_secs(), 31, "one grace for all");
}
