//! The REST and WebSocket transport: the documented wire (docs/wire.md, rest and websocket).

mod failures;
pub(crate) mod request;
mod websocket;
pub(crate) mod wire;

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value as Json;

use crate::client::address::Address;
use crate::client::connection::MAX_MESSAGE_BYTES;
use crate::client::deadline::Deadline;
use crate::client::retry::Contact;
use crate::error::{Reason, RunAgentError};
use crate::generated::run_stream_request::Source;
use crate::generated::{Call, CancelInvocationRequest, RunStreamRequest};
use crate::grpc::{lost, nobody_answers};
use crate::network::{Sight, Tls};
use crate::value::Value;
use request::{Request, Response, ask};
pub(crate) use websocket::WebSocketEvents;

/// Speaks the documented wire: REST for values, a WebSocket for each stream.
pub(crate) struct HttpTransport {
    address: Address,
    api_key: Option<String>,
    tls: Tls,
    sight: Arc<Sight>,
    contact: AtomicU8,
    home: Mutex<Home>,
}

/// What is known of a server. Published ones would run a repeated call twice, and know of no resuming; with them
/// nothing is tried again.
#[derive(Clone, Default)]
struct Home {
    met: bool,
    only_id: String,
}

impl HttpTransport {
    pub(crate) fn new(address: Address, api_key: Option<String>, tls: Tls, contact: Contact) -> Self {
        let home = Home { met: address.resumable.is_some() || contact == Contact::Answer, only_id: String::new() };
        let contact = AtomicU8::new(contact as u8);
        Self { address, api_key, tls, sight: Arc::default(), contact, home: Mutex::new(home) }
    }

    pub(crate) fn contact(&self) -> Contact {
        match self.contact.load(Ordering::Relaxed) {
            0 => Contact::None,
            1 => Contact::Connection,
            _ => Contact::Answer,
        }
    }

    pub(crate) async fn run(&self, call: &Call, deadline: &Deadline) -> Result<Value, RunAgentError> {
        let agent_id = self.meet(&call.agent_id).await?;
        let body = wire::body_of(call, deadline.run_timeout());
        let request = Request::post(&wire::agent_path(&agent_id, "run"), body).with_key(&call.request_id);
        wire::value_in(&self.address, &self.ask(request).await?)
    }

    pub(crate) async fn open_stream(
        &self,
        request: RunStreamRequest,
        deadline: &Deadline,
    ) -> Result<WebSocketEvents, RunAgentError> {
        let (agent_id, request_id) = match &request.source {
            Some(Source::Call(call)) => (call.agent_id.as_str(), call.request_id.as_str()),
            _ => ("", ""),
        };
        let agent_id = self.meet(agent_id).await?;
        let path = wire::agent_path(&agent_id, "run-stream");
        let frame = wire::first_frame_of(&request, deadline.run_timeout());
        let opened =
            websocket::open(&self.address, &self.tls, &self.sight, self.api_key.as_deref(), &path, request_id, frame);
        opened.await.inspect_err(|_| self.note_connection())
    }

    /// Cancels by the caller's own id what a caller has left.
    pub(crate) async fn withdraw(&self, farewell: &CancelInvocationRequest) -> Result<(), RunAgentError> {
        let path = format!("{}/invocations/cancel", wire::HOME);
        self.ask(Request::post(&path, String::new()).with_key(&farewell.request_id)).await.map(drop)
    }

    pub(crate) async fn cancel(&self, invocation_id: &str, _: &Deadline) -> Result<(), RunAgentError> {
        let path = format!("{}/invocations/{}/cancel", wire::HOME, wire::escaped(invocation_id));
        let response = self.ask(Request::post(&path, String::new())).await?;
        match wire::document_in(&self.address, &response) {
            // It is the route that published servers do not have.
            Err(error) if matches!(error.reason(), Reason::AgentNotFound | Reason::EntrypointNotFound) => {
                let message = format!(
                    "The server at {} is spoken to over REST and WebSocket, which cannot cancel by an invocation's id.",
                    self.address
                );
                Err(RunAgentError::new(Reason::ConnectionError, message)
                    .with_suggestion("Name the server's gRPC port."))
            }
            outcome => outcome.map(drop),
        }
    }

    /// Returns the agent's id, or that of the only agent there, for which published servers know no alias.
    async fn meet(&self, agent_id: &str) -> Result<String, RunAgentError> {
        let home = self.home.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if home.met && !(agent_id.is_empty() && home.only_id.is_empty()) {
            return Ok(if agent_id.is_empty() { home.only_id } else { agent_id.to_owned() });
        }
        let response = self.ask(Request::get(wire::HOME)).await?;
        let told = serde_json::from_slice::<Json>(&response.body).ok();
        let Some(told) = told.filter(|told| response.status == 200 && told.is_object()) else {
            return match wire::document_in(&self.address, &response) {
                Err(error) if agent_id.is_empty() => Err(error),
                _ => Ok(agent_id.to_owned()),
            };
        };
        let contact = if crate::client::resumes(&told) { Contact::Answer } else { Contact::None };
        self.contact.store(contact as u8, Ordering::Relaxed);
        let only_id = [&told["agent_id"], &told["config"]["agent_id"]]
            .into_iter()
            .find_map(|id| id.as_str().filter(|id| !id.is_empty()))
            .unwrap_or("default")
            .to_owned();
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = Home { met: true, only_id: only_id.clone() };
        Ok(if agent_id.is_empty() { only_id } else { agent_id.to_owned() })
    }

    async fn ask(&self, request: Request) -> Result<Response, RunAgentError> {
        let asked = ask(&self.address, &self.tls, &self.sight, self.api_key.as_deref(), request, MAX_MESSAGE_BYTES);
        asked.await.map_err(|problem| {
            self.note_connection();
            failure_of_request(&problem, &self.address, &self.sight)
        })
    }

    /// Notes of a server that was not met yet that somebody took a connection which broke.
    fn note_connection(&self) {
        if self.sight.somebody() && !self.home.lock().unwrap_or_else(PoisonError::into_inner).met {
            self.contact.fetch_max(Contact::Connection as u8, Ordering::Relaxed);
        }
    }
}

/// Returns what it means that a request got no response.
fn failure_of_request(problem: &io::Error, address: &Address, sight: &Sight) -> RunAgentError {
    match problem.kind() {
        io::ErrorKind::FileTooLarge => too_large(),
        io::ErrorKind::InvalidData => failures::not_ours(address, problem.to_string()),
        _ if sight.somebody() => lost(address, problem.to_string()),
        _ => nobody_answers(address, problem.to_string()),
    }
}

fn too_large() -> RunAgentError {
    let message = format!("The server sent a value of more than {MAX_MESSAGE_BYTES} bytes.");
    RunAgentError::new(Reason::PayloadTooLarge, message)
}
