//! Actors that wait for each other are named in the log. With debug assertions only.

use crate::common::{Lines, Log, poll_once};
use postroom::actor::{
    Actor, Batch, Builder, Context, Direct, Dispatch, Handle, Handler, Message, Receive, Recipient,
    Reply,
};
use postroom::registry::{ActorRegistry, Routes};
use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

/// Whom a player passes the ball to.
enum Next {
    Handle(Handle<Player>),
    Recipient(Recipient<Pass>),
    Routes(Routes),
    Direct(Direct<Player>),
}

struct Player {
    name: &'static str,
    next: Arc<OnceLock<Next>>,
}

impl Actor for Player {
    type Error = Infallible;

    fn name(&self) -> Cow<'static, str> {
        self.name.into()
    }
}

struct Pass;

impl Message for Pass {
    type Response = ();
    type Error = Infallible;
}

impl Handler<Pass> for Player {
    async fn handle(&mut self, _: Pass, _: &Context<Self>) -> Result<(), Infallible> {
        let _ = match self.next.get().expect("the test has set it") {
            Next::Handle(next) => next.ask(Pass).await,
            Next::Recipient(next) => next.ask(Pass).await,
            Next::Routes(routes) => routes.ask(Pass).await,
            Next::Direct(next) => next.ask(Pass).await,
        };
        Ok(())
    }
}

/// Fills the mailbox of the next.
struct Flood;

impl Message for Flood {
    type Response = ();
    type Error = Infallible;
}

impl Handler<Flood> for Player {
    async fn handle(&mut self, _: Flood, _: &Context<Self>) -> Result<(), Infallible> {
        if let Next::Handle(next) = self.next.get().expect("the test has set it") {
            while next.tell(Flood).await.is_ok() {}
        }
        Ok(())
    }
}

fn player(name: &'static str) -> (Player, Arc<OnceLock<Next>>) {
    let next = Arc::new(OnceLock::new());
    let player = Player {
        name,
        next: Arc::clone(&next),
    };
    (player, next)
}

/// Lets everybody run until nobody can.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

fn watch() -> (Log, tracing::subscriber::DefaultGuard) {
    let lines = Log::default();
    let guard = tracing::subscriber::set_default(Lines(lines.clone()));
    (lines, guard)
}

#[tokio::test]
async fn r08_a_circle_of_asks_is_logged_by_name_once() {
    let (lines, _guard) = watch();
    let ((a, to_b), (b, to_c), (c, to_a)) = (player("anna"), player("bert"), player("cora"));
    let (a, b, c) = (a.spawn(), b.spawn(), c.spawn());
    let _ = to_b.set(Next::Handle(b.clone()));
    let _ = to_c.set(Next::Recipient(c.recipient()));
    let _ = to_a.set(Next::Handle(a.clone()));
    let mut ask = a.ask(Pass);
    assert!(poll_once(&mut ask).await.is_pending());
    settle().await;
    let entries = lines.entries();
    assert_eq!(entries.len(), 1, "{entries:?}");
    let circle = [
        "anna -> bert -> cora -> anna",
        "bert -> cora -> anna -> bert",
        "cora -> anna -> bert -> cora",
    ];
    assert!(
        circle.iter().any(|circle| entries[0].contains(circle)),
        "{entries:?}"
    );
    for actor in [&a, &b, &c] {
        actor.kill();
        actor.closed().await;
    }
}

#[tokio::test]
async fn r08_a_circle_through_a_route_is_logged() {
    let (lines, _guard) = watch();
    let ((inside, to_outside), (outside, to_inside)) = (player("inside"), player("outside"));
    let outside = outside.spawn();
    let mut builder = ActorRegistry::builder();
    builder.add(inside).handles::<Pass>().register().unwrap();
    let registry = builder.start().await.unwrap();
    let _ = to_outside.set(Next::Handle(outside.clone()));
    let _ = to_inside.set(Next::Routes(registry.routes()));
    let mut ask = outside.ask(Pass);
    assert!(poll_once(&mut ask).await.is_pending());
    settle().await;
    let entries = lines.entries();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert!(
        entries[0].contains("inside") && entries[0].contains("outside"),
        "{entries:?}"
    );
    outside.kill();
    registry.shutdown().await;
}

