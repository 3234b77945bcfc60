//! Calls an actor's code: marked as the actor's, and with its panics caught.

use super::identity::ActorId;
use crate::mailbox::Guard;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Calls code of this actor.
pub(crate) struct Guarded(pub(crate) ActorId);

impl Guard for Guarded {
    #[inline]
    fn call<T>(&self, code: impl FnOnce() -> T) -> Result<T, Arc<str>> {
        let _current = self.0.enter();
        catch_unwind(AssertUnwindSafe(code)).map_err(panic_text)
    }
}

/// Calls code of this actor.
pub(crate) fn guarded<T>(actor: ActorId, code: impl FnOnce() -> T) -> Result<T, Arc<str>> {
    Guarded(actor).call(code)
}

/// Calls code of the user's that is no actor's. If it panics, the panic hook has said so.
#[cold]
pub(crate) fn caught<T>(code: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(code))
        .map_err(panic_text)
        .ok()
}

/// What a panic said. The payload is dropped here, and may panic once more.
#[cold]
pub(crate) fn panic_text(payload: Box<dyn Any + Send>) -> Arc<str> {
    let text: Arc<str> = if let Some(text) = payload.downcast_ref::<&'static str>() {
        Arc::from(*text)
    } else if let Some(text) = payload.downcast_ref::<String>() {
        Arc::from(text.as_str())
    } else {
        Arc::from("a panic whose payload is not text")
    };
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // A payload whose drop panics could go on so for ever.
        std::mem::forget(second);
    }
    text
}
