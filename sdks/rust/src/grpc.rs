//! The gRPC transport: `runagent.v1` on one channel, and what a failed call means (docs/design.md, errors).

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::Uri;
use ::http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use prost::Message;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt;
use tower_service::Service;

use crate::client::address::Address;
use crate::client::connection::{MAX_MESSAGE_BYTES, USER_AGENT};
use crate::client::deadline::Deadline;
use crate::client::retry::Contact;
use crate::error::{Reason, RunAgentError, Violation};
use crate::generated::agent_service_client::AgentServiceClient;
use crate::generated::{Call, CancelInvocationRequest, RunRequest, RunStreamRequest, RunStreamResponse};
use crate::network::{self, Sight, Stream, Tls};
use crate::value::Value;

const ERROR_DOMAIN: &str = "runagent.dev";
const INVOCATION_ID: &str = "x-invocation-id";

const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Speaks gRPC on one channel, whose connection is made again when it is lost.
pub(crate) struct GrpcTransport {
    address: Address,
    stub: Result<AgentServiceClient<Channel>, RunAgentError>,
    authorization: Option<MetadataValue<tonic::metadata::Ascii>>,
    sight: Arc<Sight>,
    contact: AtomicU8,
}

impl GrpcTransport {
    pub(crate) fn new(address: Address, api_key: Option<String>, tls: Tls, contact: Contact) -> Self {
        let sight = Arc::new(Sight::default());
        let stub = endpoint(&address).map(|endpoint| {
            let connector = Connector { address: address.clone(), tls, sight: sight.clone() };
            AgentServiceClient::new(endpoint.connect_with_connector_lazy(connector))
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES)
        });
        let authorization = api_key.and_then(|key| format!("Bearer {key}").parse().ok());
        Self { address, stub, authorization, sight, contact: AtomicU8::new(contact as u8) }
    }

    pub(crate) fn contact(&self) -> Contact {
        match self.contact.load(Ordering::Relaxed) {
            0 => Contact::None,
            1 => Contact::Connection,
            _ => Contact::Answer,
        }
    }

    pub(crate) async fn run(&self, call: &Call, deadline: &Deadline) -> Result<Value, RunAgentError> {
        let request = self.request(RunRequest { call: Some(call.clone()) }, deadline)?;
        let response = self.stub.clone()?.run(request).await.map_err(|status| self.failure(&status, deadline))?;
        self.had(Contact::Answer);
        let response = response.into_inner();
        let value = response.result.map_or(Ok(Value::null()), Value::from_payload);
        value.map_err(|error| error.of_invocation(Some(&response.invocation_id)))
    }

    pub(crate) async fn open_stream(
        &self,
        request: RunStreamRequest,
        deadline: &Deadline,
    ) -> Result<GrpcEvents, RunAgentError> {
        let request = self.request(request, deadline)?;
        let response =
            self.stub.clone()?.run_stream(request).await.map_err(|status| self.failure(&status, deadline))?;
        Ok(GrpcEvents(response.into_inner()))
    }

    pub(crate) async fn cancel(
        &self,
        request: CancelInvocationRequest,
        deadline: &Deadline,
    ) -> Result<(), RunAgentError> {
        let request = self.request(request, deadline)?;
        self.stub.clone()?.cancel_invocation(request).await.map_err(|status| self.failure(&status, deadline))?;
        self.had(Contact::Answer);
        Ok(())
    }

    fn request<T: Message>(&self, message: T, deadline: &Deadline) -> Result<Request<T>, RunAgentError> {
        if message.encoded_len() > MAX_MESSAGE_BYTES {
            // Left to the encoder, it would look like a connection that broke.
            let said = format!("The call is larger than {MAX_MESSAGE_BYTES} bytes.");
            return Err(RunAgentError::new(Reason::PayloadTooLarge, said));
        }
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        if let Some(remaining) = deadline.remaining(None) {
            request.set_timeout(remaining);
        }
        Ok(request)
    }

    fn had(&self, contact: Contact) {
        self.contact.fetch_max(contact as u8, Ordering::Relaxed);
    }

    /// Returns what a failed call means: what the server told, else what the bare status says.
    fn failure(&self, status: &Status, deadline: &Deadline) -> RunAgentError {
        let (failure, contact) = self.meaning(status, deadline);
        self.had(contact);
        let invocation_id = status.metadata().get(INVOCATION_ID).and_then(|id| id.to_str().ok());
        failure.of_invocation(invocation_id)
    }

    fn meaning(&self, status: &Status, deadline: &Deadline) -> (RunAgentError, Contact) {
        let details = format!("{:?}: {}", status.code(), status.message());
        if let Some(told) = told(status) {
            return (told, Contact::Answer);
        }
        if status.code() == Code::DeadlineExceeded || (status.source().is_some() && deadline.passed()) {
            return (deadline.error().with_details(details), Contact::None);
        }
        if status.message().contains("message length too large") {
            let message = format!("A message is larger than {MAX_MESSAGE_BYTES} bytes.");
            return (RunAgentError::new(Reason::PayloadTooLarge, message).with_details(details), Contact::Answer);
        }
        if status.source().is_some() {
            // It is no status that somebody sent.
            let details = causes(status);
            return if self.sight.something_else() {
                (self.stranger(details), Contact::None)
            } else if self.sight.http2() {
                (lost(&self.address, details), Contact::Answer)
            } else if self.sight.somebody() {
                (lost(&self.address, details), Contact::Connection)
            } else {
                (nobody_answers(&self.address, details), Contact::None)
            };
        }
        match status.code() {
            // Who cancels an invocation is told so in words. A bare CANCELLED is what a server that ends leaves of calls
            // that it has not looked at yet, and what a proxy leaves of those that it gives up.
            Code::Unavailable | Code::Cancelled => (lost(&self.address, details), Contact::Answer),
            Code::Unimplemented | Code::Unknown | Code::Internal => (self.stranger(details), Contact::None),
            code => (RunAgentError::new(Reason::of_status(code), text_of(status)), Contact::None),
        }
    }

    /// Something else listens there: an HTTP server, a proxy, a gRPC server of another kind.
    fn stranger(&self, details: String) -> RunAgentError {
        let message = format!("What answers at {} is not a RunAgent server's gRPC port.", self.address);
        RunAgentError::new(Reason::ConnectionError, message)
            .with_suggestion("Check the port; `runagent serve` prints it.")
            .with_details(details)
    }
}

