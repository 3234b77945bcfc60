//! Circles of actors that wait for each other, named in the log: with debug assertions only.
//!
//! A graph of who waits for whom. An edge is drawn when a send that an actor's handler makes has to wait, and gone
//! when the send ends. A send may have got what it waits for and not have run since, so an edge says whether it still
//! holds: a circle counts only if all its edges do.

use super::ActorName;
use super::identity::current;
use crate::mailbox::lock;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{LazyLock, Mutex};

/// Whether a send still waits.
pub(super) type Holds = Box<dyn Fn() -> bool + Send>;

struct Edge {
    to: u64,
    name: ActorName,
    holds: Holds,
}

#[derive(Default)]
struct Graph {
    /// Who waits, and the sends with which it does, by number.
    edges: HashMap<u64, BTreeMap<u64, Edge>>,
    next: u64,
    /// The members of circles that were logged, in order of number.
    known: HashSet<Vec<u64>>,
}

/// How many circles are remembered in order not to be logged again.
const MAX_KNOWN: usize = 1000;

/// How many waiting sends are looked at for each that begins to wait: the graph is locked meanwhile. A circle of more is
/// not named, nor one with so many other sends before its last.
const MAX_LOOKS: usize = 1000;

static GRAPH: LazyLock<Mutex<Graph>> = LazyLock::new(Mutex::default);

/// A send that waits. Dropped when it no longer does.
#[derive(Default)]
pub(super) struct Wait(Option<(u64, u64)>);

impl Wait {
    /// The handler that this thread is polling waits for an actor. Logs a circle that this closes.
    pub(super) fn begin(&mut self, actor: u64, name: &ActorName, holds: impl FnOnce() -> Holds) {
        let waiter = current();
        if waiter == 0 || self.0.is_some() {
            return;
        }
        let edge = Edge {
            to: actor,
            name: name.clone(),
            holds: holds(),
        };
        let circle = {
            let mut graph = lock(&GRAPH);
            let circle = graph.new_circle(waiter, &edge);
            self.0 = Some((waiter, graph.add(waiter, edge)));
            circle
        };
        if let Some(circle) = circle {
            tracing::error!(circle, "actors wait for each other, and none can go on");
        }
    }

    /// It no longer waits.
    pub(super) fn end(&mut self) {
        let Some((waiter, number)) = self.0.take() else {
            return;
        };
        let edge = {
            let mut graph = lock(&GRAPH);
            let Some(edges) = graph.edges.get_mut(&waiter) else {
                return;
            };
            let edge = edges.remove(&number);
            if edges.is_empty() {
                graph.edges.remove(&waiter);
            }
            edge
        };
        // It may be the last to hold a message or an actor, whose drop is the user's code.
        drop(edge);
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.end();
    }
}

impl Graph {
    /// Its number.
    fn add(&mut self, from: u64, edge: Edge) -> u64 {
        let number = self.next;
        self.next += 1;
        self.edges.entry(from).or_default().insert(number, edge);
        number
    }

    /// A circle that this edge closes, if such a one was not logged yet.
    fn new_circle(&mut self, from: u64, edge: &Edge) -> Option<String> {
        let circle = self.circle(from, edge)?;
        // It may have got what it waits for since it was told to wait. The others are asked on the way.
        if !(edge.holds)() {
            return None;
        }
        let mut members: Vec<_> = circle.iter().map(|edge| edge.to).collect();
        members.sort_unstable();
        // Each is named where another waits for it; the last is the first of the circle.
        let mut names: Vec<&str> = circle.iter().map(|edge| &*edge.name).collect();
        names.insert(0, names[names.len() - 1]);
        let names = names.join(" -> ");
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(members).then_some(names)
    }

