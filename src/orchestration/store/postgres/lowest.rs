//! From which task on a process has leases.
//!
//! What a process holds is looked up in the index of running steps, in the order of the tasks' numbers. While somebody
//! holds a snapshot, the entries of all steps that have run stay in it, and the longer that lasts, the longer it takes
//! to read past them. Nearly all of them belong to older tasks than those that run now: so a look begins with the first
//! task of which the process can still hold a step.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// Of the processes whose leases are renewed through this store.
#[derive(Debug, Default)]
pub(super) struct Lowest(Mutex<HashMap<Uuid, Low>>);

#[derive(Debug)]
struct Low {
    /// Of the steps that the last look has found, or could have.
    held: i64,
    /// Of what was claimed since that look began.
    claimed: i64,
    looks: u32,
}

/// A look that has begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// The number of the task to begin with.
    pub(super) from: i64,
    number: u32,
}

impl Lowest {
    /// Every so many looks, one begins with the first task there is: another store may have claimed for the process.
    const FULL: u32 = 2;

    /// The process looks for what it holds. To be called before the statement is.
    pub(super) fn look(&self, process: Uuid) -> Look {
        let mut all = self.lock();
        let low = all.entry(process).or_insert(Low {
            held: 0,
            claimed: i64::MAX,
            looks: 0,
        });
        low.held = low.held.min(low.claimed);
        low.claimed = i64::MAX;
        let full = low.looks.is_multiple_of(Self::FULL);
        low.looks = low.looks.wrapping_add(1);
        Look {
            from: if full { 0 } else { low.held },
            number: low.looks,
        }
    }

    /// The look has found steps from this task on, if any. To be called when it is committed: it has seen what its
    /// transaction did.
    pub(super) fn found(&self, process: Uuid, look: Look, first: Option<i64>) {
        if let Some(low) = self.lock().get_mut(&process)
            && low.looks == look.number
        {
            low.held = first.unwrap_or(i64::MAX);
        }
    }

    /// A claim of the process is committed, of steps from this task on. To be called before the process is told of it.
    /// A look that did not see it began before, and so the next one does.
    pub(super) fn claimed(&self, process: Uuid, first: i64) {
        if let Some(low) = self.lock().get_mut(&process) {
            low.claimed = low.claimed.min(first);
        }
    }

    /// The process has left.
    pub(super) fn forget(&self, process: Uuid) {
        self.lock().remove(&process);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Low>> {
        // Nothing inside the critical sections can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: Uuid = Uuid::nil();

    #[test]
    fn a_look_begins_with_the_first_task_that_may_be_held() {
        let lowest = Lowest::default();
        lowest.claimed(PROCESS, 3);
        let look = lowest.look(PROCESS);
        assert_eq!(look.from, 0, "nothing is known");
        lowest.claimed(PROCESS, 70);
        lowest.found(PROCESS, look, Some(50));
        let look = lowest.look(PROCESS);
        assert_eq!(look.from, 50);
        // It is not seen by this look, which has begun.
        lowest.claimed(PROCESS, 40);
        lowest.found(PROCESS, look, None);
        assert_eq!(lowest.look(PROCESS).from, 0, "every other sees all");
        // Those have failed: what they could have found is still to be.
        let last = lowest.look(PROCESS);
        assert_eq!(last.from, 40);
        lowest.found(PROCESS, look, Some(90));
        lowest.look(PROCESS);
        assert_eq!(lowest.look(PROCESS).from, 40, "an older look says nothing");
        lowest.forget(PROCESS);
        assert_eq!(lowest.look(PROCESS).from, 0);
    }
}
