//! The kit for testing actors.

use crate::common::{Crash, Gate, Held, Log, Note, Probe, Refusal, poll_once};
use postroom::actor::{
    Actor, AskError, Batch, Builder, Context, Executed, Handler, Message, Receive, Recipient,
    SendError, StopReason,
};
use postroom::supervision::{Backoff, RestartPolicy};
use postroom::testing::{Faults, StandIn, Step, Stepper, answering, fill};
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::Instant;

fn probe(log: &Log, gate: &Gate) -> Builder<Probe> {
    Builder::new(Probe::new(log, gate))
}

fn handled<A: Actor>(step: &Step, _: &Stepper<A>) -> &'static str {
    match step {
        Step::Handled(message) => message.rsplit("::").next().unwrap(),
        other => panic!("no message was handled: {other:?}"),
    }
}

#[tokio::test]
async fn r21_an_actor_is_stepped_message_by_message() {
    let (log, gate) = (Log::default(), Gate::default());
    let (handle, mut steps) = probe(&log, &gate).stepped().unwrap();
    for n in 1..=2 {
        handle.tell(Note(n)).await.unwrap();
    }
    let answer = handle.ask(Note(3)).enqueue().await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(
        log.entries(),
        Vec::<String>::new(),
        "nothing runs by itself"
    );
    steps.start().await.unwrap();
    assert_eq!(log.entries(), ["probe started"]);
    let step = steps.step().await;
    assert_eq!(handled(&step, &steps), "Note");
    assert_eq!(log.entries()[1..], ["1"]);
    assert_eq!(handle.stats().depth, 2);
    assert_eq!(steps.run().await, 2);
    assert_eq!(answer.await.unwrap(), 3);
    assert!(matches!(steps.step().await, Step::Idle));
    // An ask goes through the mailbox too.
    let mut ask = handle.ask(Note(4));
    assert!(poll_once(&mut ask).await.is_pending());
    assert_eq!(log.entries().len(), 4);
    steps.step().await;
    assert_eq!(ask.await.unwrap(), 4);
    handle.drain();
    let Step::Ended(exit) = steps.step().await else {
        panic!("it was asked to drain, and is empty");
    };
    assert!(exit.is_balanced() && exit.account.ok == 4, "{exit}");
    assert!(log.entries()[5].starts_with("probe stopped"));
}