#[tokio::test]
async fn r08_a_circle_of_waits_for_room_is_logged() {
    let (lines, _guard) = watch();
    let ((a, to_b), (b, to_a)) = (player("left"), player("right"));
    let a = Builder::new(a).capacity(1).spawn().unwrap();
    let b = Builder::new(b).capacity(1).spawn().unwrap();
    let _ = to_b.set(Next::Handle(b.clone()));
    let _ = to_a.set(Next::Handle(a.clone()));
    a.tell(Flood).await.unwrap();
    settle().await;
    let entries = lines.entries();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert!(
        entries[0].contains("left") && entries[0].contains("right"),
        "{entries:?}"
    );
    a.kill();
    b.kill();
}

#[tokio::test]
async fn r08_a_circle_of_direct_calls_is_logged() {
    let (lines, _guard) = watch();
    let ((a, to_b), (b, to_a)) = (player("over"), player("under"));
    let (a, b) = (
        Builder::new(a).direct().unwrap(),
        Builder::new(b).direct().unwrap(),
    );
    let _ = to_b.set(Next::Direct(b.clone()));
    let _ = to_a.set(Next::Direct(a.clone()));
    let mut ask = a.ask(Pass);
    assert!(poll_once(&mut ask).await.is_pending());
    let entries = lines.entries();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert!(
        entries[0].contains("over") && entries[0].contains("under"),
        "{entries:?}"
    );
    a.kill();
    b.kill();
}

/// Is answered without asking anybody.
struct Quiet;

impl Message for Quiet {
    type Response = ();
    type Error = Infallible;
}

impl Handler<Quiet> for Player {
    async fn handle(&mut self, _: Quiet, _: &Context<Self>) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Answers before it is done, and then asks back.
struct Early {
    asker: Arc<OnceLock<Handle<Player>>>,
    way: Way,
}

#[derive(Clone, Copy)]
enum Way {
    /// Answers and asks back in the same handler.
    Answer,
    /// Keeps the token for somebody else to answer, and asks back with the next message.
    PassOn,
}

impl Actor for Early {
    type Error = Infallible;
}

static KEPT: std::sync::Mutex<Vec<Reply<Pass>>> = std::sync::Mutex::new(Vec::new());

impl Receive<Pass> for Early {
    async fn receive(&mut self, batch: Batch<Pass>, _: &Context<Self>) {
        for (Pass, reply) in batch {
            if let Way::PassOn = self.way {
                KEPT.lock().unwrap().push(reply);
                continue;
            }
            reply.ok(());
            // The asker has its answer and has not run yet.
            let _ = self.asker.get().unwrap().ask(Quiet).await;
        }
    }
}

impl Receive<Flood> for Early {
    async fn receive(&mut self, _: Batch<Flood>, _: &Context<Self>) {
        let _ = self.asker.get().unwrap().ask(Quiet).await;
    }
}

#[tokio::test]
async fn r08_who_asks_back_after_the_answer_is_in_no_circle() {
    for way in [Way::Answer, Way::PassOn] {
        let (lines, _guard) = watch();
        let (player, to_early) = player("asker");
        let asker = Arc::new(OnceLock::new());
        let early = Early {
            asker: Arc::clone(&asker),
            way,
        };
        let early = Builder::new(early).dispatch(Dispatch::Queue).spawn();
        let (player, early) = (player.spawn(), early.unwrap());
        let _ = asker.set(player.clone());
        let _ = to_early.set(Next::Recipient(early.recipient()));
        let mut ask = player.ask(Pass);
        assert!(poll_once(&mut ask).await.is_pending());
        settle().await;
        if let Way::PassOn = way {
            early.tell(Flood).await.unwrap();
        }
        settle().await;
        KEPT.lock()
            .unwrap()
            .drain(..)
            .for_each(|reply| reply.ok(()));
        settle().await;
        assert_eq!(lines.entries(), Vec::<String>::new());
        player.kill();
        early.kill();
    }
}
