//! Actors that are restarted together.
//!
//! The group is state and no task. Each member's run loop says what has become of it, and is told two things:
//! that its incarnation is to end because a sibling has failed, and that it may start again. Whatever happens
//! meanwhile, a second failure, a stop, a start that fails, changes the state and nothing is queued:
//!
//! ```text
//!        asked to end             down                    its turn            ready
//!   Up ───────────────► Leaving ───────► Waiting ─────────────────► Starting ───────► Up
//!    │                     │                ▲                           │
//!    └──── failed ─────────┴──► Pausing ────┘ (pause over)              └── failed ──► Pausing
//! ```
//!
//! Members are asked to end one after another, the last first, and none starts before all that are to end are
//! down; then they start one after another, the first first.

use super::Strategy;
use crate::actor::ActorName;
use crate::mailbox::lock;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};

/// What a group does with a member.
pub(crate) trait Peer: Send + Sync {
    /// Its incarnation is to end: [`Membership::is_asked`] says so from now on.
    fn look(&self);
    /// It is to stop for good.
    fn stop(&self);
}

/// The members of a group, in the order of start.
pub(crate) struct Group {
    strategy: Strategy,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    slots: Vec<Slot>,
    /// Members that are to end and have not.
    to_end: BTreeSet<usize>,
    /// Members that are down and wait for their turn to start.
    waiting: BTreeSet<usize>,
    /// How many are down and wait for the end of their pause.
    pausing: usize,
    /// The one that has been asked to end.
    leaving: Option<usize>,
    /// The one that has been told to start.
    starting: Option<usize>,
    /// Who failed last.
    failed: Option<ActorName>,
}

struct Slot {
    peer: Weak<dyn Peer>,
    asked: Arc<AtomicBool>,
    phase: Phase,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It has never been ready.
    Unborn,
    Up,
    Leaving,
    Pausing,
    Waiting,
    Starting,
    Gone,
}

/// What is to be done when the lock is released.
enum Action {
    Ask(Weak<dyn Peer>),
    Stop(Weak<dyn Peer>),
    Wake(Waker),
}

impl Group {
    pub(crate) fn new(strategy: Strategy) -> Arc<Self> {
        Arc::new(Self {
            strategy,
            state: Mutex::default(),
        })
    }

    /// Adds a member, which starts after all others.
    pub(crate) fn join(self: &Arc<Self>, name: ActorName, peer: Weak<dyn Peer>) -> Membership {
        let asked = Arc::new(AtomicBool::new(false));
        let mut state = lock(&self.state);
        let place = state.slots.len();
        state.slots.push(Slot {
            peer,
            asked: Arc::clone(&asked),
            phase: Phase::Unborn,
            waker: None,
        });
        drop(state);
        Membership {
            group: Arc::clone(self),
            place,
            name,
            asked,
        }
    }

    /// Changes the state, sees what follows from that, and does it outside the lock.
    fn change(&self, change: impl FnOnce(&mut State, Strategy) -> Vec<Action>) {
        let mut state = lock(&self.state);
        let mut actions = change(&mut state, self.strategy);
        actions.extend(state.advance());
        drop(state);
        for action in actions {
            match action {
                Action::Ask(peer) => {
                    if let Some(peer) = peer.upgrade() {
                        peer.look();
                    }
                }
                Action::Stop(peer) => {
                    if let Some(peer) = peer.upgrade() {
                        peer.stop();
                    }
                }
                Action::Wake(waker) => waker.wake(),
            }
        }
    }
}

impl State {
    /// Takes a member out of whatever it was in.
    fn settle(&mut self, place: usize, phase: Phase) {
        self.to_end.remove(&place);
        self.waiting.remove(&place);
        if self.slots[place].phase == Phase::Pausing {
            self.pausing -= 1;
        }
        if self.leaving == Some(place) {
            self.leaving = None;
        }
        if self.starting == Some(place) {
            self.starting = None;
        }
        self.slots[place].asked.store(false, Ordering::Release);
        self.slots[place].phase = phase;
        match phase {
            Phase::Pausing => self.pausing += 1,
            Phase::Waiting => drop(self.waiting.insert(place)),
            _ => {}
        }
    }

