//! Reply tokens and batches.

use crate::common::{Gate, poll_once};
use postroom::actor::{
    Actor, AskError, Batch, Builder, Context, Handle, Handler, Message, Receive, Reply,
};
use std::convert::Infallible;

struct Query(u32);

impl Message for Query {
    type Response = u32;
    type Error = Infallible;
}

/// What the actor does with a token.
#[derive(Clone, Copy)]
enum Way {
    Answer,
    Drop,
    Task,
    PassOn,
    Panic,
    Keep,
}

struct Desk {
    way: Way,
    gate: Gate,
    clerk: Option<Handle<Clerk>>,
    kept: Vec<Reply<Query>>,
}

impl Desk {
    fn new(way: Way, gate: &Gate) -> Self {
        Self {
            way,
            gate: gate.clone(),
            clerk: None,
            kept: Vec::new(),
        }
    }
}

impl Actor for Desk {
    type Error = Infallible;
}

impl Receive<Query> for Desk {
    async fn receive(&mut self, batch: Batch<Query>, _: &Context<Self>) {
        for (Query(n), reply) in batch {
            match self.way {
                Way::Answer => reply.ok(n),
                Way::Drop => drop(reply),
                Way::Task => {
                    let gate = self.gate.clone();
                    tokio::spawn(async move {
                        gate.pass().await;
                        reply.ok(n);
                    });
                }
                Way::PassOn => {
                    let clerk = self.clerk.as_ref().unwrap();
                    clerk.tell(Errand(n, reply)).await.unwrap();
                }
                Way::Panic => panic!("with the token in hand"),
                Way::Keep => self.kept.push(reply),
            }
        }
    }
}

struct Clerk;

impl Actor for Clerk {
    type Error = Infallible;
}

struct Errand(u32, Reply<Query>);

impl Message for Errand {
    type Response = ();
    type Error = Infallible;
}

impl Handler<Errand> for Clerk {
    async fn handle(
        &mut self,
        Errand(n, reply): Errand,
        _: &Context<Self>,
    ) -> Result<(), Infallible> {
        reply.ok(n + 100);
        Ok(())
    }
}

async fn account(desk: &Handle<Desk>) -> postroom::actor::Account {
    desk.drain();
    let exit = desk.closed().await;
    assert!(exit.is_balanced(), "{exit}");
    exit.account
}

#[tokio::test]
async fn r09_a_token_answers() {
    let desk = Desk::new(Way::Answer, &Gate::default()).spawn();
    assert_eq!(desk.ask(Query(1)).await.unwrap(), 1);
    assert_eq!(desk.stats().account.ok, 1);
}

#[tokio::test]
async fn r09_a_dropped_token_answers_no_reply() {
    let desk = Desk::new(Way::Drop, &Gate::default()).spawn();
    assert!(
        matches!(desk.ask(Query(1)).await, Err(AskError::NoReply { actor, .. }) if &*actor == "Desk")
    );
    assert_eq!(account(&desk).await.unanswered, 1);
}

#[tokio::test]
async fn r09_a_token_may_move_into_a_task() {
    let gate = Gate::default();
    let desk = Desk::new(Way::Task, &gate).spawn();
    let mut ask = desk.ask(Query(5));
    assert!(poll_once(&mut ask).await.is_pending());
    gate.wait_entered().await;
    assert_eq!(
        account(&desk).await.forwarded,
        1,
        "the handler is done, the answer is to come"
    );
    gate.open();
    assert_eq!(ask.await.unwrap(), 5, "also after the actor's end");
}

#[tokio::test]
async fn r09_a_token_may_move_into_another_message() {
    let mut desk = Desk::new(Way::PassOn, &Gate::default());
    let clerk = Clerk.spawn();
    desk.clerk = Some(clerk);
    let desk = desk.spawn();
    assert_eq!(desk.ask(Query(5)).await.unwrap(), 105);
    assert_eq!(account(&desk).await.forwarded, 1);
}