    /// The shortest way from this actor by this edge back to it.
    fn circle<'a>(&'a self, from: u64, edge: &'a Edge) -> Option<Vec<&'a Edge>> {
        // Each with the place of the one before.
        let mut reached = vec![(edge, None)];
        let mut seen = HashSet::from([edge.to]);
        let mut looks = 0;
        let mut at = 0;
        while let Some((edge, _)) = reached.get(at) {
            for next in self
                .edges
                .get(&edge.to)
                .into_iter()
                .flat_map(BTreeMap::values)
            {
                looks += 1;
                if looks > MAX_LOOKS {
                    return None;
                }
                if seen.contains(&next.to) || !(next.holds)() {
                    continue;
                }
                if next.to == from {
                    let way = std::iter::successors(Some(at), |at| reached[*at].1);
                    let mut way: Vec<_> = way.map(|at| reached[at].0).collect();
                    way.reverse();
                    way.push(next);
                    return Some(way);
                }
                seen.insert(next.to);
                reached.push((next, Some(at)));
            }
            at += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A graph, and how often it has looked whether an edge holds.
    #[derive(Default)]
    struct Drawn {
        graph: Graph,
        looks: Arc<AtomicUsize>,
    }

    impl Drawn {
        fn edge(&self, to: u64, holds: bool) -> Edge {
            let looks = Arc::clone(&self.looks);
            Edge {
                to,
                name: ActorName::from(to.to_string()),
                holds: Box::new(move || {
                    looks.fetch_add(1, Ordering::Relaxed);
                    holds
                }),
            }
        }

        fn draw(&mut self, from: u64, to: u64) {
            let edge = self.edge(to, true);
            self.graph.add(from, edge);
        }

        fn closes(&mut self, from: u64, to: u64) -> Option<String> {
            let edge = self.edge(to, true);
            self.graph.new_circle(from, &edge)
        }

        fn looks(&self) -> usize {
            self.looks.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn r08_the_shortest_circle_is_named() {
        let mut drawn = Drawn::default();
        for (from, to) in [(1, 2), (2, 3), (3, 4), (4, 1), (1, 4), (2, 9)] {
            drawn.draw(from, to);
        }
        assert_eq!(drawn.closes(9, 8), None);
        assert_eq!(drawn.closes(4, 2).unwrap(), "4 -> 2 -> 3 -> 4");
        assert_eq!(drawn.closes(4, 2), None, "it is known");
        assert_eq!(drawn.closes(4, 1).unwrap(), "4 -> 1 -> 4");
    }

    #[test]
    fn r08_a_circle_counts_only_if_all_its_sends_still_wait() {
        let mut drawn = Drawn::default();
        drawn.draw(2, 1);
        let gone = drawn.edge(2, false);
        assert_eq!(drawn.graph.new_circle(1, &gone), None);
        assert_eq!(drawn.closes(1, 2).unwrap(), "1 -> 2 -> 1", "it is none yet");
        let gone = drawn.edge(3, false);
        drawn.graph.add(4, gone);
        assert_eq!(drawn.closes(3, 4), None);
    }

    #[test]
    fn r08_a_chain_may_be_of_any_length_and_few_of_its_sends_are_looked_at() {
        let mut drawn = Drawn::default();
        let length = 100_000;
        for n in 1..length {
            drawn.draw(n, n + 1);
        }
        assert_eq!(drawn.closes(0, 1), None);
        assert_eq!(drawn.looks(), MAX_LOOKS);
        let looks = u64::try_from(MAX_LOOKS).unwrap();
        assert_eq!(drawn.closes(length, length - looks - 1), None);
        assert!(drawn.closes(length, length - looks).is_some());
    }

    #[test]
    fn r08_sends_beside_a_circle_do_not_hide_it() {
        let mut drawn = Drawn::default();
        drawn.draw(2, 3);
        drawn.draw(2, 1);
        for n in 10..2_000 {
            drawn.draw(3, n);
        }
        assert!(drawn.closes(1, 2).is_some());
    }

    #[test]
    fn r08_many_sends_of_one_handler_do_not_slow_each_other() {
        let mut drawn = Drawn::default();
        for n in 2..10_000 {
            assert_eq!(drawn.closes(1, n), None);
            drawn.draw(1, n);
        }
        assert_eq!(drawn.looks(), 0);
    }
}
