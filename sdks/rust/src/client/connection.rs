//! The transport of a client, which is made when it is first needed, and made again when the server has moved.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::client::address::{Address, Directions, Transport};
use crate::client::deadline::Deadline;
use crate::client::discovery::{find_again, find_server};
use crate::client::retry::Contact;
use crate::error::RunAgentError;
use crate::generated::{Call, CancelInvocationRequest, RunStreamRequest, RunStreamResponse};
use crate::grpc::{GrpcEvents, GrpcTransport};
use crate::http::{HttpTransport, WebSocketEvents};
use crate::network::Tls;
use crate::value::Value;

/// How long a client that leaves waits for the server to hear of it.
pub(crate) const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);

/// The largest message that is taken. gRPC's own default is 4 MiB.
pub(crate) const MAX_MESSAGE_BYTES: usize = 32 * 1024 * 1024;

/// A server that is restarted is back at its old address, most likely; one that is not gets looked for.
const FAILURES_BEFORE_LOOKING: u32 = 3;

/// What a client of ours says of itself.
pub(crate) const USER_AGENT: &str = concat!("runagent-rust/", env!("CARGO_PKG_VERSION"));

/// Where a client's server is, and the transport to it.
pub(crate) struct Connection {
    /// Says where to look, perhaps another address by now.
    directions: Directions,
    address: Address,
    api_key: Option<String>,
    tls: Tls,
    current: Mutex<Option<Current>>,
}

struct Current {
    found: Address,
    wire: Arc<Wire>,
}

impl Connection {
    pub(crate) fn new(directions: Directions, address: Address, api_key: Option<String>, tls: Tls) -> Self {
        Self { directions, address, api_key, tls, current: Mutex::new(None) }
    }

    /// Returns the transport, looking for the server if need be: of callers that come at once, the first does.
    pub(crate) async fn wire(&self, deadline: &Deadline) -> Result<Arc<Wire>, RunAgentError> {
        let mut current = self.current.lock().await;
        if let Some(current) = &*current {
            return Ok(current.wire.clone());
        }
        let again = match &self.address.servers {
            // Leases may have been written since the client was made.
            Some(_) => Some(self.looked_up().await?),
            None => None,
        };
        let address = again.as_ref().unwrap_or(&self.address);
        let found = find_server(address, self.api_key.as_deref(), &self.tls, deadline.remaining(None)).await?;
        let contact = if found.resumable == Some(true) { Contact::Answer } else { Contact::None };
        let wire = self.made(&found, contact);
        *current = Some(Current { found, wire: wire.clone() });
        Ok(wire)
    }

    /// Returns what to use after so many failures of this transport.
    ///
    /// It is another one if the server has moved, or if what this one is connected to is `silent`. Who uses the old one
    /// still, finds out by themselves.
    pub(crate) async fn after(&self, wire: &Arc<Wire>, failures: u32, silent: bool) -> Arc<Wire> {
        let mut current = self.current.lock().await;
        let Some(Current { found, wire: newest }) = &*current else {
            return wire.clone();
        };
        if !Arc::ptr_eq(newest, wire) {
            return newest.clone();
        }
        let moved = if failures >= FAILURES_BEFORE_LOOKING { self.moved(found).await } else { None };
        if moved.is_none() && !silent {
            return wire.clone();
        }
        let found = moved.unwrap_or_else(|| found.clone());
        let made = self.made(&found, wire.contact());
        *current = Some(Current { found, wire: made.clone() });
        made
    }

    /// Returns the server's new address, if there is one, and it speaks there what it spoke before.
    async fn moved(&self, found: &Address) -> Option<Address> {
        let address = self.looked_up().await.ok()?;
        let again = find_again(&address, self.api_key.as_deref(), &self.tls).await?;
        (again != *found && again.transport == found.transport).then_some(again)
    }

    async fn looked_up(&self) -> Result<Address, RunAgentError> {
        self.directions.looked_up().await
    }

    fn made(&self, found: &Address, contact: Contact) -> Arc<Wire> {
        let (found, key, tls) = (found.clone(), self.api_key.clone(), self.tls.clone());
        Arc::new(match found.transport {
            Transport::Http => Wire::Http(HttpTransport::new(found, key, tls, contact)),
            Transport::Grpc | Transport::Auto => Wire::Grpc(GrpcTransport::new(found, key, tls, contact)),
        })
    }
}

/// A server, as one of the wires reaches it.
///
/// It knows how to reach it and how its failures read; what a stream means is `StreamState`'s, and what is tried again
/// `Retry`'s.
pub(crate) enum Wire {
    Grpc(GrpcTransport),
    Http(HttpTransport),
}

impl Wire {
    /// Returns what was had of the server.
    pub(crate) fn contact(&self) -> Contact {
        match self {
            Wire::Grpc(transport) => transport.contact(),
            Wire::Http(transport) => transport.contact(),
        }
    }

    pub(crate) async fn run(&self, call: &Call, deadline: &Deadline) -> Result<Value, RunAgentError> {
        match self {
            Wire::Grpc(transport) => transport.run(call, deadline).await,
            Wire::Http(transport) => transport.run(call, deadline).await,
        }
    }

    pub(crate) async fn open_stream(
        &self,
        request: RunStreamRequest,
        deadline: &Deadline,
    ) -> Result<Events, RunAgentError> {
        match self {
            Wire::Grpc(transport) => {
                transport.open_stream(request, deadline).await.map(|events| Events::Grpc(Box::new(events)))
            }
            Wire::Http(transport) => {
                transport.open_stream(request, deadline).await.map(|events| Events::Http(Box::new(events)))
            }
        }
    }

    /// Cancels what a caller has left. Waits a second at most.
    pub(crate) async fn withdraw(&self, farewell: CancelInvocationRequest) {
        let withdrawn = async {
            match self {
                Wire::Grpc(transport) => transport.cancel(farewell, &Deadline::after(Some(CANCEL_TIMEOUT))).await,
                Wire::Http(transport) => transport.withdraw(&farewell).await,
            }
        };
        // Nobody is left to hear of a failure.
        let _ = tokio::time::timeout(CANCEL_TIMEOUT, withdrawn).await;
    }

    pub(crate) async fn cancel(&self, invocation_id: &str, deadline: &Deadline) -> Result<(), RunAgentError> {
        match self {
            Wire::Grpc(transport) => {
                let request =
                    CancelInvocationRequest { invocation_id: invocation_id.to_owned(), request_id: String::new() };
                transport.cancel(request, deadline).await
            }
            Wire::Http(transport) => transport.cancel(invocation_id, deadline).await,
        }
    }
}

/// The events of one stream. Dropped, its connection is cut, and nothing is cancelled.
pub(crate) enum Events {
    Grpc(Box<GrpcEvents>),
    Http(Box<WebSocketEvents>),
}

impl Events {
    /// Waits for the next event. None says that the stream is over and, to the transport, ended well.
    pub(crate) async fn receive(
        &mut self,
        wire: &Wire,
        deadline: &Deadline,
    ) -> Result<Option<RunStreamResponse>, RunAgentError> {
        match (self, wire) {
            (Events::Grpc(events), Wire::Grpc(transport)) => events.receive(transport, deadline).await,
            (Events::Http(events), _) => events.receive(deadline).await,
            // Each is made by its own.
            (Events::Grpc(_), Wire::Http(_)) => Ok(None),
        }
    }

    /// Lets go of a stream whose terminal event has come, or that its caller has left.
    pub(crate) async fn finish(self) {
        match self {
            Events::Grpc(_) => {}
            Events::Http(events) => events.close().await,
        }
    }
}
