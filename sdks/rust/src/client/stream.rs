//! A stream of chunks: drives a `StreamState` by the events of one transport after the other.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::runtime::Handle;

use crate::client::connection::{Connection, Events, Wire};
use crate::client::deadline::Deadline;
use crate::client::stream_state::StreamState;
use crate::error::RunAgentError;
use crate::generated::{CancelInvocationRequest, Payload};
use crate::value::Value;

/// The chunks of a stream, as they come. Ends when the entrypoint has; an error is the last item of any other end.
///
/// A connection that is cut, or falls silent, is made again, and the stream goes on behind the last chunk that came.
///
/// Dropping the stream cancels it on the server, unless it is detached. That is said from a task of the runtime; a
/// program that ends at once should [`close`](Self::close) instead, which waits until the server has heard.
#[must_use = "a stream that is dropped is cancelled"]
pub struct ChunkStream {
    ready: VecDeque<Payload>,
    state: State,
    leave: Arc<Leave>,
}

enum State {
    Idle(Box<Driver>),
    Busy(Pin<Box<dyn Future<Output = (Box<Driver>, Received)> + Send>>),
    Over,
}

/// Chunks, None at the end of all of them, or what the end is instead.
type Received = Result<Option<Vec<Payload>>, RunAgentError>;

impl ChunkStream {
    /// Opens the stream, and waits until it has started.
    pub(crate) async fn open(
        connection: Arc<Connection>,
        state: StreamState,
        deadline: Deadline,
    ) -> Result<Self, RunAgentError> {
        let leave = Arc::new(Leave(Mutex::new(Leaving { farewell: state.farewell(), ..Leaving::default() })));
        let guard = leave.clone();
        let mut driver = Box::new(Driver { connection, state, deadline, wire: None, events: None, leave: guard });
        let mut stream = Self { ready: VecDeque::new(), state: State::Over, leave };
        while !driver.state.begun() && stream.ready.is_empty() && !driver.state.completed() {
            match driver.next().await? {
                Some(chunks) => stream.ready.extend(chunks),
                None => return Ok(stream),
            }
        }
        stream.state = State::Idle(driver);
        Ok(stream)
    }

    /// The invocation's id, by which it can be cancelled, or resumed by somebody else.
    pub fn invocation_id(&self) -> Option<String> {
        self.leave.lock().invocation_id.clone()
    }

    /// Returns the next chunk, or None at the end: [`Stream`]'s `next`, without the need of its extension trait.
    pub async fn next_chunk(&mut self) -> Option<Result<Value, RunAgentError>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Leaves the stream, as dropping it does, and waits until the server has heard of it, a second at most.
    pub async fn close(mut self) {
        let farewell = self.leave.take();
        if let Some((wire, farewell)) = farewell {
            wire.withdraw(farewell).await;
        }
        if let State::Idle(mut driver) = std::mem::replace(&mut self.state, State::Over)
            && let Some(events) = driver.events.take()
        {
            events.finish().await;
        }
    }
}

impl Stream for ChunkStream {
    type Item = Result<Value, RunAgentError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(payload) = this.ready.pop_front() {
                let value = Value::from_payload(payload);
                if value.is_err() {
                    // The rest of it would be a stream with a hole in it.
                    this.ready.clear();
                    this.state = State::Over;
                    this.leave.now();
                }
                return Poll::Ready(Some(value));
            }
            match &mut this.state {
                State::Over => return Poll::Ready(None),
                State::Idle(_) => {
                    if let State::Idle(mut driver) = std::mem::replace(&mut this.state, State::Over) {
                        this.state = State::Busy(Box::pin(async move {
                            let received = driver.next().await;
                            (driver, received)
                        }));
                    }
                }
                State::Busy(work) => {
                    let (driver, received) = ready!(work.as_mut().poll(context));
                    this.state = State::Over;
                    match received {
                        Ok(Some(chunks)) => {
                            this.ready.extend(chunks);
                            this.state = State::Idle(driver);
                        }
                        Ok(None) => return Poll::Ready(None),
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    }
                }
            }
        }
    }
}

impl std::fmt::Debug for ChunkStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ChunkStream").field("invocation_id", &self.invocation_id()).finish_non_exhaustive()
    }
}

/// What is to be said when the caller leaves, and to whom. Said once, by whoever comes first.
struct Leave(Mutex<Leaving>);

