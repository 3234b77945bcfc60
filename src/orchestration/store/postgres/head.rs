//! Where the steps that wait begin.
//!
//! A claim reads the index of ready steps from its beginning. While somebody holds a snapshot, the entries of all
//! steps that have been claimed stay there, and a claim has to read past them. So one that has taken long tells the
//! next ones where the first step was, and for some time they begin there. When a step before it becomes ready by this
//! store, all is read again at once; when it does by another, it is found once that time is over.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::orchestration::store::ClaimRequest;

/// As the last claim that took long has found it.
#[derive(Debug)]
pub(super) struct Head {
    /// A claim that takes this long reads past many entries.
    long: Duration,
    known: Mutex<Option<Known>>,
}

#[derive(Debug)]
struct Known {
    /// Another one may look for other steps.
    request: ClaimRequest,
    first: First,
    until: Instant,
}

/// A place in the order in which steps are claimed: by priority, then by task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct First {
    pub(super) priority: i16,
    pub(super) task_id: i64,
}

impl Head {
    /// Until all is read again, this many times as long goes by: no more than this part of the time goes to it.
    const SHARE: u32 = 10;

    pub(super) fn new(long: Duration) -> Self {
        Self {
            long,
            known: Mutex::new(None),
        }
    }

    /// Where a claim may begin.
    pub(super) fn first(&self, request: &ClaimRequest) -> Option<First> {
        let known = self.lock();
        let known = known.as_ref()?;
        let holds = Instant::now() < known.until && known.request.asks_for_same(request);
        holds.then_some(known.first)
    }

    /// A claim has read all, in so long, and has found this step first.
    pub(super) fn has_read_all(
        &self,
        request: &ClaimRequest,
        took: Duration,
        first: Option<First>,
    ) {
        let mut known = self.lock();
        if took < self.long {
            *known = None;
            return;
        }
        let until = Instant::now() + took * Self::SHARE;
        match (&mut *known, first) {
            (_, Some(first)) => {
                let request = request.clone();
                *known = Some(Known {
                    request,
                    first,
                    until,
                });
            }
            // There is none, and so none before the place that was the first.
            (Some(known), None) if known.request.asks_for_same(request) => known.until = until,
            _ => *known = None,
        }
    }

    /// A claim that began where it may has found this step first.
    pub(super) fn has_read_on(&self, request: &ClaimRequest, first: First) {
        if let Some(known) = &mut *self.lock()
            && known.request.asks_for_same(request)
            // Few have a higher priority, and those behind them are many.
            && known.first.priority >= first.priority
        {
            known.first = first;
        }
    }

    /// Steps of this task, or of later ones, have become ready again. To be called when that is committed.
    pub(super) fn is_before(&self, task_id: i64) {
        if let Some(known) = &mut *self.lock()
            && task_id <= known.first.task_id
        {
            known.until = Instant::now();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        // Nothing inside the critical sections can panic half-way.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::orchestration::store::ClaimScope;

    fn request(callable: &str) -> ClaimRequest {
        ClaimRequest {
            process: Uuid::nil(),
            scope: ClaimScope::Any,
            callables: vec![callable.into()],
            serves: Vec::new(),
            limit: 1,
            lease: Duration::from_mins(1),
        }
    }

    const HOUR: Duration = Duration::from_hours(1);

    fn first(task_id: i64) -> First {
        First {
            priority: 0,
            task_id,
        }
    }

    fn known(head: &Head, callable: &str) -> Option<i64> {
        Some(head.first(&request(callable))?.task_id)
    }

    #[test]
    fn only_a_claim_that_took_long_tells_the_next_ones() {
        let head = Head::new(Duration::from_millis(20));
        head.has_read_all(&request("a"), Duration::ZERO, Some(first(5)));
        assert_eq!(known(&head, "a"), None);
        head.has_read_all(&request("a"), HOUR, Some(first(5)));
        assert_eq!(known(&head, "a"), Some(5));
        assert_eq!(known(&head, "b"), None, "another one looks for others");
        head.has_read_on(&request("b"), first(8));
        head.has_read_on(
            &request("a"),
            First {
                priority: 1,
                task_id: 7,
            },
        );
        assert_eq!(known(&head, "a"), Some(5));
        head.has_read_on(&request("a"), first(6));
        assert_eq!(known(&head, "a"), Some(6));
        head.has_read_all(&request("a"), Duration::ZERO, None);
        assert_eq!(known(&head, "a"), None, "nothing is in the way any more");
    }

    #[test]
    fn what_becomes_ready_before_it_is_found() {
        let head = Head::new(Duration::from_millis(20));
        head.has_read_all(&request("a"), HOUR, Some(first(5)));
        head.is_before(6);
        assert_eq!(known(&head, "a"), Some(5));
        head.is_before(5);
        assert_eq!(known(&head, "a"), None);
        // All was read, and nothing found: what comes is behind what was the first.
        head.has_read_all(&request("a"), HOUR, None);
        assert_eq!(known(&head, "a"), Some(5));
        head.has_read_all(&request("b"), HOUR, None);
        assert_eq!(known(&head, "b"), None, "nothing is known of it");
    }
}
