//! Where the steps that wait begin.
//!
//! A claim reads the index of ready steps from its beginning. While somebody holds a snapshot, the entries of all
//! steps that have been claimed stay there, and a claim has to read past them. So one that has taken long tells the
//! next ones where the first step was, and for a moment they begin there. When that is over, or a step before it has
//! become ready by a writer of this store, the next claim reads all again, while the others still begin there.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::orchestration::store::ClaimRequest;

/// As the last claim that took long has found it.
#[derive(Debug)]
pub(super) struct Head {
    /// A claim that takes this long reads past many entries.
    long: Duration,
    /// What it tells holds no longer than this.
    most: Duration,
    /// Whether the last claim has found nothing that waited. A hint: the next one looks first whether that still holds.
    quiet: AtomicBool,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    known: Option<Known>,
    /// Tasks of which steps became ready, the latest last: a claim that was under way may not have seen them.
    readied: VecDeque<i64>,
    /// How often that was.
    count: u64,
    /// How often all was read.
    reading: u64,
}

#[derive(Debug)]
struct Known {
    /// Another one may look for other steps.
    request: ClaimRequest,
    first: First,
    until: Instant,
    /// So long it took to read all.
    took: Duration,
    /// Which reading found it.
    reading: u64,
}

/// A place in the order in which steps are claimed: by priority, then by task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct First {
    pub(super) priority: i16,
    pub(super) task_id: i64,
}

/// A claim that begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    /// Where it may begin; `None`: with all.
    pub(super) at: Option<First>,
    since: Instant,
    count: u64,
    /// Which reading has found where it may begin.
    reading: Option<u64>,
}

/// What a claim has seen.
#[derive(Debug)]
pub(super) struct Seen {
    request: ClaimRequest,
    begun: Begun,
    took: Duration,
    first: Option<First>,
}

impl Begun {
    /// The claim is answered, and has found this step first.
    pub(super) fn seen(self, request: &ClaimRequest, first: Option<First>) -> Seen {
        Seen {
            request: request.clone(),
            begun: self,
            took: self.since.elapsed(),
            first,
        }
    }
}

impl Head {
    /// Until all is read again, this many times as long goes by: no more than this part of the time goes to it.
    const SHARE: u32 = 10;

    /// So much of what became ready is kept.
    const READIED: usize = 256;

    pub(super) fn new(long: Duration) -> Self {
        Self {
            long,
            most: Duration::from_secs(1),
            quiet: AtomicBool::new(false),
            inside: Mutex::default(),
        }
    }

