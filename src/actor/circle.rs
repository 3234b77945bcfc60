//! Circles of actors that wait for each other, named in the log: with debug assertions only.
//!
//! A graph of who waits for whom. An edge is drawn when a send that an actor's handler makes has to wait, and gone
//! when the send ends. A send may have got what it waits for and not have run since, so an edge says whether it still
//! holds: a circle counts only if all its edges do.

use super::ActorName;
use super::identity::current;
use std::collections::{HashMap, HashSet};
use std::sync::{LazyLock, Mutex};

use crate::mailbox::lock;

/// Whether a send still waits.
pub(super) type Holds = Box<dyn Fn() -> bool + Send>;

struct Edge {
    number: u64,
    to: u64,
    name: ActorName,
    holds: Holds,
}

#[derive(Default)]
struct Graph {
    edges: HashMap<u64, Vec<Edge>>,
    next: u64,
    /// The members of circles that were logged, in order of number.
    known: HashSet<Vec<u64>>,
}

/// How many circles are remembered in order not to be logged again.
const MAX_KNOWN: usize = 1000;

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
        let circle = {
            let mut graph = lock(&GRAPH);
            let number = graph.next;
            graph.next += 1;
            self.0 = Some((waiter, number));
            graph.edges.entry(waiter).or_default().push(Edge {
                number,
                to: actor,
                name: name.clone(),
                holds: holds(),
            });
            graph.new_circle(waiter)
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
            let at = edges.iter().position(|edge| edge.number == number);
            let edge = at.map(|at| edges.swap_remove(at));
            if edges.is_empty() {
                graph.edges.remove(&waiter);
            }
            edge
        };
        // It may be the last to hold a message, whose drop is the user's code.
        drop(edge);
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.end();
    }
}

impl Graph {
    /// A circle through this actor that was not logged yet.
    fn new_circle(&mut self, from: u64) -> Option<String> {
        let mut path = Vec::new();
        let mut seen = HashSet::new();
        if !self.reaches(from, from, &mut path, &mut seen) {
            return None;
        }
        let mut members: Vec<_> = path.iter().map(|(id, _)| *id).collect();
        members.sort_unstable();
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        if !self.known.insert(members) {
            return None;
        }
        // Each is named where another waits for it; the last of the path is the first of the circle.
        let mut names: Vec<&str> = path.iter().map(|(_, name)| &**name).collect();
        names.insert(0, names[names.len() - 1]);
        Some(names.join(" -> "))
    }

    fn reaches(
        &self,
        from: u64,
        goal: u64,
        path: &mut Vec<(u64, ActorName)>,
        seen: &mut HashSet<u64>,
    ) -> bool {
        for edge in self.edges.get(&from).into_iter().flatten() {
            if !(edge.holds)() {
                continue;
            }
            path.push((edge.to, edge.name.clone()));
            if edge.to == goal || seen.insert(edge.to) && self.reaches(edge.to, goal, path, seen) {
                return true;
            }
            path.pop();
        }
        false
    }
}
