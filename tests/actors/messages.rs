//! Handling: one at a time, in order, typed errors, panics that stay where they are.

use crate::common::{Crash, Fail, Gate, Held, Log, Note, Probe, Refusal, occupy, poll_once};
use postroom::actor::{Actor, AskError, Builder, Context, Handle, Handler, Message, StopReason};
use std::cell::Cell;
use std::convert::Infallible;

#[tokio::test]
async fn r01_an_answer_and_an_error_keep_their_types() {
    let probe = Probe::default().spawn();
    let answer: u32 = probe.ask(Note(7)).await.unwrap();
    assert_eq!(answer, 7);
    assert!(matches!(
        probe.ask(Fail).await,
        Err(AskError::Handler(Refusal))
    ));
    let recipient = probe.recipient::<Fail>();
    assert!(matches!(
        recipient.ask(Fail).await,
        Err(AskError::Handler(Refusal))
    ));
}

/// Counts who is inside. It is not `Sync`, and need not be.
#[derive(Default)]
struct Alone {
    inside: Cell<u32>,
    most: Cell<u32>,
}

impl Actor for Alone {
    type Error = Infallible;
}

struct Enter;

impl Message for Enter {
    type Response = u32;
    type Error = Infallible;
}

impl Handler<Enter> for Alone {
    async fn handle(&mut self, _: Enter, _: &Context<Self>) -> Result<u32, Infallible> {
        *self.inside.get_mut() += 1;
        tokio::task::yield_now().await;
        let inside = self.inside.get();
        *self.most.get_mut() = self.most.get().max(inside);
        tokio::task::yield_now().await;
        *self.inside.get_mut() -= 1;
        Ok(self.most.get())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_one_handler_at_a_time_across_awaits() {
    let alone = Alone::default().spawn();
    let asks: Vec<_> = (0..50)
        .map(|_| {
            let alone = alone.clone();
            tokio::spawn(async move { alone.ask(Enter).await.unwrap() })
        })
        .collect();
    for ask in asks {
        assert_eq!(ask.await.unwrap(), 1);
    }
}

/// Asks its counterpart until the count is down.
struct Ping(Option<Handle<Pong>>);
struct Pong(Option<Handle<Ping>>);

impl Actor for Ping {
    type Error = Infallible;
}

impl Actor for Pong {
    type Error = Infallible;
}

struct Down(u32);

impl Message for Down {
    type Response = u32;
    type Error = Infallible;
}

struct Meet<A: Actor>(Handle<A>);

impl<A: Actor> Message for Meet<A> {
    type Response = ();
    type Error = Infallible;
}

impl Handler<Down> for Ping {
    async fn handle(&mut self, Down(n): Down, _: &Context<Self>) -> Result<u32, Infallible> {
        match &self.0 {
            Some(pong) if n > 0 => Ok(pong.ask(Down(n - 1)).await.map_or(0, |below| below + 1)),
            _ => Ok(0),
        }
    }
}

impl Handler<Down> for Pong {
    async fn handle(&mut self, Down(n): Down, _: &Context<Self>) -> Result<u32, Infallible> {
        match &self.0 {
            // Asking back an actor that waits for this one would end in a circle, so it stops here.
            Some(ping) if n > 1 => Ok(ping
                .try_ask(Down(0))
                .timeout(std::time::Duration::ZERO)
                .await
                .unwrap_or(1)),
            _ => Ok(0),
        }
    }
}

impl Handler<Meet<Ping>> for Pong {
    async fn handle(
        &mut self,
        Meet(ping): Meet<Ping>,
        _: &Context<Self>,
    ) -> Result<(), Infallible> {
        self.0 = Some(ping);
        Ok(())
    }
}

#[tokio::test]
async fn r01_actors_that_ask_each_other_compile() {
    let second = Pong(None).spawn();
    let first = Ping(Some(second.clone())).spawn();
    second.ask(Meet(first.clone())).await.unwrap();
    assert_eq!(first.ask(Down(1)).await.unwrap(), 1);
    assert_eq!(first.ask(Down(5)).await.unwrap(), 2);
}

#[test]
fn r01_the_public_types_are_as_free_as_their_messages() {
    fn shared<T: Send + Sync + 'static>() {}
    fn moved<T: Send + Unpin>() {}
    // `Alone` is not `Sync`, and everything around it is.
    shared::<Handle<Alone>>();
    shared::<postroom::actor::WeakHandle<Alone>>();
    shared::<Context<Alone>>();
    shared::<postroom::actor::Recipient<Enter>>();
    shared::<postroom::registry::Routes>();
    shared::<postroom::registry::ActorRegistry>();
    shared::<postroom::actor::Reply<Enter>>();
    moved::<postroom::actor::Ask<'static, Enter>>();
    moved::<postroom::actor::Tell<'static, Enter>>();
    moved::<postroom::actor::Batch<Enter>>();
    moved::<postroom::actor::Permit<'static, Alone>>();
}

#[tokio::test]
async fn r02_order_holds_across_types_senders_and_handles() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Probe::new(&log, &gate).spawn();
    occupy(&probe, &gate).await;
    let (other, recipient) = (probe.clone(), probe.recipient::<Note>());
    probe.tell(Note(1)).await.unwrap();
    recipient.tell(Note(2)).await.unwrap();
    other.tell(Held(3)).await.unwrap();
    probe.try_tell(Note(4)).unwrap();
    let mut ask = other.ask(Note(5));
    assert!(poll_once(&mut ask).await.is_pending());
    recipient.try_tell(Note(6)).unwrap();
    gate.open_for_good();
    probe.drain();
    probe.closed().await;
    assert_eq!(ask.await.unwrap(), 5);
    assert_eq!(log.entries()[1..8], ["0", "1", "2", "3", "4", "5", "6"]);
}

#[tokio::test]
async fn r12_a_handlers_error_stops_nothing() {
    let probe = Probe::default().spawn();
    for _ in 0..3 {
        assert!(probe.ask(Fail).await.is_err());
        probe.tell(Fail).await.unwrap();
    }
    assert_eq!(probe.ask(Note(1)).await.unwrap(), 1);
    assert_eq!(probe.stats().account.failed, 6);
}

#[tokio::test]
async fn r12_a_panic_is_the_askers_answer_and_ends_no_other_actor() {
    let (log, gate) = (Log::default(), Gate::default());
    let (victim, bystander) = (
        Probe::new(&log, &gate).spawn(),
        Probe::new(&log, &gate).spawn(),
    );
    let AskError::Panicked {
        actor,
        message,
        text,
    } = victim.ask(Crash("oh no")).await.unwrap_err()
    else {
        panic!("the asker sees the panic");
    };
    assert_eq!((&*actor, &*text), ("probe", "oh no"));
    assert!(message.ends_with("Crash"));
    let exit = victim.closed().await;
    assert!(matches!(&exit.reason, StopReason::Panicked { text, .. } if &**text == "oh no"));
    assert_eq!(exit.account.panicked, 1);
    assert_eq!(bystander.ask(Note(1)).await.unwrap(), 1);
}

#[tokio::test]
async fn r14_what_is_queued_behind_a_panic_of_a_temporary_actor_is_given_back() {
    let (log, gate) = (Log::default(), Gate::default());
    let probe = Probe::new(&log, &gate).spawn();
    occupy(&probe, &gate).await;
    probe.tell(Crash("now")).await.unwrap();
    let mut ask = probe.ask(Note(1));
    assert!(poll_once(&mut ask).await.is_pending());
    gate.open();
    assert!(matches!(ask.await, Err(AskError::Stopped(Note(1)))));
    assert!(probe.closed().await.is_balanced());
}

/// A panic whose payload is not text, and panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("in the payload");
    }
}

