//! A run that does nothing but one kind of operation, for a profiler to count its instructions.

use crate::entry::{IN_PLACE, Kind, LIBRARIES};
use crate::runtimes::Runtimes;

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The library, by its full name.
    #[arg(long)]
    pub lib: String,
    #[arg(long)]
    pub kind: Kind,
    /// How often. The difference between two runs is free of start and end.
    #[arg(long)]
    pub ops: u64,
}

pub fn run(options: &Options) -> Result<(), String> {
    let library = LIBRARIES
        .iter()
        .chain([&IN_PLACE])
        .find(|library| library.name() == options.lib)
        .ok_or_else(|| format!("no library is called `{}`", options.lib))?;
    library.repeat(&Runtimes::default(), options.kind, options.ops);
    Ok(())
}
