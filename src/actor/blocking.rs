//! Sending from threads that no runtime drives.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// Waits for a future by parking this thread. Gives `input` back where that would hold a runtime up: inside one.
pub(crate) fn wait<I, F: Future>(input: I, begin: impl FnOnce(I) -> F) -> Result<F::Output, I> {
    if tokio::runtime::Handle::try_current().is_ok() {
        return Err(input);
    }
    let mut future = std::pin::pin!(begin(input));
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Ok(output);
        }
        // An unpark that came since the poll makes this return at once.
        thread::park();
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}