#[tokio::test]
async fn r09_a_token_dropped_by_a_panic_answers_panicked() {
    let desk = Desk::new(Way::Panic, &Gate::default()).spawn();
    let error = desk.ask(Query(1)).await.unwrap_err();
    assert!(matches!(error, AskError::Panicked { text, .. } if &*text == "with the token in hand"));
    assert_eq!(account(&desk).await.panicked, 1);
}

#[tokio::test]
async fn r09_a_token_that_outlives_its_actor_answers_no_reply_when_dropped() {
    let desk = Desk::new(Way::Keep, &Gate::default()).spawn();
    let mut ask = desk.ask(Query(1));
    assert!(poll_once(&mut ask).await.is_pending());
    assert_eq!(account(&desk).await.forwarded, 1);
    assert!(matches!(ask.await, Err(AskError::NoReply { .. })));
}

/// Handles rows in batches, and says how large each was.
struct Table {
    gate: Gate,
    sizes: Vec<usize>,
}

impl Actor for Table {
    type Error = Infallible;
}

struct Row(u32);

impl Message for Row {
    type Response = (u32, usize);
    type Error = &'static str;
}

const POISON: u32 = 13;
const ODD_ONE: u32 = 99;

impl Receive<Row> for Table {
    const MAX_BATCH: usize = 4;

    async fn receive(&mut self, batch: Batch<Row>, _: &Context<Self>) {
        let size = batch.len();
        self.sizes.push(size);
        self.gate.pass().await;
        for (Row(n), reply) in batch {
            match n {
                POISON => panic!("poison"),
                ODD_ONE => reply.err("refused"),
                n => reply.ok((n, size)),
            }
        }
    }
}

struct Sizes;

impl Message for Sizes {
    type Response = Vec<usize>;
    type Error = Infallible;
}

impl Handler<Sizes> for Table {
    async fn handle(&mut self, _: Sizes, _: &Context<Self>) -> Result<Vec<usize>, Infallible> {
        Ok(self.sizes.clone())
    }
}

/// A table that is busy with one row.
async fn busy_table() -> (Handle<Table>, Gate) {
    let gate = Gate::default();
    let table = Table {
        gate: gate.clone(),
        sizes: Vec::new(),
    }
    .spawn();
    table.tell(Row(0)).await.unwrap();
    gate.wait_entered().await;
    (table, gate)
}

#[tokio::test]
async fn r10_a_batch_takes_what_is_there_up_to_its_limit() {
    let (table, gate) = busy_table().await;
    for n in 1..=6 {
        table.tell(Row(n)).await.unwrap();
    }
    gate.open_for_good();
    assert_eq!(
        table.ask(Sizes).await.unwrap(),
        [1, 4, 2],
        "one when idle, more under backlog"
    );
}

#[tokio::test]
async fn r10_a_batch_ends_where_another_type_begins() {
    let (table, gate) = busy_table().await;
    table.tell(Row(1)).await.unwrap();
    table.tell(Row(2)).await.unwrap();
    table.tell(Sizes).await.unwrap();
    table.tell(Row(3)).await.unwrap();
    gate.open_for_good();
    assert_eq!(table.ask(Sizes).await.unwrap(), [1, 2, 1]);
}

#[tokio::test]
async fn r10_each_member_is_answered_separately() {
    let (table, gate) = busy_table().await;
    let (mut first, mut refused, mut last) = (
        table.ask(Row(1)),
        table.ask(Row(ODD_ONE)),
        table.ask(Row(3)),
    );
    assert!(poll_once(&mut first).await.is_pending());
    assert!(poll_once(&mut refused).await.is_pending());
    assert!(poll_once(&mut last).await.is_pending());
    gate.open_for_good();
    assert_eq!(first.await.unwrap(), (1, 3));
    assert!(matches!(refused.await, Err(AskError::Handler("refused"))));
    assert_eq!(last.await.unwrap(), (3, 3));
}

