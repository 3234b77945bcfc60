//! Does one kind of operation so often and nothing else, for a profiler: `instructions.sh` uses it.

use clap::{Parser, ValueEnum};
#[cfg(feature = "peers")]
use postroom_actors_bench::libraries;
use postroom_actors_bench::libraries::hand::Hand;
use postroom_actors_bench::libraries::postroom::{
    Direct, InPlace, Postroom, Queued as AlwaysQueued,
};
use postroom_actors_bench::libraries::tas46::Tas46;
use postroom_actors_bench::library::Library;
use postroom_actors_bench::loads::{Asks, Lives, Load, Queued, Tells};
use postroom_actors_bench::runtimes::{Flavor, Runtimes};
use postroom_actors_bench::work::{CAPACITY, Large, Plain};
use std::process::ExitCode;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// An ask of an idle actor.
    Ask,
    /// A tell, and the ask behind it.
    Queued,
    Tell,
    /// Spawn, first answer, stop, ended.
    Life,
    /// A tell whose handler holds 4 KiB across a yield. Each but the first thousand waits for room.
    LargeTell,
}

#[derive(Parser, Debug)]
#[command(about = "Does one kind of operation so often, for a profiler")]
struct Options {
    /// The library, by its full name.
    #[arg(long)]
    lib: String,
    #[arg(long)]
    kind: Kind,
    /// How often. The difference between two runs is free of start and end.
    #[arg(long)]
    ops: u64,
}

fn only<L: Library, T: Load>(ops: u64) {
    Runtimes::default().run::<L, _>(Flavor::Current, async move {
        let mut load = T::prepare().await;
        load.run(ops).await;
        load.finish().await;
    });
}

fn repeat<L: Library>(kind: Kind, ops: u64) {
    match kind {
        Kind::Ask => only::<L, Asks<L, Plain, 1>>(ops),
        Kind::Queued => only::<L, Queued<L>>(ops),
        Kind::Tell => only::<L, Tells<L, Plain, 1, CAPACITY>>(ops),
        Kind::LargeTell => only::<L, Tells<L, Large, 1, CAPACITY>>(ops),
        Kind::Life => only::<L, Lives<L>>(ops),
    }
}

type Entry = (&'static str, fn(Kind, u64));

const fn entry<L: Library>() -> Entry {
    (L::NAME, repeat::<L>)
}

const LIBRARIES: &[Entry] = &[
    entry::<Postroom<AlwaysQueued>>(),
    entry::<Postroom<InPlace>>(),
    entry::<Direct>(),
    entry::<Hand>(),
    entry::<Tas46>(),
    #[cfg(feature = "peers")]
    entry::<libraries::kameo::Kameo>(),
    #[cfg(feature = "peers")]
    entry::<libraries::ractor::Ractor>(),
    #[cfg(feature = "peers")]
    entry::<libraries::actix::Actix>(),
    #[cfg(feature = "peers")]
    entry::<libraries::xtra::Xtra>(),
    #[cfg(feature = "peers")]
    entry::<libraries::coerce::Coerce>(),
];

fn main() -> ExitCode {
    let options = Options::parse();
    let Some((_, repeat)) = LIBRARIES.iter().find(|(name, _)| *name == options.lib) else {
        let names: Vec<_> = LIBRARIES.iter().map(|(name, _)| *name).collect();
        eprintln!(
            "no library is called `{}`; there are: {}",
            options.lib,
            names.join(", ")
        );
        return ExitCode::FAILURE;
    };
    repeat(options.kind, options.ops);
    ExitCode::SUCCESS
}
