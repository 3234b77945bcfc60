//! Handlers without their types: what remains is an attempt that ends in JSON text or a [`StepError`].

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::context::Attempt;
use super::{StepContext, StepError, StepHandler};

/// What a handler's attempt comes to: its result as JSON text, or why there is none.
pub(crate) type Outcome = Result<String, StepError>;

/// An attempt that is ready to go. Nothing of the user's has run yet, so that whoever drives it guards all
/// of it against panics.
pub(crate) enum Work {
    /// To be polled.
    Async(Pin<Box<dyn Future<Output = Outcome> + Send>>),
    /// To be called on a thread that may block.
    Blocking(Box<dyn FnOnce() -> Outcome + Send>),
}

/// A handler of any type.
pub(crate) trait ErasedHandler: Send + Sync {
    fn prepare(&self, attempt: Arc<Attempt>) -> Work;
    fn check_config(&self, config: &Value) -> Result<(), String>;
    fn grace(&self) -> Duration;
}

/// A [`StepHandler`] and the state it is given.
pub(super) struct AsyncHandler<H, S> {
    handler: Arc<H>,
    state: Arc<S>,
}

impl<H, S> AsyncHandler<H, S> {
    pub(super) fn new(handler: H, state: Arc<S>) -> Self {
        let handler = Arc::new(handler);
        Self { handler, state }
    }
}

impl<H: StepHandler<S>, S: Send + Sync + 'static> ErasedHandler for AsyncHandler<H, S> {
    fn prepare(&self, attempt: Arc<Attempt>) -> Work {
        let handler = Arc::clone(&self.handler);
        let state = Arc::clone(&self.state);
        Work::Async(Box::pin(async move {
            let input = attempt.input()?;
            let limit = attempt.max_result;
            let output = handler.run(input, StepContext::new(attempt, state)).await?;
            encode(&output, limit)
        }))
    }

    fn check_config(&self, config: &Value) -> Result<(), String> {
        self.handler.check_config(config)
    }

    fn grace(&self) -> Duration {
        self.handler.grace()
    }
}

/// Types that a function mentions and nothing holds: it is Send and Sync whatever they are.
type Signature<T> = PhantomData<fn() -> T>;

/// An async closure as a [`StepHandler`].
pub(super) struct FnHandler<F, I, O, E, Fut> {
    function: F,
    signature: Signature<(I, E, O, Fut)>,
}

impl<F, I, O, E, Fut> FnHandler<F, I, O, E, Fut> {
    pub(super) fn new(function: F) -> Self {
        Self {
            function,
            signature: PhantomData,
        }
    }
}

impl<S, F, I, O, E, Fut> StepHandler<S> for FnHandler<F, I, O, E, Fut>
where
    S: Send + Sync + 'static,
    F: Fn(I, StepContext<S>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, E>> + Send + 'static,
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send + 'static,
    E: Into<StepError> + 'static,
{
    type Input = I;
    type Output = O;

    async fn run(&self, input: I, step: StepContext<S>) -> Result<O, StepError> {
        (self.function)(input, step).await.map_err(Into::into)
    }
}

/// A blocking function and the state it is given.
pub(super) struct BlockingHandler<F, S, I, O, E> {
    function: Arc<F>,
    state: Arc<S>,
    signature: Signature<(I, O, E)>,
}

impl<F, S, I, O, E> BlockingHandler<F, S, I, O, E> {
    pub(super) fn new(function: F, state: Arc<S>) -> Self {
        Self {
            function: Arc::new(function),
            state,
            signature: PhantomData,
        }
    }
}

impl<F, S, I, O, E> ErasedHandler for BlockingHandler<F, S, I, O, E>
where
    F: Fn(I, StepContext<S>) -> Result<O, E> + Send + Sync + 'static,
    S: Send + Sync + 'static,
    I: DeserializeOwned + Send + 'static,
    O: Serialize + 'static,
    E: Into<StepError> + 'static,
{
    fn prepare(&self, attempt: Arc<Attempt>) -> Work {
        let function = Arc::clone(&self.function);
        let state = Arc::clone(&self.state);
        Work::Blocking(Box::new(move || {
            let input = attempt.input()?;
            let limit = attempt.max_result;
            let output = function(input, StepContext::new(attempt, state)).map_err(Into::into)?;
            encode(&output, limit)
        }))
    }

    fn check_config(&self, _: &Value) -> Result<(), String> {
        Ok(())
    }

    fn grace(&self) -> Duration {
        Duration::ZERO
    }
}

pub(super) fn encode<O: Serialize + ?Sized>(output: &O, limit: usize) -> Outcome {
    let json = serde_json::to_string(output).map_err(|error| {
        StepError::permanent(format!("the result cannot be written as JSON: {error}"))
            .with_kind("result")
    })?;
    if json.len() > limit {
        let message = format!(
            "the result has {} bytes as JSON, the limit is {limit}; store it elsewhere and return where",
            json.len()
        );
        return Err(StepError::permanent(message).with_kind("result_too_large"));
    }
    Ok(json)
}