/// Whether the server at an address has a service of this name, as a health check shows, which asks for no key.
pub(crate) async fn has_service(address: &Address, tls: &Tls, service: &str) -> bool {
    let sight = Arc::new(Sight::default());
    let Ok(endpoint) = endpoint(address) else {
        return false;
    };
    let connector = Connector { address: address.clone(), tls: tls.clone(), sight };
    let mut client = tonic::client::Grpc::new(endpoint.connect_with_connector_lazy(connector));
    if client.ready().await.is_err() {
        return false;
    }
    let request = Request::new(HealthCheckRequest { service: service.to_owned() });
    let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
    let codec = tonic_prost::ProstCodec::<_, HealthCheckResponse>::default();
    let answer = client.unary(request, path, codec).await;
    // Serving or about to stop: either way the server has it.
    answer.is_ok_and(|answer| [SERVING, NOT_SERVING].contains(&answer.into_inner().status))
}

const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;

/// As gRPC's health checking protocol has it.
#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// The events of one `RunStream`.
pub(crate) struct GrpcEvents(Streaming<RunStreamResponse>);

impl GrpcEvents {
    pub(crate) async fn receive(
        &mut self,
        transport: &GrpcTransport,
        deadline: &Deadline,
    ) -> Result<Option<RunStreamResponse>, RunAgentError> {
        let event = self.0.message().await.map_err(|status| transport.failure(&status, deadline))?;
        if event.is_some() {
            transport.had(Contact::Answer);
        }
        Ok(event)
    }
}

/// Returns what it means that nothing listens at the address.
pub(crate) fn nobody_answers(address: &Address, details: impl Into<String>) -> RunAgentError {
    RunAgentError::new(Reason::ConnectionError, format!("No server answers at {address}."))
        .with_suggestion("Check the address, and that the server runs (`runagent serve PATH`).")
        .with_details(details)
}

/// Returns what it means that a connection broke.
pub(crate) fn lost(address: &Address, details: impl Into<String>) -> RunAgentError {
    RunAgentError::new(Reason::ConnectionError, format!("The connection to the server at {address} was lost."))
        .with_details(details)
}

/// Returns the error that a status's details carry, if they are ours.
fn told(status: &Status) -> Option<RunAgentError> {
    let info = status.get_details_error_info().filter(|info| info.domain == ERROR_DOMAIN)?;
    let reason = Reason::named(&info.reason).unwrap_or_else(|| Reason::of_status(status.code()));
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    let violations = violations
        .into_iter()
        .map(|violation| Violation { field: violation.field, description: violation.description })
        .collect();
    let error = RunAgentError::new(reason, text_of(status))
        .with_violations(violations)
        .with_retry_after(status.get_details_retry_info().and_then(|retry| retry.retry_delay));
    Some(match info.metadata.get("suggestion") {
        Some(suggestion) => error.with_suggestion(suggestion),
        None => error,
    })
}

fn text_of(status: &Status) -> String {
    if status.message().is_empty() { format!("{:?}", status.code()) } else { status.message().to_owned() }
}

/// Returns what each of an error's causes says.
fn causes(error: &dyn Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        cause = error.source();
    }
    texts.join(": ")
}

fn endpoint(address: &Address) -> Result<Endpoint, RunAgentError> {
    let scheme = if address.tls { "https" } else { "http" };
    Endpoint::from_shared(format!("{scheme}://{address}"))
        .and_then(|endpoint| endpoint.user_agent(USER_AGENT))
        .map(|endpoint| {
            endpoint
                .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
                .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
                .http2_max_header_list_size(64 * 1024)
        })
        .map_err(|_| RunAgentError::of_field("host", format!("{:?} is no host.", address.host)))
}

/// Connects as all wires do, so that what is seen of the server is known here, and TLS is the same everywhere.
struct Connector {
    address: Address,
    tls: Tls,
    sight: Arc<Sight>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (address, tls, sight) = (self.address.clone(), self.tls.clone(), self.sight.clone());
        Box::pin(async move { network::connect(&address, &tls, b"h2", &sight).await.map(TokioIo::new) })
    }
}
