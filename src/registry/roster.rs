//! The actors of a registry, in the order of their start and by name.

use super::ActorReport;
use super::member::Member;
use crate::actor::ActorId;
use crate::actor::ActorName;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::watch;

/// A place in the order of start. Places only rise: whoever comes later ends earlier.
pub(super) type Place = u64;

/// Where the report of an actor that is being removed will appear.
pub(super) type Departing = watch::Receiver<Option<ActorReport>>;

#[derive(Default)]
pub(super) struct Roster {
    entries: BTreeMap<Place, Entry>,
    places: HashMap<ActorName, Place>,
    next: Place,
    closed: bool,
}

struct Entry {
    member: Arc<Member>,
    departing: Option<Departing>,
}

/// What a removal finds.
pub(super) enum Removal {
    Unknown,
    Closed,
    /// Someone else is at it.
    Begun(Departing),
    /// The caller is to end the member, to take it out, and to tell.
    Begin {
        place: Place,
        member: Arc<Member>,
        tell: watch::Sender<Option<ActorReport>>,
    },
}

impl Roster {
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    pub(super) fn has(&self, id: ActorId, name: &str) -> bool {
        let place = self.places.get(name);
        let entry = place.and_then(|place| self.entries.get(place));
        entry.is_some_and(|entry| entry.member.actor.id() == id)
    }

    /// Enters an actor, whose name is not taken, at the end of the order.
    pub(super) fn enter(&mut self, member: Arc<Member>) -> Place {
        let place = self.next;
        self.next += 1;
        self.places.insert(member.actor.name().clone(), place);
        let departing = None;
        self.entries.insert(place, Entry { member, departing });
        place
    }

    /// Takes an actor out, and its name with it.
    pub(super) fn leave(&mut self, place: Place) {
        if let Some(entry) = self.entries.remove(&place) {
            self.places.remove(entry.member.actor.name());
        }
    }

    pub(super) fn begin_removal(&mut self, name: &str) -> Removal {
        let Some((place, entry)) = self
            .places
            .get(name)
            .and_then(|place| Some((*place, self.entries.get_mut(place)?)))
        else {
            return if self.closed {
                Removal::Closed
            } else {
                Removal::Unknown
            };
        };
        if let Some(departing) = &entry.departing {
            return Removal::Begun(departing.clone());
        }
        if self.closed {
            return Removal::Closed;
        }
        let (tell, departing) = watch::channel(None);
        entry.departing = Some(departing);
        let member = Arc::clone(&entry.member);
        Removal::Begin {
            place,
            member,
            tell,
        }
    }

    /// From now on nobody comes. Returns the members in the order of start; nothing if it was closed
    /// before.
    pub(super) fn close(&mut self) -> Option<Vec<Arc<Member>>> {
        let closed = std::mem::replace(&mut self.closed, true);
        (!closed).then(|| self.members().cloned().collect())
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// In the order of start.
    pub(super) fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.entries.values().map(|entry| &entry.member)
    }
}
