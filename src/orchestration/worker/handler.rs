//! What a program registers: handlers under names, as closures, types or blocking functions.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::erased::{AsyncHandler, BlockingHandler, ErasedHandler, FnHandler};
use super::{HandlerTable, InvalidHandlers, StepContext, StepError};

/// A step handler as a type of its own. Most are closures: see [`StepHandlers::register`].
///
/// One value serves every step that names it, many at a time.
///
/// ```
/// use postroom::orchestration::worker::{StepContext, StepError, StepHandler, StepHandlers};
///
/// struct Greet;
///
/// impl StepHandler for Greet {
///     type Input = String;
///     type Output = String;
///
///     async fn run(&self, name: String, _step: StepContext) -> Result<String, StepError> {
///         Ok(format!("Hello, {name}!"))
///     }
/// }
///
/// let table = StepHandlers::new().register_type("greet", Greet).build().unwrap();
/// assert!(table.contains("greet"));
/// ```
pub trait StepHandler<S = ()>: Send + Sync + 'static {
    /// The task's input as this handler wants it; `serde_json::Value` takes everything, `()` ignores it.
    type Input: DeserializeOwned + Send + 'static;
    /// The step's result.
    type Output: Serialize + Send;

    /// Runs one attempt.
    ///
    /// # Errors
    ///
    /// Its [`StepError`] says whether another attempt makes sense.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the step's time is up or it is cancelled, after [`grace`](Self::grace);
    /// what it did until then stays done.
    fn run(
        &self,
        input: Self::Input,
        step: StepContext<S>,
    ) -> impl Future<Output = Result<Self::Output, StepError>> + Send;

    /// Whether a template may configure a step like this (`handler.initialization`). Called before a task is
    /// stored, so that a bad template is refused as a whole.
    ///
    /// # Errors
    ///
    /// What is wrong with it, naming the key.
    fn check_config(&self, config: &Value) -> Result<(), String> {
        let _ = config;
        Ok(())
    }

    /// How long `run` may go on after its [cancellation](StepContext::cancellation), to end by itself. With
    /// zero, the default, it is polled once more and dropped.
    fn grace(&self) -> Duration {
        Duration::ZERO
    }
}

/// The handlers of a program while they are being registered. `S` is what they share.
///
/// ```
/// use postroom::orchestration::worker::{StepContext, StepError, StepHandlers};
///
/// async fn ship(order: u32, step: StepContext<Prices>) -> Result<String, StepError> {
///     let paid: u32 = step.parent("pay")?;
///     Ok(format!("order {order}, paid {paid}"))
/// }
///
/// struct Prices { each: u32 }
///
/// let table = StepHandlers::with_state(Prices { each: 3 })
///     .register("pay", |order: u32, step: StepContext<Prices>| async move {
///         Ok::<_, StepError>(order * step.state().each)
///     })
///     .register("ship", ship)
///     .register_blocking("print", |order: u32, _: StepContext<Prices>| {
///         std::fs::write("/dev/null", order.to_string())
///     })
///     .build()
///     .unwrap();
/// assert_eq!(table.names(), ["pay", "print", "ship"]);
/// ```
pub struct StepHandlers<S = ()> {
    state: Arc<S>,
    entries: Vec<(String, Arc<dyn ErasedHandler>)>,
}

impl StepHandlers<()> {
    /// No handlers yet, and nothing shared.
    pub fn new() -> Self {
        Self::with_state(())
    }
}

impl Default for StepHandlers<()> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Send + Sync + 'static> StepHandlers<S> {
    /// No handlers yet; those to come share `state`.
    pub fn with_state(state: S) -> Self {
        Self {
            state: Arc::new(state),
            entries: Vec::new(),
        }
    }

    /// Adds an async closure or function: `async fn(input, step) -> Result<output, error>`.
    ///
    /// The error is a [`StepError`] or anything that becomes one, such as every [`std::error::Error`].
    #[must_use]
    pub fn register<F, I, O, E, Fut>(self, name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(I, StepContext<S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, E>> + Send + 'static,
        I: DeserializeOwned + Send + 'static,
        O: Serialize + Send + 'static,
        E: Into<StepError> + 'static,
    {
        self.register_type(name, FnHandler::new(handler))
    }

    /// Adds a blocking function. It runs on a thread of its own for as long as it takes: when its time is up
    /// or it is cancelled, that is recorded at once, but the thread goes on, and occupies its place among the
    /// steps that run at a time, until the function returns. A long one should look at its
    /// [cancellation](StepContext::cancellation) now and then.
    #[must_use]
    pub fn register_blocking<F, I, O, E>(self, name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(I, StepContext<S>) -> Result<O, E> + Send + Sync + 'static,
        I: DeserializeOwned + Send + 'static,
        O: Serialize + 'static,
        E: Into<StepError> + 'static,
    {
        let erased = BlockingHandler::new(handler, Arc::clone(&self.state));
        self.insert(name.into(), Arc::new(erased))
    }

    /// Adds a handler that is a type of its own.
    #[must_use]
    pub fn register_type<H: StepHandler<S>>(self, name: impl Into<String>, handler: H) -> Self {
        let erased = AsyncHandler::new(handler, Arc::clone(&self.state));
        self.insert(name.into(), Arc::new(erased))
    }

    fn insert(mut self, name: String, handler: Arc<dyn ErasedHandler>) -> Self {
        self.entries.push((name, handler));
        self
    }

    /// The table that a core and its workers use.
    ///
    /// # Errors
    ///
    /// [`InvalidHandlers`] if a name was registered twice or is empty; it lists them all.
    pub fn build(self) -> Result<HandlerTable, InvalidHandlers> {
        HandlerTable::new(self.entries)
    }
}

impl<S> fmt::Debug for StepHandlers<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.entries.iter().map(|(name, _)| name);
        f.debug_tuple("StepHandlers")
            .field(&names.collect::<Vec<_>>())
            .finish()
    }
}
