//! Runs `started` and `stopped`: with a deadline, and with their panics caught.

use super::exit::{Hook, HookProblem, Trouble};
use super::running::{guarded, panic_text};
use super::shared::Shared;
use super::{Actor, Level};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// How a hook ended.
pub(super) enum Hooked {
    Done,
    Went(HookProblem),
    /// A kill arrived while it ran.
    Killed,
}

/// Runs a hook to its end, its deadline, or, for `started`, a kill.
pub(super) async fn run_hook<A: Actor>(
    shared: &Shared<A>,
    hook: Hook,
    deadline: Duration,
    future: impl Future<Output = Result<(), A::Error>> + Send,
) -> Hooked {
    let killable = hook == Hook::Started;
    let mut future = Box::pin(future);
    // Most hooks are ready at once, and then no timer is needed.
    let mut timer = None;
    let hooked = poll_fn(|cx| {
        let polled = {
            let _current = shared.id.enter();
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)))
        };
        let trouble = match polled {
            Ok(Poll::Ready(Ok(()))) => return Poll::Ready(Hooked::Done),
            Ok(Poll::Ready(Err(error))) => Trouble::Failed(Arc::new(error)),
            Err(payload) => Trouble::Panicked(panic_text(payload)),
            Ok(Poll::Pending) => {
                if killable && shared.mailbox.watch_level(cx) == Level::Kill {
                    return Poll::Ready(Hooked::Killed);
                }
                // A runtime without a clock says so by a panic.
                let passed = catch_unwind(AssertUnwindSafe(|| {
                    let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(deadline)));
                    timer.as_mut().poll(cx)
                }));
                match passed {
                    Ok(Poll::Pending) => return Poll::Pending,
                    Ok(Poll::Ready(())) => Trouble::TimedOut(deadline),
                    Err(payload) => Trouble::Panicked(panic_text(payload)),
                }
            }
        };
        Poll::Ready(Hooked::Went(HookProblem { hook, trouble }))
    })
    .await;
    match guarded(shared.id, || drop(future)) {
        Err(text) if matches!(hooked, Hooked::Done) => Hooked::Went(HookProblem {
            hook,
            trouble: Trouble::Panicked(text),
        }),
        _ => hooked,
    }
}
