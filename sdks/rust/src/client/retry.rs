//! Whether a call that failed is made again, and when: backoff, and the end of all patience. No I/O, and no sleep.
//!
//! Only what the want of a server made fail is made again. The call's request id, or its place in a stream, keeps the
//! server from doing anything twice (docs/design.md, idempotency).

use std::time::{Duration, Instant};

use crate::client::deadline::Deadline;
use crate::error::{Reason, RunAgentError};

pub(crate) const DEFAULT_PATIENCE: Duration = Duration::from_secs(60);

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Enough for a connection that breaks before it is one; a port of something else is told soon, all the same.
const PATIENCE_WITH_STRANGERS: Duration = Duration::from_secs(5);

/// What a client has ever had of a server, which says what it means that none answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contact {
    /// Nothing: the address is wrong, or no server runs. Also of a server that would run a repeated call twice.
    None,
    /// Somebody took a connection, and it broke.
    Connection,
    /// It has answered: one that does not now is being restarted, or cannot be reached for a moment.
    Answer,
}

/// The tries of one call.
#[derive(Debug)]
pub(crate) struct Retry {
    patience: Duration,
    deadline: Deadline,
    failures: u32,
    failing_since: Option<Instant>,
}

impl Retry {
    /// `patience` is how long to go on after a failure.
    pub(crate) fn new(patience: Duration, deadline: Deadline) -> Self {
        Self { patience, deadline, failures: 0, failing_since: None }
    }

    /// How many failures there were since the server last gave something.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Says that the server gave something that was not there before: patience and backoff start anew.
    pub(crate) fn progressed(&mut self) {
        self.failures = 0;
        self.failing_since = None;
    }

    /// Returns how long to wait before the next try. `chance`, from 0 to 1, spreads callers.
    ///
    /// Fails with the error itself where there is to be none, which then says for how long it was tried.
    pub(crate) fn pause_after(
        &mut self,
        error: RunAgentError,
        contact: Contact,
        now: Instant,
        chance: f64,
    ) -> Result<Duration, RunAgentError> {
        let tried = now.saturating_duration_since(*self.failing_since.get_or_insert(now));
        self.failures += 1;
        let pause = self.backoff(chance).max(error.retry_after().unwrap_or_default());
        let in_time = self.deadline.remaining(None).is_none_or(|remaining| remaining > pause);
        if is_for_want_of_a_server(error.reason()) && tried + pause <= self.patience_with(contact) && in_time {
            return Ok(pause);
        }
        Err(self.last(error, tried))
    }

    fn patience_with(&self, contact: Contact) -> Duration {
        match contact {
            Contact::None => Duration::ZERO,
            Contact::Connection => self.patience.min(PATIENCE_WITH_STRANGERS),
            Contact::Answer => self.patience,
        }
    }

    fn backoff(&self, chance: f64) -> Duration {
        let whole = FIRST_PAUSE.saturating_mul(1 << (self.failures - 1).min(30)).min(LONGEST_PAUSE);
        whole.mul_f64(0.5 + 0.5 * chance)
    }

    fn last(&self, mut error: RunAgentError, tried: Duration) -> RunAgentError {
        if self.failures > 1 && is_for_want_of_a_server(error.reason()) {
            error.append(&format!("It was tried {} times in {:.1} s.", self.failures, tried.as_secs_f64()));
        }
        error
    }
}

fn is_for_want_of_a_server(reason: Reason) -> bool {
    matches!(reason, Reason::ConnectionError | Reason::StreamInterrupted | Reason::ShuttingDown)
}

/// Returns a number from 0 to 1. Good enough to spread callers, and no more.
pub(crate) fn chance() -> f64 {
    let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
    f64::from(u16::try_from(random >> 48).unwrap_or_default()) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone() -> RunAgentError {
        RunAgentError::new(Reason::ConnectionError, "Nobody answers.")
    }

    fn retry() -> Retry {
        Retry::new(DEFAULT_PATIENCE, Deadline::after(None))
    }

    #[test]
    fn a_server_that_never_answered_is_not_asked_twice() {
        let error = retry().pause_after(gone(), Contact::None, Instant::now(), 1.0).unwrap_err();
        assert_eq!(error.message(), "Nobody answers.");
    }

    #[test]
    fn pauses_double_up_to_two_seconds_and_are_halved_by_chance_at_most() {
        let (mut retry, now) = (retry(), Instant::now());
        let pauses: Vec<u128> =
            (0..8).map(|_| retry.pause_after(gone(), Contact::Answer, now, 1.0).unwrap().as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(retry.pause_after(gone(), Contact::Answer, now, 0.0).unwrap().as_millis(), 1000);
    }

    #[test]
    fn patience_ends_sixty_seconds_after_the_last_sign_of_life() {
        let (mut retry, start) = (retry(), Instant::now());
        retry.pause_after(gone(), Contact::Answer, start, 1.0).unwrap();
        let error = retry.pause_after(gone(), Contact::Answer, start + DEFAULT_PATIENCE, 1.0).unwrap_err();
        assert_eq!(error.message(), "Nobody answers. It was tried 2 times in 60.0 s.");
        retry.progressed();
        assert!(retry.pause_after(gone(), Contact::Answer, start + DEFAULT_PATIENCE, 1.0).is_ok());
    }

    #[test]
    fn a_server_says_itself_when_to_come_back() {
        let error = gone().with_retry_after(Some(Duration::from_secs(7)));
        let pause = retry().pause_after(error, Contact::Answer, Instant::now(), 1.0).unwrap();
        assert_eq!(pause, Duration::from_secs(7));
    }

    #[test]
    fn no_try_is_made_that_the_deadline_would_not_let_begin() {
        let mut retry = Retry::new(DEFAULT_PATIENCE, Deadline::after(Some(Duration::from_millis(10))));
        assert!(retry.pause_after(gone(), Contact::Answer, Instant::now(), 1.0).is_err());
    }

    #[test]
    fn what_a_server_refused_is_not_tried_again() {
        let refused = RunAgentError::new(Reason::Overloaded, "Too many.");
        let error = retry().pause_after(refused, Contact::Answer, Instant::now(), 1.0).unwrap_err();
        assert_eq!(error.reason(), Reason::Overloaded);
    }
}