    /// The next step, if nobody has to be waited for.
    fn advance(&mut self) -> Option<Action> {
        if let Some(&last) = self.to_end.last() {
            let slot = &mut self.slots[last];
            // One that is just starting is asked when it is up.
            if self.leaving.is_some() || slot.phase != Phase::Up {
                return None;
            }
            slot.phase = Phase::Leaving;
            slot.asked.store(true, Ordering::Release);
            self.leaving = Some(last);
            return Some(Action::Ask(Weak::clone(&slot.peer)));
        }
        if self.pausing > 0 || self.starting.is_some() {
            return None;
        }
        let first = self.waiting.pop_first()?;
        self.starting = Some(first);
        let slot = &mut self.slots[first];
        slot.phase = Phase::Starting;
        slot.waker.take().map(Action::Wake)
    }
}

/// One member's place in its group. Dropped, it is gone for good.
pub(crate) struct Membership {
    group: Arc<Group>,
    place: usize,
    name: ActorName,
    asked: Arc<AtomicBool>,
}

impl Membership {
    /// Whether this incarnation is to end because a sibling has failed.
    #[inline]
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Who failed.
    pub(crate) fn cause(&self) -> ActorName {
        let failed = lock(&self.group.state).failed.clone();
        failed.unwrap_or_else(|| self.name.clone())
    }

    /// The member has started.
    pub(crate) fn is_up(&self) {
        self.group.change(|state, _| {
            // It may be among those that are to end, and is asked now.
            let ends = state.to_end.contains(&self.place);
            state.settle(self.place, Phase::Up);
            if ends {
                state.to_end.insert(self.place);
            }
            Vec::new()
        });
    }

    /// Its incarnation has ended because it was asked to, and it waits for its turn to start.
    pub(crate) fn is_down(&self) {
        self.group.change(|state, _| {
            state.settle(self.place, Phase::Waiting);
            Vec::new()
        });
    }

    /// Its incarnation has ended by itself and is to be restarted, with those that share its fate. It pauses
    /// first.
    pub(crate) fn has_failed(&self) {
        self.group.change(|state, strategy| {
            state.settle(self.place, Phase::Pausing);
            state.failed = Some(self.name.clone());
            for place in strategy.scope(self.place, state.slots.len()) {
                if matches!(state.slots[place].phase, Phase::Up | Phase::Starting) {
                    state.to_end.insert(place);
                }
            }
            Vec::new()
        });
    }

    /// Its pause is over.
    pub(crate) fn pause_is_over(&self) {
        self.group.change(|state, _| {
            if state.slots[self.place].phase == Phase::Pausing {
                state.settle(self.place, Phase::Waiting);
            }
            Vec::new()
        });
    }

    /// Waits for the turn to start.
    pub(crate) fn poll_start(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = lock(&self.group.state);
        let slot = &mut state.slots[self.place];
        if slot.phase == Phase::Starting {
            return Poll::Ready(());
        }
        let _replaced = slot.waker.replace(cx.waker().clone());
        drop(state);
        Poll::Pending
    }

