//! The moment when a caller's time is up: one for a whole call, however often it is tried.

use std::time::{Duration, Instant};

use crate::error::{Reason, RunAgentError};

/// When a call that began just now has to be over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    timeout: Option<Duration>,
    end: Option<Instant>,
}

impl Deadline {
    pub(crate) fn after(timeout: Option<Duration>) -> Self {
        Self { timeout, end: timeout.and_then(|timeout| Instant::now().checked_add(timeout)) }
    }

    /// Returns the time until then, at most `limit`.
    pub(crate) fn remaining(&self, limit: Option<Duration>) -> Option<Duration> {
        let remaining = self.end.map(|end| end.saturating_duration_since(Instant::now()));
        match (remaining, limit) {
            (Some(remaining), Some(limit)) => Some(remaining.min(limit)),
            (either, None) | (None, either) => either,
        }
    }

    pub(crate) fn passed(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// Returns what a server is told to give the work, in seconds; whole ones where the caller gave whole ones, for
    /// published servers take no others.
    pub(crate) fn run_timeout(&self) -> Option<serde_json::Number> {
        let remaining = self.remaining(None)?.as_secs_f64();
        if self.timeout.is_some_and(|timeout| timeout.subsec_nanos() == 0) {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // A duration's seconds fit.
            return Some(serde_json::Number::from(remaining.ceil() as u64));
        }
        serde_json::Number::from_f64(remaining)
    }

    /// Waits for `work`, or until the time is up.
    pub(crate) async fn bound<T>(
        &self,
        work: impl Future<Output = Result<T, RunAgentError>>,
    ) -> Result<T, RunAgentError> {
        match self.remaining(None) {
            None => work.await,
            Some(remaining) => tokio::time::timeout(remaining, work).await.unwrap_or_else(|_| Err(self.error())),
        }
    }

    /// Returns what it means that it has passed.
    pub(crate) fn error(&self) -> RunAgentError {
        let seconds = self.timeout.unwrap_or_default().as_secs_f64();
        RunAgentError::new(Reason::Timeout, format!("The call timed out after {seconds} s."))
    }
}