#[tokio::test]
async fn r21_its_mailbox_and_its_state_can_be_looked_into() {
    let (log, gate) = (Log::default(), Gate::default());
    let (handle, mut steps) = probe(&log, &gate).stepped().unwrap();
    assert!(steps.state().is_none(), "it has not started");
    steps.start().await.unwrap();
    assert_eq!(steps.queued(), Vec::<&str>::new());
    handle.tell(Note(1)).await.unwrap();
    handle.tell(Held(2)).await.unwrap();
    handle.tell(Note(3)).await.unwrap();
    let queued = |steps: &mut Stepper<Probe>| {
        let names = steps.queued();
        names
            .iter()
            .map(|name| name.rsplit("::").next().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(queued(&mut steps), ["Note", "Held", "Note"]);
    steps.step().await;
    assert_eq!(queued(&mut steps), ["Held", "Note"]);
    assert_eq!(steps.state().map(|probe| probe.name), Some("probe"));
    {
        let mut half = std::pin::pin!(steps.step());
        assert!(poll_once(&mut half).await.is_pending());
    }
    assert!(steps.state().is_none(), "a handler is half-way");
    assert_eq!(queued(&mut steps), ["Note"]);
    gate.open();
    let step = steps.step().await;
    assert_eq!(
        handled(&step, &steps),
        "Held",
        "the same message, and no other"
    );
    assert_eq!(queued(&mut steps), ["Note"]);
}

#[tokio::test]
async fn r21_a_step_takes_what_one_call_of_a_batch_handler_takes() {
    struct Table(Vec<usize>);
    impl Actor for Table {
        type Error = Infallible;
    }
    impl Receive<Note> for Table {
        const MAX_BATCH: usize = 2;
        async fn receive(&mut self, batch: Batch<Note>, _: &Context<Self>) {
            self.0.push(batch.len());
        }
    }
    let (handle, mut steps) = Builder::new(Table(Vec::new())).stepped().unwrap();
    for n in 0..3 {
        handle.tell(Note(n)).await.unwrap();
    }
    assert_eq!(steps.run().await, 2);
    assert_eq!(steps.state().map(|table| table.0.clone()), Some(vec![2, 1]));
}

#[tokio::test]
async fn r21_an_end_is_stepped_too() {
    let (log, gate) = (Log::default(), Gate::default());
    let (handle, mut steps) = probe(&log, &gate).stepped().unwrap();
    handle.tell(Crash("oh no")).await.unwrap();
    handle.tell(Note(1)).await.unwrap();
    let Step::Ended(exit) = steps.step().await else {
        panic!("a plain value ends by a panic");
    };
    assert!(matches!(exit.reason, StopReason::Panicked { .. }));
    assert_eq!((exit.account.panicked, exit.account.undelivered), (1, 1));

    let (handle, mut steps) = probe(&log, &gate).stepped().unwrap();
    let held = handle.ask(Held(1)).enqueue().await.unwrap();
    let killer = handle.clone();
    let (step, ()) = tokio::join!(steps.step(), async {
        gate.wait_entered().await;
        killer.kill();
    });
    assert!(matches!(step, Step::Ended(exit) if exit.account.cancelled == 1));
    assert!(matches!(held.await, Err(AskError::Cancelled { .. })));

    let (handle, steps) = probe(&log, &gate).stepped().unwrap();
    let left = handle.ask(Note(1)).enqueue().await.unwrap();
    drop(steps);
    assert!(matches!(left.await, Err(AskError::Stopped(Note(1)))));
    assert!(handle.is_closed());
}

/// Asks its collaborator.
struct Shop {
    bank: Recipient<Note>,
}

impl Actor for Shop {
    type Error = Infallible;
}

struct Buy(u32);

impl Message for Buy {
    type Response = Result<u32, Executed>;
    type Error = Infallible;
}

impl Handler<Buy> for Shop {
    async fn handle(
        &mut self,
        Buy(n): Buy,
        _: &Context<Self>,
    ) -> Result<Result<u32, Executed>, Infallible> {
        let asked = self.bank.ask(Note(n)).await;
        Ok(asked.map_err(|error| error.was_executed()))
    }
}

#[tokio::test]
async fn r21_a_stand_in_hands_its_messages_to_the_test() {
    let mut bank = StandIn::new();
    let shop = Shop {
        bank: bank.recipient(),
    }
    .spawn();
    let sale = shop.ask(Buy(5)).enqueue().await.unwrap();
    let (Note(n), reply) = bank.next().await;
    assert!(n == 5 && reply.was_asked());
    reply.ok(6);
    assert_eq!(sale.await.unwrap(), Ok(6));
    let sale = shop.ask(Buy(7)).enqueue().await.unwrap();
    let (_, reply) = bank.next().await;
    drop(reply);
    assert_eq!(sale.await.unwrap(), Err(Executed::Yes), "`NoReply`");

    // Answered in another order than asked.
    let recipient = bank.recipient();
    let first = recipient.ask(Note(1)).enqueue().await.unwrap();
    let second = recipient.ask(Note(2)).enqueue().await.unwrap();
    let (_, reply_to_first) = bank.next().await;
    let (_, reply_to_second) = bank.next().await;
    reply_to_second.err(Refusal);
    assert!(matches!(second.await, Err(AskError::Handler(Refusal))));
    assert!(!reply_to_first.is_abandoned());
    drop(first);
    assert!(reply_to_first.is_abandoned());

    recipient.tell(Note(3)).await.unwrap();
    assert_eq!(bank.waiting(), 1);
    let (note, reply) = bank.next().await;
    assert!(note == Note(3) && !reply.was_asked());
    assert!(bank.try_next().is_none());
    assert_eq!(bank.waiting(), 0);
    bank.stop();
    assert_eq!(shop.ask(Buy(8)).await.unwrap(), Err(Executed::No));
}

#[tokio::test]
async fn r21_a_stand_in_answers_by_itself_and_keeps_what_it_was_sent() {
    let mut left = 2;
    let (bank, record) = answering(move |Note(n): &Note| {
        left -= 1;
        if left >= 0 { Ok(n * 10) } else { Err(Refusal) }
    });
    let shop = Shop { bank }.spawn();
    assert_eq!(shop.ask(Buy(1)).await.unwrap(), Ok(10));
    assert_eq!(shop.ask(Buy(2)).await.unwrap(), Ok(20));
    assert_eq!(record.taken(), [Note(1), Note(2)]);
    assert_eq!(shop.ask(Buy(3)).await.unwrap(), Err(Executed::Yes));
    assert_eq!(record.taken(), [Note(3)]);
}

#[tokio::test]
async fn r21_handlers_and_starts_panic_when_told_to() {
    let (log, gate) = (Log::default(), Gate::default());
    let made = log.clone();
    let policy = RestartPolicy::permanent().backoff(Backoff::none());
    let faults = Faults::new().panic_on(2).panic_on_start(2);
    let probe = Builder::supervised(move || Probe::new(&made, &gate), policy)
        .faults(faults)
        .spawn()
        .unwrap();
    assert_eq!(probe.ask(Note(1)).await.unwrap(), 1);
    let error = probe.ask(Note(2)).await.unwrap_err();
    assert!(
        matches!(&error, AskError::Panicked { text, .. } if &**text == "injected fault: call 2")
    );
    assert_eq!(probe.ask(Note(3)).await.unwrap(), 3);
    assert_eq!(probe.stats().restarts, 2, "one start panicked too");
    let starts = log
        .entries()
        .iter()
        .filter(|entry| *entry == "probe started")
        .count();
    assert_eq!(starts, 2);
}

#[tokio::test(start_paused = true)]
async fn r21_starts_are_slow_in_virtual_time() {
    let (log, gate) = (Log::default(), Gate::default());
    let hour = Duration::from_hours(1);
    let begun = Instant::now();
    let slow = probe(&log, &gate)
        .start_deadline(hour * 2)
        .faults(Faults::new().slow_start(hour));
    let slow = slow.spawn().unwrap();
    let error = slow.ask(Note(1)).timeout(hour / 2).await.unwrap_err();
    assert!(matches!(error, AskError::Expired(Note(1))));
    assert_eq!(slow.ask(Note(2)).await.unwrap(), 2);
    assert_eq!(begun.elapsed(), hour);
    // The default start deadline is 10 s.
    let late = probe(&log, &gate)
        .faults(Faults::new().slow_start(hour))
        .spawn()
        .unwrap();
    assert!(matches!(
        late.ready().await.unwrap_err().reason,
        StopReason::StartFailed(_)
    ));
    assert_eq!(begun.elapsed(), hour + Duration::from_secs(10));
}

#[tokio::test]
async fn r21_a_mailbox_is_full_when_told_to() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = probe(&log, &gate).capacity(200).spawn().unwrap();
    probe.ready().await.unwrap();
    let mut full = fill(&probe).await;
    assert_eq!((probe.stats().reserved, probe.stats().depth), (200, 0));
    assert!(matches!(
        probe.try_tell(Note(1)),
        Err(SendError::Full(Note(1)))
    ));
    let mut waits = probe.tell(Note(2));
    assert!(poll_once(&mut waits).await.is_pending());
    assert!(full.free_one());
    waits.await.unwrap();
    drop(full);
    assert_eq!(probe.ask(Note(3)).await.unwrap(), 3);
    assert_eq!(log.entries()[1..], ["2", "3"]);
}