    /// It has failed for good: those that would have been restarted with it cannot do without it.
    pub(crate) fn has_failed_for_good(&self) {
        self.group.change(|state, strategy| {
            state.settle(self.place, Phase::Gone);
            strategy
                .scope(self.place, state.slots.len())
                .filter(|place| state.slots[*place].phase != Phase::Gone)
                .rev()
                .map(|place| Action::Stop(Weak::clone(&state.slots[place].peer)))
                .collect()
        });
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.group.change(|state, _| {
            state.settle(self.place, Phase::Gone);
            Vec::new()
        });
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("strategy", &self.strategy)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes what the group wants of a member.
    struct Noted {
        name: usize,
        log: Arc<Mutex<Vec<String>>>,
    }

    impl Peer for Noted {
        fn look(&self) {
            lock(&self.log).push(format!("end {}", self.name));
        }

        fn stop(&self) {
            lock(&self.log).push(format!("stop {}", self.name));
        }
    }

    struct Kit {
        members: Vec<Membership>,
        _peers: Vec<Arc<Noted>>,
        log: Arc<Mutex<Vec<String>>>,
    }

    /// A group of which all are up.
    fn group(strategy: Strategy, len: usize) -> Kit {
        let group = Group::new(strategy);
        let log = Arc::default();
        let mut peers = Vec::new();
        let members: Vec<_> = (0..len)
            .map(|name| {
                let peer = Arc::new(Noted {
                    name,
                    log: Arc::clone(&log),
                });
                let weak: Weak<Noted> = Arc::downgrade(&peer);
                peers.push(peer);
                group.join(name.to_string().into(), weak)
            })
            .collect();
        members.iter().for_each(Membership::is_up);
        Kit {
            members,
            _peers: peers,
            log,
        }
    }

    impl Kit {
        fn asked(&self) -> Vec<String> {
            std::mem::take(&mut lock(&self.log))
        }

        /// Who may start now.
        fn may_start(&self) -> Vec<usize> {
            let cx = Context::from_waker(Waker::noop());
            let ready = |place: &usize| self.members[*place].poll_start(&cx).is_ready();
            (0..self.members.len()).filter(ready).collect()
        }
    }

    #[test]
    fn r13_all_end_in_reverse_and_start_in_order() {
        let kit = group(Strategy::OneForAll, 3);
        kit.members[1].has_failed();
        kit.members[1].pause_is_over();
        assert_eq!(kit.asked(), ["end 2"]);
        assert!(kit.members[2].is_asked() && !kit.members[0].is_asked());
        assert_eq!(&*kit.members[2].cause(), "1");
        kit.members[2].is_down();
        assert_eq!(
            (kit.asked(), kit.may_start()),
            (vec!["end 0".into()], vec![])
        );
        kit.members[0].is_down();
        for place in 0..3 {
            assert_eq!(kit.may_start(), [place]);
            kit.members[place].is_up();
        }
        assert!(kit.may_start().is_empty() && kit.asked().is_empty());
    }

    #[test]
    fn r13_those_before_the_failed_one_go_on_in_rest_for_one() {
        let kit = group(Strategy::RestForOne, 3);
        kit.members[1].has_failed();
        assert_eq!(kit.asked(), ["end 2"]);
        kit.members[2].is_down();
        assert!(kit.may_start().is_empty(), "the failed one pauses");
        kit.members[1].pause_is_over();
        assert_eq!(kit.may_start(), [1]);
        kit.members[1].is_up();
        assert_eq!(kit.may_start(), [2]);
        kit.members[2].is_up();
        assert!(kit.asked().is_empty());
    }

    #[test]
    fn r13_a_failure_during_a_restart_begins_it_again() {
        let kit = group(Strategy::OneForAll, 3);
        kit.members[0].has_failed();
        kit.members[0].pause_is_over();
        kit.members[2].is_down();
        kit.members[1].is_down();
        assert_eq!(kit.asked(), ["end 2", "end 1"]);
        kit.members[0].is_up();
        // The second one does not start, and the first has to end once more.
        assert_eq!(kit.may_start(), [1]);
        kit.members[1].has_failed();
        assert_eq!(kit.asked(), ["end 0"]);
        kit.members[1].pause_is_over();
        assert!(kit.may_start().is_empty());
        kit.members[0].is_down();
        assert_eq!(kit.may_start(), [0]);
    }

    #[test]
    fn r13_one_that_is_starting_ends_when_it_is_up() {
        let kit = group(Strategy::OneForAll, 2);
        kit.members[1].has_failed();
        kit.members[0].is_down();
        kit.members[1].pause_is_over();
        kit.members[0].is_up();
        kit.asked();
        assert_eq!(kit.may_start(), [1], "the second is starting");
        kit.members[0].has_failed();
        assert!(kit.asked().is_empty());
        kit.members[1].is_up();
        assert_eq!(kit.asked(), ["end 1"]);
    }

    #[test]
    fn r13_one_that_is_gone_is_not_waited_for() {
        let mut kit = group(Strategy::OneForAll, 3);
        kit.members[0].has_failed();
        kit.members[0].pause_is_over();
        assert_eq!(kit.asked(), ["end 2"]);
        drop(kit.members.pop());
        assert_eq!(kit.asked(), ["end 1"]);
        drop(kit.members.pop());
        assert_eq!(kit.may_start(), [0]);
    }

    #[test]
    fn r13_a_failure_for_good_stops_those_that_share_its_fate() {
        let kit = group(Strategy::RestForOne, 3);
        kit.members[1].has_failed_for_good();
        assert_eq!(kit.asked(), ["stop 2"]);
        let kit = group(Strategy::OneForAll, 3);
        kit.members[1].has_failed_for_good();
        assert_eq!(kit.asked(), ["stop 2", "stop 0"]);
    }
}
