//! The life of one stream as a client sees it, without any I/O: events in, chunks or an error out.

use std::time::{Duration, Instant};

use crate::client::retry::{Contact, Retry, chance};
use crate::error::{Reason, RunAgentError};
use crate::generated::run_stream_request::Source;
use crate::generated::run_stream_response::Event;
use crate::generated::{
    Call, CancelInvocationRequest, OnDisconnect, Payload, ResumePoint, RunStreamRequest, RunStreamResponse,
    StreamChunks, StreamStarted,
};

const MISSED_HEARTBEATS: u32 = 3;

/// Where a stream stands: what has come, what may come next, and what it means when nothing does.
#[derive(Debug)]
pub(crate) struct StreamState {
    source: Source,
    retry: Retry,
    begun: bool,
    completed: bool,
    invocation_id: Option<String>,
    sequence: i64,
    silence_limit: Option<Duration>,
}

impl StreamState {
    pub(crate) fn new(source: Source, retry: Retry) -> Self {
        let (invocation_id, sequence) = match &source {
            Source::Resume(point) => (Some(point.invocation_id.clone()), point.after_sequence),
            Source::Call(_) => (None, 0),
        };
        Self { source, retry, begun: false, completed: false, invocation_id, sequence, silence_limit: None }
    }

    /// What to ask for now: the call, until it has started, and from then on whatever has not come yet.
    pub(crate) fn request(&self) -> RunStreamRequest {
        let source = match &self.invocation_id {
            None => self.source.clone(),
            Some(invocation_id) => {
                Source::Resume(ResumePoint { invocation_id: invocation_id.clone(), after_sequence: self.sequence })
            }
        };
        RunStreamRequest { source: Some(source) }
    }

    /// Known from the first event on, and of a stream that is resumed.
    pub(crate) fn invocation_id(&self) -> Option<&str> {
        self.invocation_id.as_deref()
    }

    /// Whether `started` has come.
    pub(crate) fn begun(&self) -> bool {
        self.begun
    }

    /// Whether the terminal event has come.
    pub(crate) fn completed(&self) -> bool {
        self.completed
    }

    /// After how much silence the server counts as gone. None until the stream has started.
    pub(crate) fn silence_limit(&self) -> Option<Duration> {
        self.silence_limit
    }

    pub(crate) fn failures(&self) -> u32 {
        self.retry.failures()
    }

    /// What to say when the caller leaves; None where the invocation may go on without them.
    pub(crate) fn farewell(&self) -> Option<CancelInvocationRequest> {
        match &self.source {
            Source::Call(call) => farewell_to(call, self.invocation_id()),
            // Who takes up what somebody started leaves it to the terms on which that was.
            Source::Resume(_) => None,
        }
    }

    /// Takes the next event, and returns the chunks that it brings, none of them a second time.
    ///
    /// Fails with `STREAM_INTERRUPTED` where a chunk is missing, which no resuming would mend.
    pub(crate) fn receive(&mut self, message: RunStreamResponse) -> Result<Vec<Payload>, RunAgentError> {
        match message.event {
            Some(Event::Chunks(chunks)) => return self.chunks(chunks),
            Some(Event::Started(started)) => self.started(started)?,
            Some(Event::Heartbeat(_)) => self.retry.progressed(),
            Some(Event::Completed(completed)) => {
                self.require_all(completed.chunk_count)?;
                self.completed = true;
            }
            // Events of a later contract are not for us.
            None => {}
        }
        Ok(Vec::new())
    }

    /// Takes it that the transport has no more, though the terminal event is missing. Ends as `fail` does.
    pub(crate) fn end(&mut self, contact: Contact) -> Result<Duration, RunAgentError> {
        let error = self.interrupted("The stream ended before the entrypoint did.");
        self.fail(error, contact)
    }

    /// Takes it that nothing came for as long as `silence_limit`. Ends as `fail` does.
    pub(crate) fn fall_silent(&mut self, contact: Contact) -> Result<Duration, RunAgentError> {
        let seconds = self.silence_limit.unwrap_or_default().as_secs_f64();
        let error = self.interrupted(&format!("The server fell silent for {seconds} s."));
        self.fail(error, contact)
    }

