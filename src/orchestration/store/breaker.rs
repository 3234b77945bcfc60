//! A circuit breaker: when the database keeps failing, callers are told so at once and it is left alone for a while.
//!
//! ```text
//!            so many failures in a row                after a while, with the next call
//!   closed ───────────────────────────▶ open ──────────────────────────────────────────▶ half open
//!      ▲                                 ▲                                                │    │
//!      │                                 └──────────── that call fails ───────────────────┘    │
//!      └────────────────────────────────── the database answers ───────────────────────────────┘
//! ```
//!
//! Only what says that the database cannot do its work counts ([`StoreError::is_outage`]); an answer of any other
//! kind, a refusal too, shows that it can.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::StoreError;

/// What a breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything.
    Closed,
    /// Nothing, for the time being.
    Open,
    /// One call, which decides.
    HalfOpen,
}

/// A breaker as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerStatus {
    /// What it lets through.
    pub state: BreakerState,
    /// Failures since the database answered last.
    pub failures: u32,
    /// The last of them; `None` while it is closed.
    pub last: Option<Arc<str>>,
    /// How long it stays open.
    pub retry_after: Option<Duration>,
    /// How often it has opened.
    pub opened: u64,
}

/// See the [module documentation](self).
#[derive(Debug)]
pub(crate) struct Breaker {
    failures: u32,
    open_for: Duration,
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    state: State,
    /// In a row.
    failures: u32,
    last: Option<Arc<str>>,
    opened: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Instant },
    HalfOpen,
}

impl Breaker {
    /// Opens after so many failures in a row, for so long.
    pub(crate) fn new(failures: u32, open_for: Duration) -> Self {
        Self {
            failures,
            open_for,
            inside: Mutex::new(Inside {
                state: State::Closed,
                failures: 0,
                last: None,
                opened: 0,
            }),
        }
    }

    /// Makes a call, if it is let through.
    pub(crate) async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let pass = self.enter()?;
        let answer = call.await;
        pass.end(answer.as_ref().err());
        answer
    }

    fn enter(&self) -> Result<Pass<'_>, StoreError> {
        let mut inside = self.lock();
        let retry_after = match inside.state {
            State::Closed => {
                return Ok(Pass {
                    breaker: self,
                    decides: false,
                });
            }
            State::Open { until } => until.saturating_duration_since(Instant::now()),
            // Whoever decides may take its time: not less than a while either.
            State::HalfOpen => self.open_for,
        };
        if retry_after.is_zero() {
            inside.state = State::HalfOpen;
            return Ok(Pass {
                breaker: self,
                decides: true,
            });
        }
        Err(StoreError::CircuitOpen {
            failures: inside.failures,
            retry_after,
            last: inside.last.as_deref().unwrap_or_default().to_owned(),
        })
    }

    pub(crate) fn status(&self) -> BreakerStatus {
        let inside = self.lock();
        let (state, retry_after) = match inside.state {
            State::Closed => (BreakerState::Closed, None),
            State::Open { until } => {
                let left = until.saturating_duration_since(Instant::now());
                (BreakerState::Open, Some(left))
            }
            State::HalfOpen => (BreakerState::HalfOpen, None),
        };
        BreakerStatus {
            state,
            failures: inside.failures,
            last: inside.last.clone(),
            retry_after,
            opened: inside.opened,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        // Nothing inside the critical sections can panic half-way.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that was let through.
struct Pass<'a> {
    breaker: &'a Breaker,
    /// The breaker is half open, and waits for this call.
    decides: bool,
}

impl Pass<'_> {
    fn end(mut self, error: Option<&StoreError>) {
        let mut inside = self.breaker.lock();
        let outage = error.filter(|error| error.is_outage());
        let was_open = inside.state != State::Closed;
        if was_open && !self.decides {
            // It began before the breaker opened, and says nothing of now.
            return;
        }
        self.decides = false;
        let Some(error) = outage else {
            if was_open {
                tracing::info!(failures = inside.failures, "the database answers again");
            }
            inside.state = State::Closed;
            inside.failures = 0;
            inside.last = None;
            return;
        };
        inside.failures = inside.failures.saturating_add(1);
        if was_open || inside.failures >= self.breaker.failures {
            let text = error.to_string();
            if !was_open {
                inside.opened += 1;
                tracing::error!(
                    failures = inside.failures,
                    error = text,
                    "the database keeps failing: it is left alone but for one call at a time"
                );
            }
            inside.state = State::Open {
                until: Instant::now() + self.breaker.open_for,
            };
            inside.last = Some(text.into());
        }
    }
}

