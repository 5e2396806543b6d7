//! One stream on a WebSocket of its own.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};

use crate::client::address::Address;
use crate::client::connection::{CANCEL_TIMEOUT, MAX_MESSAGE_BYTES, USER_AGENT};
use crate::client::deadline::Deadline;
use crate::error::{Reason, RunAgentError};
use crate::generated::RunStreamResponse;
use crate::grpc::lost;
use crate::http::failures::{failure_of_response, not_ours};
use crate::http::request::Response;
use crate::http::wire::FrameReader;
use crate::http::{failure_of_request, too_large};
use crate::network::{self, CONNECT_TIMEOUT, Sight, Stream, Tls};

/// After how much silence a client asks whether the server is still there.
const PING_AFTER: Duration = Duration::from_secs(20);
/// How long the answer may take. A published server that runs blocking code answers when that lets it.
const PONG_WITHIN: Duration = Duration::from_secs(60);

/// The events of one stream. Dropped, its connection is cut, and nothing is cancelled.
pub(crate) struct WebSocketEvents {
    address: Address,
    socket: WebSocketStream<Stream>,
    reader: FrameReader,
}

/// Returns a WebSocket on which a stream was asked for.
pub(crate) async fn open(
    address: &Address,
    tls: &Tls,
    sight: &Arc<Sight>,
    api_key: Option<&str>,
    path: &str,
    request_id: &str,
    first_frame: String,
) -> Result<WebSocketEvents, RunAgentError> {
    let scheme = if address.tls { "wss" } else { "ws" };
    let mut request = format!("{scheme}://{address}{path}")
        .into_client_request()
        .map_err(|problem| RunAgentError::of_field("host", format!("{:?} is no host: {problem}.", address.host)))?;
    let headers = request.headers_mut();
    headers.insert("user-agent", HeaderValue::from_static(USER_AGENT));
    if let Some(Ok(authorization)) = api_key.map(|key| HeaderValue::from_str(&format!("Bearer {key}"))) {
        headers.insert("authorization", authorization);
    }
    if !request_id.is_empty() {
        let key = HeaderValue::from_str(request_id)
            .map_err(|_| RunAgentError::of_field("request_id", "It holds characters that no header can carry."))?;
        headers.insert("idempotency-key", key);
    }
    let stream = network::connect(address, tls, b"http/1.1", sight)
        .await
        .map_err(|problem| failure_of_request(&problem, address, sight))?;
    let config =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE_BYTES)).max_frame_size(Some(MAX_MESSAGE_BYTES));
    let shaken = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
    let (mut socket, _) = tokio::time::timeout(2 * CONNECT_TIMEOUT, shaken)
        .await
        .map_err(|_| lost(address, "The handshake took too long."))?
        .map_err(|problem| failure_of_handshake(problem, address))?;
    socket.send(Message::text(first_frame)).await.map_err(|problem| lost(address, problem.to_string()))?;
    Ok(WebSocketEvents { address: address.clone(), socket, reader: FrameReader::default() })
}

impl WebSocketEvents {
    /// Waits for the next event. None says that the server closed the stream in order.
    pub(crate) async fn receive(&mut self, _: &Deadline) -> Result<Option<RunStreamResponse>, RunAgentError> {
        let mut asked = false;
        loop {
            let limit = if asked { PONG_WITHIN } else { PING_AFTER };
            let Ok(message) = tokio::time::timeout(limit, self.socket.next()).await else {
                if asked {
                    let seconds = (PING_AFTER + PONG_WITHIN).as_secs();
                    let message = format!("The server fell silent for {seconds} s.");
                    return Err(RunAgentError::new(Reason::StreamInterrupted, message));
                }
                asked = true;
                let ping = self.socket.send(Message::Ping(Vec::new().into()));
                ping.await.map_err(|problem| lost(&self.address, problem.to_string()))?;
                continue;
            };
            match message {
                Some(Ok(Message::Text(text))) => return self.reader.event_of(text.as_bytes()).map(Some),
                Some(Ok(Message::Binary(bytes))) => return self.reader.event_of(&bytes).map(Some),
                Some(Ok(Message::Close(close))) => return self.closed(close.as_ref()),
                // A sign of life.
                Some(Ok(_)) => asked = false,
                Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. }))) => return Err(too_large()),
                Some(Err(problem)) => return Err(lost(&self.address, problem.to_string())),
                None => return Err(lost(&self.address, "It ended without a close.")),
            }
        }
    }

    /// Closes in order, which says of a stream that goes on that its caller has left on purpose.
    pub(crate) async fn close(mut self) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let _ = tokio::time::timeout(CANCEL_TIMEOUT, self.socket.close(Some(frame))).await;
    }

    fn closed(&self, close: Option<&CloseFrame>) -> Result<Option<RunStreamResponse>, RunAgentError> {
        match close.map(|close| close.code) {
            Some(CloseCode::Normal) => Ok(None),
            Some(CloseCode::Size) => {
                Err(RunAgentError::new(Reason::PayloadTooLarge, "The call is larger than the server takes."))
            }
            Some(CloseCode::Restart) => Err(RunAgentError::new(Reason::ShuttingDown, "The server is shutting down.")),
            code => Err(lost(&self.address, format!("It was closed with {code:?}."))),
        }
    }
}

/// Returns what it means that a stream could not be opened. A redirect is not followed.
fn failure_of_handshake(problem: Error, address: &Address) -> RunAgentError {
    match problem {
        Error::Http(response) => {
            let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
            let told = Response {
                status: response.status().as_u16(),
                retry_after: header("retry-after").and_then(|text| text.parse().ok()),
                invocation_id: header("x-invocation-id").map(str::to_owned),
                body: Vec::new(),
            };
            let document = response.body().as_deref().and_then(|body| serde_json::from_slice(body).ok());
            failure_of_response(address, &told, document.as_ref())
        }
        Error::Io(problem) => lost(address, problem.to_string()),
        Error::Protocol(problem) => {
            use tokio_tungstenite::tungstenite::error::ProtocolError;
            match problem {
                ProtocolError::HandshakeIncomplete => lost(address, problem.to_string()),
                _ => not_ours(address, problem.to_string()),
            }
        }
        other => not_ours(address, other.to_string()),
    }
}
