//! A nested ask has the deadline of the handler that makes it.

use crate::common::{Gate, Held, Log, Probe, Refusal};
use postroom::actor::{
    Actor, AskError, Batch, Builder, Context, Dispatch, Executed, Handle, Handler, Message, Receive,
};
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// Passes on to an actor that answers late.
struct Front {
    back: Handle<Probe>,
    way: Way,
}

#[derive(Clone, Copy)]
enum Way {
    Plain,
    /// Waits for something else first.
    Suspended,
    /// Has a limit of its own.
    Own(Duration),
}

impl Actor for Front {
    type Error = Infallible;
}

/// Answers how long the nested ask took and whether its handler has run.
struct Pass;

impl Message for Pass {
    type Response = (Duration, Executed);
    type Error = Infallible;
}

impl Front {
    async fn pass(&self) -> (Duration, Executed) {
        let begun = Instant::now();
        let ask = self.back.ask(Held(1));
        let answer = match self.way {
            Way::Plain => ask.await,
            Way::Suspended => {
                tokio::time::sleep(SECOND / 4).await;
                ask.await
            }
            Way::Own(limit) => ask.timeout(limit).await,
        };
        let executed = answer.map_or_else(|error| error.was_executed(), |_| Executed::Yes);
        (begun.elapsed(), executed)
    }
}

impl Handler<Pass> for Front {
    async fn handle(
        &mut self,
        _: Pass,
        _: &Context<Self>,
    ) -> Result<(Duration, Executed), Infallible> {
        Ok(self.pass().await)
    }
}

/// Like `Pass`, received with its token, and answered through a channel, for its asker will have gone.
struct Told(tokio::sync::mpsc::Sender<(Duration, Executed)>);

impl Message for Told {
    type Response = ();
    type Error = Infallible;
}

impl Receive<Told> for Front {
    async fn receive(&mut self, batch: Batch<Told>, _: &Context<Self>) {
        for (Told(tell), _reply) in batch {
            let took = self.pass().await;
            tell.send(took).await.unwrap();
        }
    }
}

impl Handler<Held> for Front {
    async fn handle(&mut self, held: Held, _: &Context<Self>) -> Result<u32, Refusal> {
        self.back.ask(held).await.map_err(|_| Refusal)
    }
}

fn front(way: Way, dispatch: Dispatch) -> (Handle<Front>, Handle<Probe>) {
    let back = Probe::new(&Log::default(), &Gate::default()).spawn();
    let front = Front {
        back: back.clone(),
        way,
    };
    let front = Builder::new(front).dispatch(dispatch).spawn().unwrap();
    (front, back)
}

/// What the nested ask of a handler came to whose own asker waits a second. The asker's time is up at the same
/// instant, so the answer comes by another way.
async fn nested(way: Way, dispatch: Dispatch) -> (Duration, Executed) {
    let (front, _back) = front(way, dispatch);
    front.ready().await.unwrap();
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let _ = front.ask(Told(tell)).timeout(SECOND).await;
    told.recv().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn r07_a_nested_ask_of_a_queued_handler_inherits_its_deadline() {
    assert_eq!(
        nested(Way::Plain, Dispatch::Queue).await,
        (SECOND, Executed::Unknown)
    );
}

#[tokio::test(start_paused = true)]
async fn r07_a_nested_ask_of_a_handler_in_place_inherits_its_deadline() {
    assert_eq!(
        nested(Way::Plain, Dispatch::InPlace).await,
        (SECOND, Executed::Unknown)
    );
}

#[tokio::test(start_paused = true)]
async fn r07_a_handler_that_was_suspended_still_has_its_deadline() {
    for dispatch in [Dispatch::Queue, Dispatch::InPlace] {
        assert_eq!(
            nested(Way::Suspended, dispatch).await,
            (SECOND, Executed::Unknown)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn r07_a_limit_of_ones_own_goes_before_the_inherited_one() {
    let short = Way::Own(SECOND / 2);
    assert_eq!(nested(short, Dispatch::Queue).await.0, SECOND / 2);
    let long = Way::Own(SECOND * 2);
    assert_eq!(nested(long, Dispatch::InPlace).await.0, SECOND * 2);
}

#[tokio::test(start_paused = true)]
async fn r07_the_last_limit_that_was_set_counts() {
    let (_front, back) = front(Way::Plain, Dispatch::Queue);
    let begun = Instant::now();
    let ask = back
        .ask(Held(1))
        .deadline(begun + SECOND)
        .timeout(SECOND * 3);
    assert!(matches!(ask.await, Err(AskError::TimedOut { .. })));
    assert_eq!(begun.elapsed(), SECOND * 3);
    let ask = back
        .ask(Held(2))
        .timeout(SECOND * 3)
        .deadline(begun + SECOND * 4);
    assert!(matches!(ask.await, Err(AskError::Expired(Held(2)))));
    assert_eq!(begun.elapsed(), SECOND * 4);
}

/// In front of the front.
struct First(Handle<Front>);
impl Actor for First {
    type Error = Infallible;
}
impl Handler<Pass> for First {
    async fn handle(
        &mut self,
        _: Pass,
        _: &Context<Self>,
    ) -> Result<(Duration, Executed), Infallible> {
        let begun = Instant::now();
        let error = self.0.ask(Held(1)).await.unwrap_err();
        Ok((begun.elapsed(), error.was_executed()))
    }
}

#[tokio::test(start_paused = true)]
async fn r07_a_deadline_goes_through_every_actor_on_the_way() {
    let (middle, _back) = front(Way::Plain, Dispatch::Queue);
    let first = First(middle.clone()).spawn();
    let asked = first.ask(Pass).timeout(SECOND);
    let Err(AskError::TimedOut { .. }) = asked.await else {
        panic!("all three have the same second");
    };
    // Both nested asks ended with it: nobody is left waiting.
    middle.drain();
    assert_eq!(middle.closed().await.account.failed, 1);
}

#[tokio::test(start_paused = true)]
async fn r07_a_handler_without_a_deadline_hands_none_on() {
    let (front, back) = front(Way::Plain, Dispatch::Queue);
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    front.tell(Told(tell.clone())).await.unwrap();
    tokio::time::sleep(SECOND * 3600).await;
    assert!(told.try_recv().is_err(), "it waits for as long as it takes");
    back.kill();
    assert_eq!(told.recv().await.unwrap(), (SECOND * 3600, Executed::Yes));
    // Nor does the deadline of one handler linger for the next.
    let _ = front.ask(Pass).timeout(SECOND).await;
    let begun = Instant::now();
    front.tell(Told(tell)).await.unwrap();
    assert_eq!(told.recv().await.unwrap().1, Executed::No);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}
