//! Random schedules against a mailbox, compared with a model that is obviously right.

use crate::common::{Gate, Held, Log, Probe, occupy, poll_once};
use postroom::actor::{Builder, Handle, SendError, Tell};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::VecDeque;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Sends without waiting.
    Try,
    /// Joins the line, or gets a slot at once.
    Wait,
    /// Polls the `n`th waiting send.
    Poll(usize),
    /// Drops the `n`th waiting send.
    Drop(usize),
    /// Lets the running handler end, so that the next one starts.
    Handle,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Try),
        4 => Just(Step::Wait),
        3 => (0..8_usize).prop_map(Step::Poll),
        1 => (0..8_usize).prop_map(Step::Drop),
        3 => Just(Step::Handle),
    ]
}

/// The model: a queue, and a line whose first members may have been promised a slot.
#[derive(Default)]
struct Model {
    queue: VecDeque<u32>,
    line: Vec<(u32, bool)>,
}

impl Model {
    fn taken(&self) -> usize {
        self.queue.len() + self.line.iter().filter(|(_, promised)| *promised).count()
    }

    fn has_room(&self, capacity: usize) -> bool {
        self.taken() < capacity && self.line.iter().all(|(_, promised)| *promised)
    }

    fn promise(&mut self, capacity: usize) {
        while self.taken() < capacity {
            let Some(next) = self.line.iter_mut().find(|(_, promised)| !*promised) else {
                return;
            };
            next.1 = true;
        }
    }
}

async fn follow(capacity: usize, steps: Vec<Step>) {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Builder::new(Probe::new(&log, &gate))
        .capacity(capacity)
        .spawn()
        .unwrap();
    occupy(&probe, &gate).await;
    let expected = run(&probe, &gate, capacity, steps).await;
    gate.open_for_good();
    probe.drain();
    let exit = probe.closed().await;
    assert!(exit.is_balanced(), "{exit}");
    let handled: Vec<u32> = log
        .entries()
        .iter()
        .filter_map(|entry| entry.parse().ok())
        .collect();
    assert_eq!(handled, expected, "first in, first out");
    assert_eq!(exit.account.ok, expected.len() as u64);
}

/// Runs the schedule, and returns the numbers in the order in which they were accepted.
async fn run(probe: &Handle<Probe>, gate: &Gate, capacity: usize, steps: Vec<Step>) -> Vec<u32> {
    let mut model = Model::default();
    let mut sends: Vec<Tell<'_, Held>> = Vec::new();
    let mut accepted = vec![0];
    let mut running = 1_usize;
    for (n, step) in (1..).zip(steps) {
        match step {
            Step::Try => {
                let sent = probe.try_tell(Held(n));
                if model.has_room(capacity) {
                    assert_eq!(sent, Ok(postroom::actor::Told::Accepted));
                    model.queue.push_back(n);
                    accepted.push(n);
                } else {
                    assert_eq!(sent, Err(SendError::Full(Held(n))));
                }
            }
            Step::Wait => {
                let mut send = probe.tell(Held(n));
                let ready = poll_once(&mut send).await.is_ready();
                assert_eq!(ready, model.has_room(capacity));
                if ready {
                    model.queue.push_back(n);
                    accepted.push(n);
                } else {
                    model.line.push((n, false));
                    sends.push(send);
                }
            }
            Step::Poll(at) if at < sends.len() => {
                let ready = poll_once(&mut sends[at]).await.is_ready();
                let (n, promised) = model.line[at];
                assert_eq!(ready, promised);
                if ready {
                    model.line.remove(at);
                    drop(sends.remove(at));
                    model.queue.push_back(n);
                    accepted.push(n);
                }
            }
            Step::Drop(at) if at < sends.len() => {
                drop(sends.remove(at));
                model.line.remove(at);
                model.promise(capacity);
            }
            Step::Handle if running > 0 => {
                gate.open();
                if model.queue.pop_front().is_some() {
                    gate.wait_entered().await;
                    model.promise(capacity);
                } else {
                    // The actor is idle from here on: the next message starts at once.
                    running = 0;
                }
            }
            Step::Poll(_) | Step::Drop(_) | Step::Handle => {}
        }
        if running == 0 && !model.queue.is_empty() {
            gate.wait_entered().await;
            model.queue.pop_front();
            model.promise(capacity);
            running = 1;
        }
        let stats = probe.stats();
        assert_eq!(stats.depth, model.queue.len());
        assert_eq!(stats.depth + stats.reserved, model.taken());
        assert!(stats.depth + stats.reserved <= capacity);
        assert_eq!(
            stats.waiting,
            model.line.iter().filter(|(_, promised)| !promised).count()
        );
        assert!(stats.account.is_balanced());
    }
    accepted
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn r03_any_schedule_keeps_capacity_order_and_conservation(
        capacity in 1..4_usize,
        steps in vec(step(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(follow(capacity, steps));
    }
}
