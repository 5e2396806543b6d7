//! The client itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::client::builder::ClientBuilder;
use crate::client::call::{CallBuilder, OnDisconnect};
use crate::client::connection::{Connection, Wire};
use crate::client::deadline::Deadline;
use crate::client::retry::{Retry, chance};
use crate::client::stream::ChunkStream;
use crate::client::stream_state::StreamState;
use crate::error::RunAgentError;
use crate::generated::ResumePoint;
use crate::generated::run_stream_request::Source;
use crate::value::Value;

/// Calls one entrypoint of one agent.
///
/// Cheap to clone: clones share one connection. It belongs to the tokio runtime that it is first used in.
#[derive(Clone)]
pub struct RunAgentClient {
    connection: Arc<Connection>,
    options: Arc<Options>,
}

/// What every call of a client has in common.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) agent_id: String,
    pub(crate) entrypoint_tag: String,
    pub(crate) user_id: String,
    pub(crate) persistent_memory: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) patience: Duration,
    pub(crate) on_disconnect: OnDisconnect,
}

impl RunAgentClient {
    /// Makes a client for an entrypoint: one that the agent's server on this machine has (`local`), or the one that
    /// `RUNAGENT_BASE_URL` names. [`builder`](Self::builder) has every other option.
    ///
    /// # Errors
    ///
    /// As [`ClientBuilder::build`].
    pub async fn new(agent_id: &str, entrypoint_tag: &str, local: bool) -> Result<Self, RunAgentError> {
        Self::builder(agent_id, entrypoint_tag).local(local).build().await
    }

    /// Begins a client with other options. An empty `agent_id` calls the only agent that the server serves.
    pub fn builder(agent_id: &str, entrypoint_tag: &str) -> ClientBuilder {
        ClientBuilder::new(agent_id, entrypoint_tag)
    }

    /// Calls the entrypoint with these arguments, and returns its value.
    ///
    /// # Errors
    ///
    /// As [`CallBuilder::run`].
    pub async fn run(&self, kwargs: &[(&str, Json)]) -> Result<Value, RunAgentError> {
        self.call_with(kwargs).run().await
    }

    /// Calls the entrypoint, which must stream (its tag ends in `_stream`), and returns its chunks as they come.
    ///
    /// # Errors
    ///
    /// As [`CallBuilder::run_stream`].
    pub async fn run_stream(&self, kwargs: &[(&str, Json)]) -> Result<ChunkStream, RunAgentError> {
        self.call_with(kwargs).run_stream().await
    }

    /// Begins a call with whatever it needs besides named JSON arguments.
    pub fn call(&self) -> CallBuilder {
        CallBuilder::new(self.clone())
    }

    /// Takes up a stream behind its chunk number `after` (0: from the first), in the place of whoever reads it.
    ///
    /// Dropping it cancels nothing: what becomes of the invocation was said when it was started.
    ///
    /// # Errors
    ///
    /// `INVOCATION_NOT_FOUND`, `INVALID_CURSOR` beyond the last chunk, `REPLAY_EXPIRED` before the first that is kept.
    pub async fn resume(&self, invocation_id: &str, after: u64) -> Result<ChunkStream, RunAgentError> {
        if invocation_id.is_empty() {
            return Err(RunAgentError::of_field("invocation_id", "Name the invocation whose stream it is."));
        }
        let Ok(after_sequence) = i64::try_from(after) else {
            return Err(RunAgentError::of_field("after", format!("{after} is not the number of a chunk.")));
        };
        let point = ResumePoint { invocation_id: invocation_id.to_owned(), after_sequence };
        let deadline = Deadline::after(self.options.timeout);
        let state = StreamState::new(Source::Resume(point), self.retry(deadline));
        ChunkStream::open(self.connection(), state, deadline).await
    }

    /// Cancels an invocation. One that has ended stays as it ended.
    ///
    /// # Errors
    ///
    /// `INVOCATION_NOT_FOUND` for an id that is unknown, or another key's.
    pub async fn cancel(&self, invocation_id: &str) -> Result<(), RunAgentError> {
        let deadline = Deadline::after(self.options.timeout);
        let mut tries = self.tries(deadline).await?;
        loop {
            match deadline.bound(tries.wire.cancel(invocation_id, &deadline)).await {
                Ok(()) => return Ok(()),
                Err(error) => tries.pause_after(error).await?,
            }
        }
    }

    pub(crate) fn new_with(connection: Arc<Connection>, options: Options) -> Self {
        Self { connection, options: Arc::new(options) }
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn connection(&self) -> Arc<Connection> {
        self.connection.clone()
    }

    pub(crate) fn retry(&self, deadline: Deadline) -> Retry {
        // What ends with its connection cannot be taken up on another.
        let ends_with_it = self.options.on_disconnect == OnDisconnect::Cancel;
        Retry::new(if ends_with_it { Duration::ZERO } else { self.options.patience }, deadline)
    }

    /// Begins the tries of a call.
    pub(crate) async fn tries(&self, deadline: Deadline) -> Result<Tries, RunAgentError> {
        let wire = self.connection.wire(&deadline).await?;
        Ok(Tries { connection: self.connection(), retry: self.retry(deadline), wire })
    }

    fn call_with(&self, kwargs: &[(&str, Json)]) -> CallBuilder {
        kwargs.iter().fold(self.call(), |call, (name, value)| call.kwarg(*name, value.clone()))
    }
}

/// The tries of one call, which is made again for as long as the want of a server is what makes it fail.
pub(crate) struct Tries {
    connection: Arc<Connection>,
    retry: Retry,
    pub(crate) wire: Arc<Wire>,
}

impl Tries {
    /// Waits until the next try, if there is to be one; fails with the error if not.
    pub(crate) async fn pause_after(&mut self, error: RunAgentError) -> Result<(), RunAgentError> {
        let pause = self.retry.pause_after(error, self.wire.contact(), Instant::now(), chance())?;
        tokio::time::sleep(pause).await;
        self.wire = self.connection.after(&self.wire, self.retry.failures(), false).await;
        Ok(())
    }
}

impl std::fmt::Debug for RunAgentClient {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RunAgentClient")
            .field("agent_id", &self.options.agent_id)
            .field("entrypoint_tag", &self.options.entrypoint_tag)
            .finish_non_exhaustive()
    }
}