    /// Takes what the transport reports. Returns after how long to make `request`, or fails with what it means that
    /// this is not to be done any more.
    pub(crate) fn fail(&mut self, error: RunAgentError, contact: Contact) -> Result<Duration, RunAgentError> {
        let error = if error.reason() == Reason::ConnectionError && self.begun {
            let details = error.details().unwrap_or(error.message()).to_owned();
            self.interrupted("The connection to the server was lost.").with_details(details)
        } else {
            error
        };
        let error = error.of_invocation(self.invocation_id());
        self.retry.pause_after(error, contact, Instant::now(), chance())
    }

    fn started(&mut self, started: StreamStarted) -> Result<(), RunAgentError> {
        if self.invocation_id.as_ref().is_some_and(|known| *known != started.invocation_id) {
            let error =
                RunAgentError::new(Reason::InternalError, "The server answered with the stream of another invocation.");
            return Err(error.of_invocation(self.invocation_id()));
        }
        // A published server's older dialects may tell none, and then there is nothing to resume.
        self.invocation_id = Some(started.invocation_id).filter(|id| !id.is_empty());
        if !self.begun {
            // Once: a server that takes a stream up again and again, and sends nothing of it, gets nowhere.
            self.begun = true;
            self.retry.progressed();
        }
        let interval = started.heartbeat_interval.and_then(|interval| Duration::try_from(interval).ok());
        self.silence_limit =
            interval.map(|interval| interval.saturating_mul(MISSED_HEARTBEATS)).filter(|limit| !limit.is_zero());
        Ok(())
    }

    fn chunks(&mut self, chunks: StreamChunks) -> Result<Vec<Payload>, RunAgentError> {
        let Ok(repeated) = usize::try_from(self.sequence.saturating_add(1).saturating_sub(chunks.first_sequence))
        else {
            return Err(self.interrupted(&format!("Chunk {} is missing.", self.sequence.saturating_add(1))));
        };
        let mut values = chunks.values;
        values.drain(..repeated.min(values.len()));
        if !values.is_empty() {
            self.sequence = self.sequence.saturating_add(i64::try_from(values.len()).unwrap_or(i64::MAX));
            self.retry.progressed();
        }
        Ok(values)
    }

    fn require_all(&self, chunk_count: i64) -> Result<(), RunAgentError> {
        if chunk_count == self.sequence {
            return Ok(());
        }
        Err(self.interrupted(&format!("The entrypoint produced {chunk_count} chunks, and {} came.", self.sequence)))
    }

    fn interrupted(&self, message: &str) -> RunAgentError {
        RunAgentError::new(Reason::StreamInterrupted, message).of_invocation(self.invocation_id())
    }
}