    /// Whether the last claim has found nothing that waited. Not while a place is known: the next claim may be the one
    /// that has to read all again.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Relaxed) && self.lock().known.is_none()
    }

    /// Says what a claim has found.
    pub(super) fn set_quiet(&self, quiet: bool) {
        self.quiet.store(quiet, Ordering::Relaxed);
    }

    /// A claim begins.
    pub(super) fn begin(&self, request: &ClaimRequest) -> Begun {
        let inside = &mut *self.lock();
        let since = Instant::now();
        let known = inside.known.as_mut();
        let known = known.filter(|known| known.is_of(request));
        let known = known.and_then(|known| {
            let holds = since < known.until;
            if !holds {
                // This one reads all again, and for so long the others need not.
                known.until = since + known.took.min(self.most);
            }
            holds.then_some(known)
        });
        Begun {
            at: known.as_ref().map(|known| known.first),
            since,
            count: inside.count,
            reading: known.map(|known| known.reading),
        }
    }

    /// What a claim has seen is committed.
    pub(super) fn learn(&self, seen: Seen) {
        let inside = &mut *self.lock();
        let known = &mut inside.known;
        let same = known.as_mut().filter(|known| known.is_of(&seen.request));
        // Only what became ready before this place matters.
        let first = seen.first.or(same.as_ref().map(|known| known.first));
        let before = first.map_or(i64::MAX, |first| first.task_id);
        let missed = usize::try_from(inside.count - seen.begun.count).unwrap_or(usize::MAX);
        let mut latest = inside.readied.iter().rev().take(missed);
        if missed > inside.readied.len() || latest.any(|&task_id| task_id <= before) {
            return;
        }
        if seen.begun.at.is_some() {
            // Few have a higher priority, and those behind them are many. What was read since is nearer the truth.
            if let (Some(known), Some(first)) = (same, seen.first)
                && seen.begun.reading == Some(known.reading)
                && known.first.priority >= first.priority
            {
                known.first = first;
            }
            return;
        }
        let until = Instant::now() + (seen.took * Self::SHARE).min(self.most);
        inside.reading += 1;
        let reading = inside.reading;
        match (same, seen.first) {
            _ if seen.took < self.long => *known = None,
            (_, Some(first)) => {
                *known = Some(Known {
                    request: seen.request,
                    first,
                    until,
                    took: seen.took,
                    reading,
                });
            }
            // There is none, and so none before the place that was the first.
            (Some(known), None) => {
                known.until = until;
                known.took = seen.took;
                known.reading = reading;
            }
            (None, None) => *known = None,
        }
    }

    /// Steps of this task, or of later ones, have become ready. To be called when that is committed.
    pub(super) fn is_before(&self, task_id: i64) {
        let mut inside = self.lock();
        inside.count += 1;
        if inside.readied.len() == Self::READIED {
            inside.readied.pop_front();
        }
        inside.readied.push_back(task_id);
        if let Some(known) = &mut inside.known
            && task_id <= known.first.task_id
        {
            known.until = Instant::now();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        // Nothing inside the critical sections can panic half-way.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is_of(&self, request: &ClaimRequest) -> bool {
        self.request.asks_for_same(request)
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

    fn first(priority: i16, task_id: i64) -> First {
        First { priority, task_id }
    }

    #[test]
    fn a_store_is_quiet_after_a_claim_that_found_nothing_and_while_no_place_is_known() {
        let head = Head::new(Duration::from_millis(20));
        assert!(!head.is_quiet());
        head.set_quiet(true);
        assert!(head.is_quiet());
        claims(&head, "a", 1, Some(first(0, 5)));
        assert!(!head.is_quiet(), "somebody has to read all again");
    }

    fn known(head: &Head, callable: &str) -> Option<i64> {
        let first = head.begin(&request(callable)).at?;
        Some(first.task_id)
    }

    /// A claim that has read all, or from where it may, and has taken so long.
    fn claims(head: &Head, callable: &str, secs: u64, first: Option<First>) {
        let begun = head.begin(&request(callable));
        head.learn(seen(begun, callable, secs, first));
    }

    fn seen(begun: Begun, callable: &str, secs: u64, first: Option<First>) -> Seen {
        let took = Duration::from_secs(secs);
        Seen {
            took,
            ..begun.seen(&request(callable), first)
        }
    }

    fn head() -> Head {
        let most = Duration::from_hours(1);
        Head {
            most,
            ..Head::new(Duration::from_millis(20))
        }
    }

    #[test]
    fn only_a_claim_that_took_long_tells_the_next_ones() {
        let head = head();
        claims(&head, "a", 0, Some(first(0, 5)));
        assert_eq!(known(&head, "a"), None);
        claims(&head, "a", 3600, Some(first(0, 5)));
        assert_eq!(known(&head, "a"), Some(5));
        assert_eq!(known(&head, "b"), None, "another one looks for others");
        claims(&head, "a", 0, Some(first(1, 7)));
        assert_eq!(known(&head, "a"), Some(5), "an exception");
        claims(&head, "a", 0, Some(first(0, 6)));
        assert_eq!(known(&head, "a"), Some(6));
        head.is_before(6);
        claims(&head, "a", 0, None);
        head.is_before(7);
        assert_eq!(known(&head, "a"), None, "nothing is in the way any more");
    }

    #[test]
    fn what_becomes_ready_before_it_is_found() {
        let head = head();
        claims(&head, "a", 3600, Some(first(0, 5)));
        head.is_before(6);
        assert_eq!(known(&head, "a"), Some(5));
        head.is_before(5);
        assert_eq!(known(&head, "a"), None);
        // All was read, and nothing found: what comes is behind what was the first.
        claims(&head, "a", 3600, None);
        assert_eq!(known(&head, "a"), Some(5));
        claims(&head, "b", 3600, None);
        assert_eq!(known(&head, "b"), None, "nothing is known of it");
    }

    #[test]
    fn one_claim_reads_all_again_for_the_others() {
        let head = head();
        claims(&head, "a", 3600, Some(first(0, 5)));
        head.is_before(5);
        let begun = head.begin(&request("a"));
        assert_eq!(begun.at, None);
        assert_eq!(known(&head, "a"), Some(5), "another one is at it");
        let other = head.begin(&request("a"));
        head.learn(seen(begun, "a", 3600, Some(first(0, 4))));
        assert_eq!(known(&head, "a"), Some(4));
        head.learn(seen(other, "a", 3600, Some(first(0, 6))));
        assert_eq!(known(&head, "a"), Some(4), "it has not looked before 5");
        head.is_before(3);
        let begun = head.begin(&request("a"));
        head.is_before(2);
        assert_eq!(known(&head, "a"), None, "the one at it may not see this");
        head.learn(seen(begun, "a", 3600, Some(first(0, 3))));
        assert_eq!(known(&head, "a"), Some(4), "nor does it tell");
    }

    #[test]
    fn new_tasks_do_not_matter() {
        let head = head();
        claims(&head, "a", 3600, Some(first(0, 5)));
        head.is_before(5);
        let begun = head.begin(&request("a"));
        assert_eq!(begun.at, None);
        head.is_before(100);
        head.learn(seen(begun, "a", 3600, None));
        assert_eq!(known(&head, "a"), Some(5));
    }

    #[test]
    fn a_claim_that_may_not_have_seen_it_tells_nothing() {
        let head = head();
        let begun = head.begin(&request("a"));
        head.is_before(15);
        head.learn(seen(begun, "a", 3600, Some(first(0, 20))));
        assert_eq!(known(&head, "a"), None);
        let begun = head.begin(&request("a"));
        head.is_before(25);
        head.learn(seen(begun, "a", 3600, Some(first(0, 20))));
        assert_eq!(known(&head, "a"), Some(20), "it was behind");
        let begun = head.begin(&request("a"));
        for _ in 0..=Head::READIED {
            head.is_before(90);
        }
        head.learn(seen(begun, "a", 0, Some(first(0, 40))));
        assert_eq!(known(&head, "a"), Some(20), "too much has happened");
    }
}