#[derive(Default)]
struct Leaving {
    farewell: Option<CancelInvocationRequest>,
    invocation_id: Option<String>,
    wire: Option<Arc<Wire>>,
}

impl Leave {
    fn lock(&self) -> std::sync::MutexGuard<'_, Leaving> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what is to be said, and says that this is being done, or needs not be.
    fn take(&self) -> Option<(Arc<Wire>, CancelInvocationRequest)> {
        let mut leaving = self.lock();
        leaving.farewell.take().and_then(|farewell| leaving.wire.take().map(|wire| (wire, farewell)))
    }

    /// Says it from a task of the runtime that this is in, if it is in one.
    fn now(&self) {
        if let Some((wire, farewell)) = self.take() {
            withdraw_soon(wire, farewell);
        }
    }
}

/// Cancels from a task of its own what a caller has left.
pub(crate) fn withdraw_soon(wire: Arc<Wire>, farewell: CancelInvocationRequest) {
    // Without a runtime there is nobody to say it; the server notices the cut, and ends it when the resume window ends.
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(async move { wire.withdraw(farewell).await });
    }
}

/// Asks for events until there are chunks, or there is an end.
struct Driver {
    connection: Arc<Connection>,
    state: StreamState,
    deadline: Deadline,
    wire: Option<Arc<Wire>>,
    events: Option<Events>,
    leave: Arc<Leave>,
}

impl Driver {
    /// Returns the next chunks; an empty list when the stream has started; None at its end.
    async fn next(&mut self) -> Received {
        let deadline = self.deadline;
        let received = deadline.bound(self.next_chunks()).await;
        if !matches!(received, Ok(Some(_))) {
            // It is over: there is nothing left to cancel, but for what this client itself has had enough of.
            let left = match &received {
                Err(error) if is_ours(error) => self.leave.take(),
                _ => None,
            };
            if let Some((wire, farewell)) = left {
                withdraw_soon(wire, farewell);
            }
            self.leave.lock().farewell = None;
        }
        received.map_err(|error| error.of_invocation(self.state.invocation_id()))
    }

    async fn next_chunks(&mut self) -> Received {
        loop {
            if self.state.completed() {
                if let Some(events) = self.events.take() {
                    events.finish().await;
                }
                return Ok(None);
            }
            let had_begun = self.state.begun();
            let chunks = self.receive().await?;
            if !chunks.is_empty() || (self.state.begun() && !had_begun) {
                return Ok(Some(chunks));
            }
        }
    }

    /// Returns what the next event brings, or nothing where the stream has to be taken up again.
    async fn receive(&mut self) -> Result<Vec<Payload>, RunAgentError> {
        let wire = match &self.wire {
            Some(wire) => wire.clone(),
            None => self.connection.wire(&self.deadline).await?,
        };
        self.wire = Some(wire.clone());
        self.leave.lock().wire = Some(wire.clone());
        let limit = self.state.silence_limit();
        let event = async {
            let events = match &mut self.events {
                Some(events) => events,
                closed => closed.insert(wire.open_stream(self.state.request(), &self.deadline).await?),
            };
            events.receive(&wire, &self.deadline).await
        };
        let event = match limit {
            None => Some(event.await),
            Some(limit) => tokio::time::timeout(limit, event).await.ok(),
        };
        let silent = event.is_none();
        let pause = match event {
            Some(Ok(Some(event))) => {
                let chunks = self.state.receive(event);
                let mut leaving = self.leave.lock();
                leaving.invocation_id = self.state.invocation_id().map(str::to_owned);
                if leaving.farewell.is_some() {
                    leaving.farewell = self.state.farewell();
                }
                return chunks;
            }
            Some(Ok(None)) => self.state.end(wire.contact()),
            Some(Err(error)) => self.state.fail(error, wire.contact()),
            None => self.state.fall_silent(wire.contact()),
        };
        self.events = None;
        tokio::time::sleep(pause?).await;
        self.wire = Some(self.connection.after(&wire, self.state.failures(), silent).await);
        Ok(Vec::new())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Said before the call itself is dropped, for fields go after this.
        self.leave.now();
    }
}

/// Whether the stream ended by what this client makes of it, so that the server may still be at it.
fn is_ours(error: &RunAgentError) -> bool {
    use crate::error::Reason::{InternalError, StreamInterrupted};
    matches!(error.reason(), InternalError | StreamInterrupted)
}