struct Explode;

impl Message for Explode {
    type Response = ();
    type Error = Infallible;
}

impl Handler<Explode> for Probe {
    async fn handle(&mut self, _: Explode, _: &Context<Self>) -> Result<(), Infallible> {
        std::panic::panic_any(Bomb)
    }
}

#[tokio::test]
async fn r12_any_panic_payload_is_survived() {
    let probe = Builder::new(Probe::default()).spawn().unwrap();
    let error = probe.ask(Explode).await.unwrap_err();
    assert!(
        matches!(error, AskError::Panicked { text, .. } if &*text == "a panic whose payload is not text")
    );
    assert!(probe.closed().await.is_balanced());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r19_counts_are_exact_at_every_instant() {
    let probe = Builder::new(Probe::default()).capacity(4).spawn().unwrap();
    let senders: Vec<_> = (0..4_u32)
        .map(|sender| {
            let probe = probe.clone();
            tokio::spawn(async move {
                for n in 0..200 {
                    if sender % 2 == 0 {
                        probe.tell(Note(n)).await.unwrap();
                    } else {
                        let before = probe.stats().account.ok;
                        probe.ask(Note(n)).await.unwrap();
                        assert!(
                            probe.stats().account.ok > before,
                            "counted before the asker sees its answer"
                        );
                    }
                    let account = probe.stats().account;
                    assert!(account.is_balanced(), "{account}");
                    assert!(account.settled() <= account.accepted);
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    probe.drain();
    let exit = probe.closed().await;
    assert_eq!((exit.account.accepted, exit.account.ok), (800, 800));
}
