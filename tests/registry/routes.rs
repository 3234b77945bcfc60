//! Messages find the actor that declared them (R15, R8).

use crate::common::*;
use crate::probe;
use postroom::actor::*;
use postroom::registry::*;
use std::convert::Infallible;

#[tokio::test]
async fn r15_routes_lead_to_whoever_declared_the_message() {
    let log = Log::default();
    let mut builder = ActorRegistry::builder();
    let routes: Routes = builder.routes();
    assert!(
        matches!(routes.ask(Note(1)).await, Err(AskError::Unrouted(Note(1)))),
        "nothing before the start"
    );
    builder
        .add(probe("notes", &log))
        .handles::<Note>()
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    assert_eq!(routes.ask(Note(1)).await.unwrap(), 1);
    assert_eq!(registry.recipient::<Note>().unwrap().name(), "notes");
    routes.tell(Note(2)).await.unwrap();
    routes.try_tell(Note(3)).unwrap();
    assert!(matches!(
        routes.try_ask(Held(1)).await,
        Err(AskError::Unrouted(Held(1)))
    ));
    assert_eq!(
        registry.try_tell(Held(1)),
        Err(SendError::Unrouted(Held(1)))
    );
    let unrouted = routes.recipient::<Held>().unwrap_err();
    assert!(unrouted.to_string().contains("Held"));
    let stats = registry.stats();
    assert_eq!((&*stats[0].0, stats[0].1.account.accepted), ("notes", 3));
    registry.shutdown().await;
}

/// Asks itself through the routes.
struct Circular(Routes);

impl Actor for Circular {
    type Error = Infallible;
}

impl Handler<Note> for Circular {
    async fn handle(&mut self, note: Note, _: &Context<Self>) -> Result<u32, Refusal> {
        match self.0.ask(note).await {
            Err(AskError::WouldDeadlock(_)) => Ok(8),
            _ => Err(Refusal),
        }
    }
}

#[tokio::test]
async fn r08_asking_oneself_through_a_route_is_an_error() {
    let mut builder = ActorRegistry::builder();
    let routes = builder.routes();
    builder
        .add(Circular(routes))
        .handles::<Note>()
        .register()
        .unwrap();
    let registry = builder.start().await.unwrap();
    assert_eq!(registry.ask(Note(1)).await.unwrap(), 8);
    registry.shutdown().await;
}
