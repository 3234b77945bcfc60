//! Why a step failed, as its handler says it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::orchestration::store::StepFailure;

/// The error of a step handler: a kind (a short word), a message for people, and whether another attempt
/// makes sense.
///
/// Like `anyhow::Error` it does not implement [`std::error::Error`] itself, so that `?` turns every error
/// that does into a retryable `StepError` of kind `error`, with its chain of sources in the message.
///
/// ```
/// use postroom::orchestration::worker::StepError;
///
/// fn parse(text: &str) -> Result<u32, StepError> {
///     Ok(text.trim().parse()?)
/// }
///
/// assert!(parse("twelve").unwrap_err().is_retryable());
///
/// let gone = StepError::permanent("order 17 was withdrawn").with_kind("withdrawn");
/// assert_eq!(gone.to_string(), "withdrawn: order 17 was withdrawn");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct StepError {
    kind: String,
    message: String,
    retryable: bool,
    retry_after: Option<Duration>,
}

impl StepError {
    /// A failure that may go away: the step is tried again while its template allows.
    ///
    /// The message is formatted with `{:#}`, so that errors which can show their causes in one line do.
    pub fn retryable(message: impl fmt::Display) -> Self {
        Self {
            kind: "error".to_owned(),
            message: format!("{message:#}"),
            retryable: true,
            retry_after: None,
        }
    }

    /// A failure that another attempt would only repeat: the step fails for good.
    pub fn permanent(message: impl fmt::Display) -> Self {
        Self {
            retryable: false,
            ..Self::retryable(message)
        }
    }

    /// The same failure under another kind; the kind is stored and shown, and means nothing to the
    /// orchestration.
    #[must_use]
    pub fn with_kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = kind.into();
        self
    }

    /// The same failure, to be tried again after this long, as a `Retry-After` header asks for: instead of the
    /// template's backoff, and not before. The template's attempts still count, and a permanent failure stays
    /// permanent. More than [`RetryPolicy::MAX_BACKOFF_MS`] counts as that.
    ///
    /// ```
    /// # use postroom::orchestration::worker::StepError;
    /// # use std::time::Duration;
    /// let busy = StepError::retryable("429 too many requests").with_retry_after(Duration::from_secs(120));
    /// assert_eq!(busy.retry_after(), Some(Duration::from_secs(120)));
    /// ```
    ///
    /// [`RetryPolicy::MAX_BACKOFF_MS`]: crate::orchestration::template::RetryPolicy::MAX_BACKOFF_MS
    #[must_use]
    pub fn with_retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// The same failure, not to be tried again.
    #[must_use]
    pub fn into_permanent(mut self) -> Self {
        self.retryable = false;
        self
    }

    /// A short word for the kind of failure; `error` unless said otherwise.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What happened, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// When the handler would like to be tried again, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether another attempt makes sense.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

impl fmt::Debug for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fate = if self.retryable {
            "retryable"
        } else {
            "permanent"
        };
        write!(f, "StepError({fate}, {self})")
    }
}

impl<E: Error> From<E> for StepError {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Many errors already print their source; saying it twice helps nobody.
            if !message.ends_with(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            source = cause.source();
        }
        Self::retryable(message)
    }
}

impl From<StepError> for StepFailure {
    fn from(error: StepError) -> Self {
        Self {
            kind: error.kind,
            message: error.message,
            retryable: error.retryable,
            retry_after: error.retry_after,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot charge the card")]
    struct Charge(#[source] Network);

    #[derive(Debug, thiserror::Error)]
    #[error("connection reset")]
    struct Network;

    #[derive(Debug, thiserror::Error)]
    #[error("outer says: {0}")]
    struct Repeats(#[source] Network);

    #[test]
    fn o07_an_error_becomes_retryable_with_its_causes_once() {
        let error = StepError::from(Charge(Network));
        assert_eq!(error.message(), "cannot charge the card: connection reset");
        assert_eq!(error.kind(), "error");
        assert!(error.is_retryable());
        assert_eq!(
            StepError::from(Repeats(Network)).message(),
            "outer says: connection reset"
        );
    }

    #[test]
    fn o07_a_failure_is_stored_as_the_handler_said_it() {
        let failure =
            StepFailure::from(StepError::permanent("no such order").with_kind("not_found"));
        assert_eq!(
            failure,
            StepFailure {
                kind: "not_found".to_owned(),
                message: "no such order".to_owned(),
                retryable: false,
                retry_after: None,
            }
        );
        assert!(!StepError::from(Network).into_permanent().is_retryable());
    }
}
