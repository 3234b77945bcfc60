//! Registries: wiring, ordered start, routes, change, and a shutdown that accounts for everything.

#[path = "../common/mod.rs"]
mod common;

mod building;
mod change;
mod failing;
mod groups;
mod rollback;
mod routes;
mod scale;
mod shutdown;
mod starting;

use common::{Gate, Log, Note, Probe, Refusal};
use postroom::actor::{Actor, Context, Handle, Handler};
use postroom::registry::ActorReport;
use std::convert::Infallible;

fn names(reports: &[ActorReport]) -> Vec<&str> {
    reports.iter().map(ActorReport::name).collect()
}

fn probe(name: &'static str, log: &Log) -> Probe {
    Probe::named(name, log, &Gate::default())
}

/// Passes notes on, to an actor that is wired later.
pub(crate) struct Front(pub(crate) Handle<Probe>);

impl Actor for Front {
    type Error = Infallible;
}

impl Handler<Note> for Front {
    async fn handle(&mut self, note: Note, _: &Context<Self>) -> Result<u32, Refusal> {
        self.0.ask(note).await.map(|n| n + 100).map_err(|_| Refusal)
    }
}
