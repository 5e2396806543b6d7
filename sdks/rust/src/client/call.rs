//! One call, with whatever it needs besides named JSON arguments.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::client::connection::Wire;
use crate::client::deadline::Deadline;
use crate::client::handle::RunAgentClient;
use crate::client::stream::{ChunkStream, withdraw_soon};
use crate::client::stream_state::{StreamState, farewell_to};
use crate::error::RunAgentError;
use crate::generated;
use crate::generated::run_stream_request::Source;
use crate::generated::{CancelInvocationRequest, KeywordArgument};
use crate::value::Value;

const RESUME_WINDOW: prost_types::Duration = prost_types::Duration { seconds: 10, nanos: 0 };

/// What becomes of an invocation whose caller is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDisconnect {
    /// Ends it with the connection, so that nothing is tried again.
    Cancel,
    /// Cancels it when the caller left on purpose, and gives one whose connection broke ten seconds to come back.
    #[default]
    Linger,
    /// Lets it run to its end either way.
    Detach,
}

/// A call that is being put together: [`RunAgentClient::call`].
///
/// ```no_run
/// # async fn call(client: runagent::RunAgentClient) -> Result<(), runagent::RunAgentError> {
/// let thumbnail = client.call().arg(vec![0xff, 0xd8]).kwarg("width", 64).request_id("order-17").run().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a call is made by `run` or `run_stream`"]
pub struct CallBuilder {
    client: RunAgentClient,
    call: generated::Call,
    timeout: Option<Duration>,
}

impl CallBuilder {
    pub(crate) fn new(client: RunAgentClient) -> Self {
        let options = client.options();
        let on_disconnect = match options.on_disconnect {
            OnDisconnect::Cancel => generated::OnDisconnect::Cancel,
            OnDisconnect::Linger => generated::OnDisconnect::Linger,
            OnDisconnect::Detach => generated::OnDisconnect::Detach,
        };
        let call = generated::Call {
            agent_id: options.agent_id.clone(),
            entrypoint_tag: options.entrypoint_tag.clone(),
            request_id: uuid::Uuid::new_v4().to_string(),
            user_id: options.user_id.clone(),
            persistent_memory: options.persistent_memory,
            on_disconnect: on_disconnect.into(),
            resume_window: (options.on_disconnect == OnDisconnect::Linger).then_some(RESUME_WINDOW),
            ..generated::Call::default()
        };
        let timeout = options.timeout;
        Self { client, call, timeout }
    }

    /// Adds a positional argument.
    pub fn arg(mut self, value: impl Into<Value>) -> Self {
        self.call.args.push(value.into().into_payload());
        self
    }

    /// Adds a named argument. An entrypoint that takes `**kwargs` sees them in this order; a name that is given twice is
    /// refused.
    pub fn kwarg(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let value = Some(value.into().into_payload());
        self.call.keywords.push(KeywordArgument { name: name.into(), value });
        self
    }

    /// Makes the call idempotent: a server that has seen the id joins the call to the first one, or answers with its
    /// outcome, and refuses it where it asks for something else. Without one, each call takes a new one.
    pub fn request_id(mut self, request_id: impl Into<String>) -> Self {
        self.call.request_id = request_id.into();
        self
    }

    /// How long this call may take, in place of the client's timeout.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Calls the entrypoint, and returns its value.
    ///
    /// Dropping the future cancels what runs, unless it is detached.
    ///
    /// # Errors
    ///
    /// Whatever the server says, and what keeps it from being reached.
    pub async fn run(self) -> Result<Value, RunAgentError> {
        let Self { client, call, timeout } = self;
        check(&call)?;
        let deadline = Deadline::after(timeout);
        let mut tries = client.tries(deadline).await?;
        let mut leaving = Leaving { farewell: farewell_to(&call, None), wire: tries.wire.clone() };
        loop {
            match deadline.bound(tries.wire.run(&call, &deadline)).await {
                Ok(value) => {
                    leaving.farewell = None;
                    return Ok(value);
                }
                Err(error) => {
                    let again = tries.pause_after(error).await;
                    leaving.wire = tries.wire.clone();
                    if let Err(last) = again {
                        leaving.farewell = None;
                        return Err(last);
                    }
                }
            }
        }
    }

    /// Calls the entrypoint, which must stream, and returns its chunks as they come, once it has started.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run); what goes wrong later is told by the stream.
    pub async fn run_stream(self) -> Result<ChunkStream, RunAgentError> {
        let Self { client, call, timeout } = self;
        check(&call)?;
        let deadline = Deadline::after(timeout);
        let state = StreamState::new(Source::Call(call), client.retry(deadline));
        ChunkStream::open(client.connection(), state, deadline).await
    }
}

fn check(call: &generated::Call) -> Result<(), RunAgentError> {
    if call.entrypoint_tag.is_empty() {
        return Err(RunAgentError::of_field("entrypoint_tag", "Name the entrypoint to call."));
    }
    let mut names = HashSet::new();
    match call.keywords.iter().find(|keyword| !names.insert(&keyword.name)) {
        Some(twice) => Err(RunAgentError::of_argument(&twice.name, "Given twice by name.")),
        None => Ok(()),
    }
}

/// Cancels a run whose future is dropped.
struct Leaving {
    farewell: Option<CancelInvocationRequest>,
    wire: Arc<Wire>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(farewell) = self.farewell.take() {
            withdraw_soon(self.wire.clone(), farewell);
        }
    }
}