/// Returns what cancels a call that its caller leaves on purpose; None for a detached one, which goes on.
pub(crate) fn farewell_to(call: &Call, invocation_id: Option<&str>) -> Option<CancelInvocationRequest> {
    (call.on_disconnect() != OnDisconnect::Detach).then(|| CancelInvocationRequest {
        invocation_id: invocation_id.unwrap_or_default().to_owned(),
        request_id: call.request_id.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::deadline::Deadline;
    use crate::client::retry::DEFAULT_PATIENCE;
    use crate::generated::StreamCompleted;
    use crate::value::Value;

    fn of(event: Event) -> RunStreamResponse {
        RunStreamResponse { event: Some(event) }
    }

    fn started(invocation_id: &str) -> RunStreamResponse {
        let heartbeat_interval = Some(prost_types::Duration { seconds: 15, nanos: 0 });
        of(Event::Started(StreamStarted { invocation_id: invocation_id.into(), start_time: None, heartbeat_interval }))
    }

    fn chunks(first_sequence: i64, texts: &[&str]) -> RunStreamResponse {
        let values = texts.iter().map(|text| Value::from(*text).into_payload()).collect();
        of(Event::Chunks(StreamChunks { first_sequence, values }))
    }

    fn completed(chunk_count: i64) -> RunStreamResponse {
        of(Event::Completed(StreamCompleted { chunk_count, elapsed: None }))
    }

    fn stream() -> StreamState {
        let call = Call { request_id: "r".into(), ..Call::default() };
        StreamState::new(Source::Call(call), Retry::new(DEFAULT_PATIENCE, Deadline::after(None)))
    }

    fn texts(payloads: Vec<Payload>) -> Vec<String> {
        payloads.into_iter().map(|payload| Value::from_payload(payload).unwrap().to_string()).collect()
    }

    #[test]
    fn a_call_is_repeated_until_it_has_started_and_resumed_from_then_on() {
        let mut state = stream();
        assert!(matches!(state.request().source, Some(Source::Call(_))));
        state.receive(started("i")).unwrap();
        state.receive(chunks(1, &["a", "b"])).unwrap();
        let point = ResumePoint { invocation_id: "i".into(), after_sequence: 2 };
        assert_eq!(state.request().source, Some(Source::Resume(point)));
        assert_eq!(state.silence_limit(), Some(Duration::from_secs(45)));
    }

    #[test]
    fn no_chunk_comes_twice() {
        let mut state = stream();
        state.receive(started("i")).unwrap();
        assert_eq!(texts(state.receive(chunks(1, &["a", "b"])).unwrap()), ["a", "b"]);
        assert_eq!(texts(state.receive(chunks(1, &["a", "b", "c"])).unwrap()), ["c"]);
        assert_eq!(texts(state.receive(chunks(1, &["a"])).unwrap()), [""; 0]);
        state.receive(completed(3)).unwrap();
        assert!(state.completed());
    }

    #[test]
    fn a_missing_chunk_is_an_error() {
        let mut state = stream();
        state.receive(started("i")).unwrap();
        let error = state.receive(chunks(2, &["b"])).unwrap_err();
        assert_eq!((error.reason(), error.message()), (Reason::StreamInterrupted, "Chunk 1 is missing."));
        assert_eq!(error.invocation_id(), Some("i"));
        let error = state.receive(completed(4)).unwrap_err();
        assert_eq!(error.message(), "The entrypoint produced 4 chunks, and 0 came.");
    }

    #[test]
    fn numbers_that_no_server_counts_to_do_no_harm() {
        let mut state = stream();
        state.receive(started("i")).unwrap();
        assert!(state.receive(chunks(i64::MAX, &["a"])).is_err());
        assert_eq!(texts(state.receive(chunks(i64::MIN, &["a"])).unwrap()), [""; 0]);
    }

    #[test]
    fn the_stream_of_another_invocation_is_an_error() {
        let mut state = stream();
        state.receive(started("i")).unwrap();
        assert_eq!(state.receive(started("j")).unwrap_err().reason(), Reason::InternalError);
    }

    #[test]
    fn an_end_without_the_terminal_event_is_resumed_where_the_server_is_known_and_an_error_where_not() {
        let mut state = stream();
        state.receive(started("i")).unwrap();
        assert!(state.end(Contact::Answer).is_ok());
        assert_eq!(state.end(Contact::None).unwrap_err().reason(), Reason::StreamInterrupted);
    }

    #[test]
    fn events_of_a_later_contract_are_ignored() {
        assert!(stream().receive(RunStreamResponse { event: None }).unwrap().is_empty());
    }

    #[test]
    fn leaving_cancels_by_what_is_known_of_the_call_unless_it_is_detached() {
        let mut state = stream();
        assert_eq!(state.farewell().unwrap().request_id, "r");
        state.receive(started("i")).unwrap();
        assert_eq!(state.farewell().unwrap().invocation_id, "i");
        let detached = Call { on_disconnect: OnDisconnect::Detach.into(), ..Call::default() };
        assert_eq!(farewell_to(&detached, Some("i")), None);
    }
}
