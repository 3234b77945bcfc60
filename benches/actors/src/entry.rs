//! The libraries as a list, and every mode as a function of one of them.

use crate::counts::{self, Counts};
use crate::latency;
#[cfg(feature = "peers")]
use crate::libraries;
use crate::libraries::hand::Hand;
use crate::libraries::postroom::{Direct, Postroom, Queued as AlwaysQueued, Shipped};
use crate::libraries::tas46::Tas46;
use crate::library::Library;
use crate::loads::{self, Asks, Join, Lives, Load, Mixed, Queued, RoundRobin, Routed, Tells};
use crate::runtimes::{Flavor, Runtimes};
use crate::scale::{self, Scaled};
use crate::work::{CAPACITY, Large, Plain, Suspends};
use clap::ValueEnum;
use std::marker::PhantomData;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "kebab-case")]
pub enum Workload {
    Ask1,
    Tell1,
    Ask8,
    Ask64,
    Tell8,
    Rr100,
    Life,
    Queued,
    Suspend,
    Full16,
    Join100,
    Mixed,
    LargeAsk,
    LargeTell,
    Route,
}

impl Workload {
    /// Those whose geometric mean has been published, in its order.
    pub const CORE: [Self; 7] = [
        Self::Ask1,
        Self::Tell1,
        Self::Ask8,
        Self::Ask64,
        Self::Tell8,
        Self::Rr100,
        Self::Life,
    ];

    pub const FURTHER: [Self; 8] = [
        Self::Queued,
        Self::Suspend,
        Self::Full16,
        Self::Join100,
        Self::Mixed,
        Self::LargeAsk,
        Self::LargeTell,
        Self::Route,
    ];

    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether it is about a full mailbox.
    pub fn needs_bound(self) -> bool {
        self == Self::Full16
    }
}

pub trait Entry: Sync {
    fn name(&self) -> &'static str;
    fn is_bounded(&self) -> bool;
    fn is_on_arbiter(&self) -> bool;
    /// How long so many operations took; the number is rounded up as the workload needs.
    fn sample(&self, on: &Runtimes, flavor: Flavor, of: Workload, ops: u64) -> (Duration, u64);
    /// The durations of asks, in ns, sorted.
    fn latencies(&self, on: &Runtimes, flavor: Flavor, asks_each: u64) -> Vec<u32>;
    fn counts(&self, on: &Runtimes, actors: usize) -> Counts;
    fn scale(&self, on: &Runtimes, flavor: Flavor, registered: bool, count: usize) -> Scaled;
}

struct Of<L>(PhantomData<fn() -> L>);

impl<L: Library> Of<L> {
    const ENTRY: &'static dyn Entry = &Self(PhantomData);

    fn one<T: Load>(on: &Runtimes, flavor: Flavor, ops: u64) -> (Duration, u64) {
        on.run::<L, _>(flavor, loads::sample::<T>(ops))
    }
}

impl<L: Library> Entry for Of<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn is_bounded(&self) -> bool {
        L::BOUNDED
    }

    fn is_on_arbiter(&self) -> bool {
        L::ON_ARBITER
    }

    fn sample(&self, on: &Runtimes, flavor: Flavor, of: Workload, ops: u64) -> (Duration, u64) {
        match of {
            Workload::Ask1 => Self::one::<Asks<L, Plain, 1>>(on, flavor, ops),
            Workload::Tell1 => Self::one::<Tells<L, Plain, 1, CAPACITY>>(on, flavor, ops),
            Workload::Ask8 => Self::one::<Asks<L, Plain, 8>>(on, flavor, ops),
            Workload::Ask64 => Self::one::<Asks<L, Plain, 64>>(on, flavor, ops),
            Workload::Tell8 => Self::one::<Tells<L, Plain, 8, CAPACITY>>(on, flavor, ops),
            Workload::Rr100 => Self::one::<RoundRobin<L>>(on, flavor, ops),
            Workload::Life => Self::one::<Lives<L>>(on, flavor, ops),
            Workload::Queued => Self::one::<Queued<L>>(on, flavor, ops),
            Workload::Suspend => Self::one::<Asks<L, Suspends, 1>>(on, flavor, ops),
            Workload::Full16 => Self::one::<Tells<L, Plain, 8, 16>>(on, flavor, ops),
            Workload::Join100 => Self::one::<Join<L>>(on, flavor, ops),
            Workload::Mixed => Self::one::<Mixed<L>>(on, flavor, ops),
            Workload::LargeAsk => Self::one::<Asks<L, Large, 1>>(on, flavor, ops),
            Workload::LargeTell => Self::one::<Tells<L, Large, 1, CAPACITY>>(on, flavor, ops),
            Workload::Route => Self::one::<Routed<L>>(on, flavor, ops),
        }
    }

    fn latencies(&self, on: &Runtimes, flavor: Flavor, asks_each: u64) -> Vec<u32> {
        on.run::<L, _>(flavor, latency::contend::<L>(asks_each))
    }

    fn counts(&self, on: &Runtimes, actors: usize) -> Counts {
        on.run::<L, _>(Flavor::Current, counts::count::<L>(actors))
    }

    fn scale(&self, on: &Runtimes, flavor: Flavor, registered: bool, count: usize) -> Scaled {
        on.run::<L, _>(flavor, scale::scale::<L>(registered, count))
    }
}

/// All, in the order in which they are shown.
pub const LIBRARIES: &[&dyn Entry] = &[
    Of::<Postroom<AlwaysQueued>>::ENTRY,
    Of::<Postroom<Shipped>>::ENTRY,
    Of::<Direct>::ENTRY,
    BASELINE,
    Of::<Tas46>::ENTRY,
    #[cfg(feature = "peers")]
    Of::<libraries::kameo::Kameo>::ENTRY,
    #[cfg(feature = "peers")]
    Of::<libraries::ractor::Ractor>::ENTRY,
    #[cfg(feature = "peers")]
    Of::<libraries::actix::Actix>::ENTRY,
    #[cfg(feature = "peers")]
    Of::<libraries::xtra::Xtra>::ENTRY,
    #[cfg(feature = "peers")]
    Of::<libraries::coerce::Coerce>::ENTRY,
];

/// What ratios are to.
pub const BASELINE: &dyn Entry = Of::<Hand>::ENTRY;

/// Those whose names contain one of the words, and the baseline. All if there are no words.
pub fn select(words: &[String]) -> Result<Vec<&'static dyn Entry>, String> {
    if let Some(unknown) = words
        .iter()
        .find(|word| !LIBRARIES.iter().any(|entry| entry.name().contains(&**word)))
    {
        let names: Vec<_> = LIBRARIES.iter().map(|entry| entry.name()).collect();
        return Err(format!(
            "no library is called `{unknown}`; there are: {}",
            names.join(", ")
        ));
    }
    let wanted = |entry: &&dyn Entry| {
        words.is_empty()
            || entry.name() == BASELINE.name()
            || words.iter().any(|word| entry.name().contains(&**word))
    };
    Ok(LIBRARIES.iter().copied().filter(wanted).collect())
}
