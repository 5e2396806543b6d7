//! What a server at an address speaks: asked once, by an HTTP request that a gRPC port refuses at once.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::address::{Address, Transport};
use crate::error::RunAgentError;
use crate::http::request::{Request, ask};
use crate::http::wire::HOME;
use crate::network::{self, Sight, Tls};

const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// How an HTTP/2 connection begins: the client's preface, and a frame of settings (RFC 9113, section 3.4).
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
const FRAME_HEAD_BYTES: usize = 9;

/// Returns the address to speak to, and what to speak: gRPC, unless its transport is HTTP.
///
/// A gRPC port that the server names and that nothing can reach, behind a firewall perhaps, is passed over. Of the
/// servers of this machine that have leases, it is the newest that lives; fails where none does.
pub(crate) async fn find_server(
    address: &Address,
    key: Option<&str>,
    tls: &Tls,
    limit: Option<Duration>,
) -> Result<Address, RunAgentError> {
    if let Some(servers) = &address.servers {
        return servers.living(address.transport, tls, limit).await;
    }
    if address.transport != Transport::Auto {
        return Ok(address.clone());
    }
    let timeout = limit.map_or(PROBE_TIMEOUT, |limit| limit.min(PROBE_TIMEOUT));
    let Some(answer) = ask_home(address, key, tls, timeout).await else {
        // A proxy answers the question with errors of its own, so that no answer, or another one, means gRPC.
        return Ok(Address { transport: Transport::Grpc, ..address.clone() });
    };
    let found = told(address, &answer);
    if found.transport == Transport::Grpc && !speaks_http2(&found, tls).await {
        return Ok(Address { transport: Transport::Http, resumable: found.resumable, ..address.clone() });
    }
    Ok(found)
}

/// Returns where a server is now that answers no more where it was found; None while nobody says so.
pub(crate) async fn find_again(address: &Address, key: Option<&str>, tls: &Tls) -> Option<Address> {
    if let Some(servers) = &address.servers {
        return servers.living(address.transport, tls, None).await.ok();
    }
    // Only one that was found by asking can be elsewhere.
    if address.transport != Transport::Auto {
        return None;
    }
    ask_home(address, key, tls, PROBE_TIMEOUT).await.map(|answer| told(address, &answer))
}

/// Whether a server's description of itself is that of one that can take up calls and streams. Ours can.
pub(crate) fn resumes(home: &Json) -> bool {
    home["grpc"].is_object() || home["resumable"] == true
}

/// Returns the address that an answer leads to: one that names a gRPC port leads there, on the same host, for an answer
/// must not send a key elsewhere, nor in clear where the caller asked for TLS.
fn told(address: &Address, answer: &Json) -> Address {
    let port = answer["grpc"]["port"].as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    match port {
        Some(port) => Address {
            host: address.host.clone(),
            port,
            tls: address.tls || answer["grpc"]["tls"] == true,
            transport: Transport::Grpc,
            resumable: Some(true),
            servers: None,
        },
        None => Address { transport: Transport::Http, resumable: Some(resumes(answer)), ..address.clone() },
    }
}

async fn ask_home(address: &Address, key: Option<&str>, tls: &Tls, timeout: Duration) -> Option<Json> {
    let sight = Arc::new(Sight::default());
    let request = Request::get(HOME);
    let asked = ask(address, tls, &sight, key, request, MAX_ANSWER_BYTES);
    let response = tokio::time::timeout(timeout, asked).await.ok()?.ok()?;
    let answer: Json = serde_json::from_slice(&response.body).ok()?;
    (answer.is_object() && (response.status == 200 || refuses(&answer))).then_some(answer)
}

/// Whether this is how a RunAgent server says that the key is missing or wrong. It will say so to the call, too.
fn refuses(answer: &Json) -> bool {
    matches!(answer["error"]["code"].as_str(), Some("AUTHENTICATION_ERROR" | "PERMISSION_ERROR"))
}

/// Whether somebody at the address speaks HTTP/2.
async fn speaks_http2(address: &Address, tls: &Tls) -> bool {
    let sight = Arc::new(Sight::default());
    let greeted = async {
        let mut socket = network::connect(address, tls, b"h2", &sight).await?;
        socket.write_all(HELLO).await?;
        socket.flush().await?;
        socket.read_exact(&mut [0; FRAME_HEAD_BYTES]).await
    };
    tokio::time::timeout(PROBE_TIMEOUT, greeted).await.is_ok_and(|greeted| greeted.is_ok()) && sight.http2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn address() -> Address {
        Address { host: "h".into(), port: 8450, tls: true, transport: Transport::Auto, resumable: None, servers: None }
    }

    #[test]
    fn a_named_grpc_port_is_on_the_same_host_and_no_less_secret() {
        let found = told(&address(), &json!({"grpc": {"port": 50051, "tls": false, "host": "elsewhere"}}));
        assert_eq!((found.to_string().as_str(), found.tls, found.transport), ("h:50051", true, Transport::Grpc));
    }

    #[test]
    fn who_names_no_grpc_port_is_spoken_to_over_http() {
        for (answer, resumable) in [
            (json!({}), false),
            (json!({"resumable": true}), true),
            (json!({"grpc": {"port": "50051"}}), true),
            (json!({"grpc": {"port": 0}}), true),
            (json!({"grpc": {"port": 70000}}), true),
        ] {
            let found = told(&address(), &answer);
            assert_eq!((found.transport, found.port), (Transport::Http, 8450), "{answer}");
            assert_eq!(found.resumable, Some(resumable), "{answer}");
        }
    }
}