impl Drop for Pass<'_> {
    /// A call that was given up decides nothing: the next one does.
    fn drop(&mut self) {
        if self.decides {
            self.breaker.lock().state = State::Open {
                until: Instant::now(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::task::Poll;

    const WHILE: Duration = Duration::from_secs(1);

    fn breaker() -> Breaker {
        Breaker::new(3, WHILE)
    }

    async fn answer(breaker: &Breaker) -> Result<u8, StoreError> {
        breaker.call(async { Ok(1) }).await
    }

    async fn fail(breaker: &Breaker) -> StoreError {
        let away = || StoreError::Unavailable {
            database: "db".into(),
            waited_ms: 10,
            source: "away".into(),
        };
        let failed: Result<(), _> = breaker.call(async { Err(away()) }).await;
        failed.unwrap_err()
    }

    fn is_open(error: &StoreError) -> bool {
        matches!(error, StoreError::CircuitOpen { .. })
    }

    #[tokio::test(start_paused = true)]
    async fn o13_it_opens_after_failures_in_a_row_and_says_for_how_long() {
        let breaker = breaker();
        for _ in 0..2 {
            fail(&breaker).await;
        }
        answer(&breaker).await.unwrap();
        for number in 1..=3 {
            assert!(!is_open(&fail(&breaker).await));
            assert_eq!(breaker.status().failures, number);
        }
        tokio::time::advance(WHILE / 4).await;
        let StoreError::CircuitOpen {
            failures,
            retry_after,
            last,
        } = answer(&breaker).await.unwrap_err()
        else {
            panic!("not open")
        };
        assert_eq!((failures, retry_after), (3, WHILE * 3 / 4));
        assert!(last.contains("away"), "{last}");
        assert_eq!(breaker.status().state, BreakerState::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn o13_half_open_one_call_decides_and_the_others_are_told_to_wait() {
        let breaker = breaker();
        for _ in 0..3 {
            fail(&breaker).await;
        }
        tokio::time::advance(WHILE).await;
        // It fails: open again.
        assert!(!is_open(&fail(&breaker).await));
        assert!(is_open(&answer(&breaker).await.unwrap_err()));
        tokio::time::advance(WHILE).await;
        let (let_go, held) = tokio::sync::oneshot::channel::<()>();
        let mut deciding = Box::pin(breaker.call(async {
            held.await.unwrap();
            Ok(())
        }));
        std::future::poll_fn(|cx| {
            assert!(deciding.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!(breaker.status().state, BreakerState::HalfOpen);
        assert!(is_open(&answer(&breaker).await.unwrap_err()));
        let_go.send(()).unwrap();
        deciding.await.unwrap();
        assert_eq!(
            breaker.status(),
            BreakerStatus {
                state: BreakerState::Closed,
                failures: 0,
                last: None,
                retry_after: None,
                opened: 1,
            }
        );
    }

    #[tokio::test(start_paused = true)]
    async fn o13_a_deciding_call_that_is_given_up_leaves_it_to_the_next() {
        let breaker = breaker();
        for _ in 0..3 {
            fail(&breaker).await;
        }
        tokio::time::advance(WHILE).await;
        let given_up = tokio::time::timeout(WHILE, breaker.call(pending::<Result<(), _>>()));
        given_up.await.unwrap_err();
        answer(&breaker).await.unwrap();
        assert_eq!(breaker.status().state, BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn o13_what_began_before_it_opened_decides_nothing() {
        let breaker = breaker();
        let (let_go, held) = tokio::sync::oneshot::channel::<()>();
        let mut early = Box::pin(breaker.call(async {
            held.await.unwrap();
            Ok(())
        }));
        std::future::poll_fn(|cx| {
            assert!(early.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        for _ in 0..3 {
            fail(&breaker).await;
        }
        let_go.send(()).unwrap();
        early.await.unwrap();
        assert_eq!(breaker.status().state, BreakerState::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn o13_faults_of_callers_do_not_open_it() {
        let breaker = breaker();
        for _ in 0..100 {
            let invalid: Result<(), _> = breaker
                .call(async {
                    Err(StoreError::Invalid {
                        task_uuid: uuid::Uuid::nil(),
                        problem: "a cycle".into(),
                    })
                })
                .await;
            invalid.unwrap_err();
        }
        assert_eq!(breaker.status().failures, 0);
        answer(&breaker).await.unwrap();
    }
}
