//! The servers of an agent on this machine, and which of them lives: the one that names, at the address of its lease, the
//! instance that the lease names.
//!
//! The question carries no key, since another program may have the port by now. A server with HTTP answers it as part of
//! its health; one without, as a gRPC health check of a service that is named after its instance.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;

use crate::client::address::{Address, BASE_URL_VARIABLE, Transport};
use crate::client::lease::{self, Lease};
use crate::error::{Reason, RunAgentError};
use crate::grpc;
use crate::http::request::{Request, ask};
use crate::network::{Sight, Tls};

const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
const MAX_ANSWER_BYTES: usize = 64 * 1024;
const HEALTH: &str = "/api/v1/health";

/// Servers of one agent, none of which was asked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalServers {
    agent_id: String,
    newest: Lease,
    /// The newest first.
    others: Vec<Lease>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Lives,
    /// Nobody is there, or another program.
    Ended,
    /// Somebody is there who does not answer: a server that hangs, perhaps.
    Silent,
}

/// Returns the address that stands for the servers of an agent that have leases. Blocks for as long as it takes to read
/// them.
pub(crate) fn find(
    agent_id: &str,
    transport: Transport,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Address, RunAgentError> {
    if agent_id.is_empty() {
        return Err(RunAgentError::of_field("agent_id", "Name the agent to look up on this machine."));
    }
    let reading = lease::folder(environment).map(|folder| lease::read(&folder)).unwrap_or_default();
    let mut leases = reading.leases.into_iter().filter(|lease| lease.agent(agent_id).is_some());
    let Some(newest) = leases.next() else {
        let mut message = format!("Agent `{agent_id}` is not served on this machine.");
        if !reading.ignored.is_empty() {
            message = format!("{message} These leases were ignored: {}", reading.ignored.join(" "));
        }
        return Err(RunAgentError::new(Reason::AgentNotFound, message).with_suggestion(format!(
            "Serve it with `runagent serve PATH`, or give host and port, or set {BASE_URL_VARIABLE} and look it up there \
             (without local)."
        )));
    };
    Ok(Address {
        host: newest.host.clone(),
        port: newest.port(),
        tls: newest.tls,
        transport,
        resumable: None,
        servers: Some(Box::new(LocalServers { agent_id: agent_id.to_owned(), newest, others: leases.collect() })),
    })
}

impl LocalServers {
    /// Returns the address of the newest server that lives, and what to speak there.
    pub(crate) async fn living(
        &self,
        transport: Transport,
        tls: &Tls,
        limit: Option<Duration>,
    ) -> Result<Address, RunAgentError> {
        let mut silent = None;
        for lease in std::iter::once(&self.newest).chain(&self.others) {
            match state_of(lease, tls, limit).await {
                State::Lives => return address_of(lease, transport),
                State::Silent => silent = silent.or(Some(lease)),
                State::Ended => {}
            }
        }
        let lease = silent.unwrap_or(&self.newest);
        let path = lease.agent(&self.agent_id).map(|agent| agent.agent_path.as_str()).unwrap_or_default();
        let command = format!("`{}`", format!("runagent serve {path}").trim_end());
        let server = format!("The server of agent `{}` (process {})", self.agent_id, lease.pid);
        // A server that hangs may be helped; it goes before those that ended.
        let (message, suggestion) = if silent.is_some() {
            let suggestion = format!("Wait until it does, or stop it and start it again with {command}.");
            (format!("{server} does not answer."), suggestion)
        } else {
            (format!("{server} has ended without an orderly stop."), format!("Start it again with {command}."))
        };
        Err(RunAgentError::new(Reason::ConnectionError, message).with_suggestion(suggestion))
    }
}

fn address_of(lease: &Lease, transport: Transport) -> Result<Address, RunAgentError> {
    let grpc = lease.grpc_port.filter(|_| transport != Transport::Http).map(|port| (port, Transport::Grpc));
    let http = lease.http_port.filter(|_| transport != Transport::Grpc).map(|port| (port, Transport::Http));
    let Some((port, speaks)) = grpc.or(http) else {
        let description =
            format!("The server, process {}, does not speak {transport:?}; leave the transport out.", lease.pid);
        return Err(RunAgentError::of_field("transport", description));
    };
    Ok(Address {
        host: lease.host.clone(),
        port,
        tls: lease.tls,
        transport: speaks,
        resumable: Some(true),
        servers: None,
    })
}

async fn state_of(lease: &Lease, tls: &Tls, limit: Option<Duration>) -> State {
    let at = Address {
        host: lease.host.clone(),
        port: lease.port(),
        tls: lease.tls,
        transport: if lease.http_port.is_some() { Transport::Http } else { Transport::Grpc },
        resumable: None,
        servers: None,
    };
    let asked = async {
        if at.transport == Transport::Http {
            names_over_http(&at, tls, &lease.instance_id).await
        } else {
            grpc::has_service(&at, tls, &lease.instance_id).await
        }
    };
    let timeout = limit.map_or(PROBE_TIMEOUT, |limit| limit.min(PROBE_TIMEOUT));
    match tokio::time::timeout(timeout, asked).await {
        Ok(true) => State::Lives,
        Ok(false) => State::Ended,
        Err(_) => State::Silent,
    }
}

async fn names_over_http(at: &Address, tls: &Tls, instance_id: &str) -> bool {
    let sight = Arc::new(Sight::default());
    let Ok(response) = ask(at, tls, &sight, None, Request::get(HEALTH), MAX_ANSWER_BYTES).await else {
        return false;
    };
    serde_json::from_slice::<Json>(&response.body).is_ok_and(|health| health["instance_id"] == instance_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::lease::tests::Cache;
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn living(cache: &Cache, transport: Transport) -> Result<Address, RunAgentError> {
        let address = find("chat", transport, |name| cache.environment(name))?;
        address.servers.unwrap().living(transport, &Tls::default(), Some(Duration::from_millis(500))).await
    }

    /// Answers every request with this body, and returns the port and what was asked.
    async fn answering(body: &'static str) -> (u16, tokio::sync::mpsc::UnboundedReceiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (heard, hearing) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let size = socket.read(&mut request).await.unwrap();
                let _ = heard.send(String::from_utf8_lossy(&request[..size]).into_owned());
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        (port, hearing)
    }

    #[tokio::test]
    async fn a_killed_server_is_told_with_how_to_start_it_again() {
        let cache = Cache::new();
        for ports in [json!({"http_port": 1}), json!({"http_port": null, "grpc_port": 1})] {
            cache.write(&ports);
            let error = living(&cache, Transport::Auto).await.unwrap_err();
            assert_eq!(error.reason(), Reason::ConnectionError);
            assert_eq!(
                error.to_string(),
                "The server of agent `chat` (process 4242) has ended without an orderly stop. \
                 Start it again with `runagent serve /srv/chat`."
            );
        }
    }

    #[tokio::test]
    async fn the_newest_server_that_lives_is_found_without_a_key() {
        let cache = Cache::new();
        let (port, mut heard) = answering(r#"{"instance_id": "one"}"#).await;
        cache.write(&json!({"http_port": port, "grpc_port": 7}));
        cache.write(&json!({"instance_id": "two", "http_port": 1, "started_at": "2027-01-01T00:00:00.000000Z"}));
        for (transport, found) in [(Transport::Auto, 7), (Transport::Grpc, 7), (Transport::Http, port)] {
            assert_eq!(living(&cache, transport).await.unwrap().port, found);
            assert!(!heard.recv().await.unwrap().to_lowercase().contains("authorization"));
        }
    }

    #[tokio::test]
    async fn another_program_on_the_port_is_not_the_server() {
        let cache = Cache::new();
        for body in ["{}", "[]", "hello", r#"{"instance_id": "another"}"#] {
            let (port, _heard) = answering(body).await;
            for ports in [json!({"http_port": port}), json!({"http_port": null, "grpc_port": port})] {
                cache.write(&ports);
                let error = living(&cache, Transport::Auto).await.unwrap_err();
                assert!(error.message().contains("has ended"), "{error}");
            }
        }
    }

    #[tokio::test]
    async fn who_does_not_answer_is_told_from_who_has_ended() {
        let cache = Cache::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for ports in [json!({"http_port": port}), json!({"http_port": null, "grpc_port": port})] {
            cache.write(&ports);
            let error = living(&cache, Transport::Auto).await.unwrap_err();
            assert!(error.message().contains("(process 4242) does not answer"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_transport_that_the_server_lacks_is_refused() {
        let cache = Cache::new();
        let (port, _heard) = answering(r#"{"instance_id": "one"}"#).await;
        cache.write(&json!({"http_port": port}));
        let error = living(&cache, Transport::Grpc).await.unwrap_err();
        assert_eq!(error.violations()[0].field, "transport");
    }

    #[test]
    fn an_unknown_agent_is_told_with_the_leases_that_were_ignored() {
        let cache = Cache::new();
        cache.write(&json!({"format_version": 2}));
        let error = find("chat", Transport::Auto, |name| cache.environment(name)).unwrap_err();
        assert_eq!(error.reason(), Reason::AgentNotFound);
        assert!(error.message().contains("one.json has format version 2"), "{error}");
    }
}