#[tokio::test]
async fn r10_a_panic_answers_every_unanswered_member() {
    let (table, gate) = busy_table().await;
    let (mut first, mut poison, mut last) =
        (table.ask(Row(1)), table.ask(Row(POISON)), table.ask(Row(3)));
    assert!(poll_once(&mut first).await.is_pending());
    assert!(poll_once(&mut poison).await.is_pending());
    assert!(poll_once(&mut last).await.is_pending());
    gate.open_for_good();
    assert_eq!(first.await.unwrap(), (1, 3));
    assert!(matches!(poison.await, Err(AskError::Panicked { .. })));
    assert!(matches!(last.await, Err(AskError::Panicked { .. })));
    let exit = table.closed().await;
    assert_eq!((exit.account.ok, exit.account.panicked), (2, 2));
    assert!(exit.is_balanced());
}

#[tokio::test]
async fn r10_abandoned_members_are_left_out() {
    let (table, gate) = busy_table().await;
    let (mut first, mut gone, mut last) = (
        table.ask(Row(1)),
        Box::pin(table.ask(Row(2))),
        table.ask(Row(3)),
    );
    assert!(poll_once(&mut first).await.is_pending());
    assert!(poll_once(&mut gone).await.is_pending());
    assert!(poll_once(&mut last).await.is_pending());
    drop(gone);
    gate.open_for_good();
    assert_eq!(first.await.unwrap(), (1, 2));
    assert_eq!(last.await.unwrap(), (3, 2));
    assert_eq!(table.stats().account.abandoned, 1);
}

#[tokio::test]
async fn r10_all_slots_of_a_batch_are_free_when_it_starts() {
    let gate = Gate::default();
    let table = Builder::new(Table {
        gate: gate.clone(),
        sizes: Vec::new(),
    })
    .capacity(3)
    .spawn()
    .unwrap();
    table.tell(Row(0)).await.unwrap();
    gate.wait_entered().await;
    for n in 1..=3 {
        table.try_tell(Row(n)).unwrap();
    }
    gate.open();
    gate.wait_entered().await;
    for n in 4..=6 {
        table.try_tell(Row(n)).unwrap();
    }
}

#[tokio::test]
async fn r10_a_kill_cancels_every_unanswered_member() {
    let (table, gate) = busy_table().await;
    let (mut first, mut second) = (table.ask(Row(1)), table.ask(Row(2)));
    assert!(poll_once(&mut first).await.is_pending());
    assert!(poll_once(&mut second).await.is_pending());
    gate.open();
    gate.wait_entered().await;
    table.kill();
    assert!(matches!(first.await, Err(AskError::Cancelled { .. })));
    assert!(matches!(second.await, Err(AskError::Cancelled { .. })));
    assert_eq!(table.closed().await.account.cancelled, 2);
}

#[tokio::test(start_paused = true)]
async fn r09_a_token_knows_its_deadline_and_whether_its_asker_has_gone() {
    let (give, take) = std::sync::mpsc::channel();
    let desk = Spy(give).spawn();
    let now = tokio::time::Instant::now();
    let second = std::time::Duration::from_secs(1);
    let mut timed = desk.ask(Query(1)).timeout(second);
    assert!(poll_once(&mut timed).await.is_pending());
    let mut plain = desk.ask(Query(2));
    assert!(poll_once(&mut plain).await.is_pending());
    desk.tell(Query(3)).await.unwrap();
    desk.drain();
    desk.closed().await;
    let tokens: Vec<_> = take.try_iter().collect();
    let deadlines: Vec<_> = tokens.iter().map(Reply::deadline).collect();
    assert_eq!(deadlines, [Some(now + second), None, None]);
    let gone = || tokens.iter().map(Reply::is_abandoned).collect::<Vec<_>>();
    assert_eq!(gone(), [false, false, false]);
    assert!(matches!(timed.await, Err(AskError::TimedOut { .. })));
    assert_eq!(gone(), [true, false, false], "its time is up");
    drop(plain);
    assert_eq!(gone(), [true, true, false]);
}

/// Hands its tokens to the test.
struct Spy(std::sync::mpsc::Sender<Reply<Query>>);

impl Actor for Spy {
    type Error = Infallible;
}

impl Receive<Query> for Spy {
    async fn receive(&mut self, batch: Batch<Query>, _: &Context<Self>) {
        for (_, reply) in batch {
            self.0.send(reply).unwrap();
        }
    }
}
