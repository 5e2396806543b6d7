//! TLS, with the roots and the client certificate that the caller gives. What ends it stands before a real server.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use common::Server;
use runagent::client::{ClientBuilder, RunAgentClient};
use runagent::{Reason, RunAgentError};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// A certificate that vouches for itself, and its key, as PEM.
struct Identity {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Identity {
    fn of(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let path = |end: &str| folder.join(format!("{}-{name}.{end}", std::process::id()));
        let (certificate, key) = (path("pem"), path("key"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-subj", &format!("/CN={name}"), "-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .args([Path::new("-keyout"), &key, Path::new("-out"), &certificate])
            .output()
            .expect("openssl is on this machine");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { certificate: std::fs::read(certificate).unwrap(), key: std::fs::read(key).unwrap() }
    }
}

/// Ends TLS on a port of its own, and hands on what is within: HTTP/2 to the one port, all else to the other.
async fn end_tls(server: &Server, identity: &Identity, callers: Option<&Identity>) -> u16 {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match callers {
        None => builder.with_no_client_auth(),
        Some(caller) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(&caller.certificate).unwrap()).unwrap();
            let provider = Arc::new(ring::default_provider());
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let certificate = CertificateDer::from_pem_slice(&identity.certificate).unwrap();
    let key = PrivateKeyDer::from_pem_slice(&identity.key).unwrap();
    let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (http, grpc) = (server.http, server.grpc);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut inside = acceptor.accept(socket).await?;
                let port = if inside.get_ref().1.alpn_protocol() == Some(b"h2") { grpc } else { http };
                let mut behind = TcpStream::connect(("127.0.0.1", port)).await?;
                tokio::io::copy_bidirectional(&mut inside, &mut behind).await
            });
        }
    });
    port
}

fn client(scheme: &str, port: u16) -> ClientBuilder {
    RunAgentClient::builder("conformance", "echo_stream").base_url(format!("{scheme}://localhost:{port}"))
}

async fn spell(client: ClientBuilder) -> Result<String, RunAgentError> {
    let client = client.build().await?;
    let mut stream = client.call().arg("a").arg("b").run_stream().await?;
    let mut text = String::new();
    while let Some(chunk) = stream.next_chunk().await {
        text += &chunk?.to_string();
    }
    let one = RunAgentClient::run(&client, &[("value", json!(1))]).await;
    assert_eq!(one.unwrap_err().reason(), Reason::StreamEntrypoint);
    Ok(text)
}

#[tokio::test]
async fn every_wire_runs_within_tls_that_the_given_roots_vouch_for() {
    let Some(server) = Server::start() else { return };
    let identity = Identity::of("server");
    let port = end_tls(&server, &identity, None).await;
    // An https address asks; the gRPC port that it is told of speaks no TLS, and is passed over.
    for scheme in ["grpcs", "wss", "https"] {
        let told = spell(client(scheme, port).tls_roots(identity.certificate.clone())).await;
        assert_eq!(told.unwrap(), "ab", "{scheme}");
    }
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_spoken_to() {
    let Some(server) = Server::start() else { return };
    let port = end_tls(&server, &Identity::of("unknown"), None).await;
    for scheme in ["grpcs", "wss"] {
        let roots = Identity::of("another").certificate;
        let error =
            spell(client(scheme, port).tls_roots(roots).retry_for(std::time::Duration::ZERO)).await.unwrap_err();
        assert_eq!(error.reason(), Reason::ConnectionError, "{scheme}");
        assert!(error.details().unwrap_or_default().contains("certificate"), "{scheme}: {error:?}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_who_asks_for_it() {
    let Some(server) = Server::start() else { return };
    let (identity, caller) = (Identity::of("asking"), Identity::of("caller"));
    let port = end_tls(&server, &identity, Some(&caller)).await;
    for scheme in ["grpcs", "wss"] {
        let client =
            || client(scheme, port).tls_roots(identity.certificate.clone()).retry_for(std::time::Duration::ZERO);
        let shown = client().tls_identity(caller.certificate.clone(), caller.key.clone());
        assert_eq!(spell(shown).await.unwrap(), "ab", "{scheme}");
        assert_eq!(spell(client()).await.unwrap_err().reason(), Reason::ConnectionError, "{scheme}");
    }
}

#[tokio::test]
async fn what_is_no_certificate_is_refused_by_the_name_of_its_option() {
    let error = client("grpcs", 1).tls_roots("nothing").build().await.unwrap_err();
    assert_eq!(error.violations()[0].field, "tls_roots");
    let error = client("grpcs", 1).tls_identity("nothing", "nothing").build().await.unwrap_err();
    assert_eq!(error.violations()[0].field, "tls_identity");
}
