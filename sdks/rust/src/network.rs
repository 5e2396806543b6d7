//! Connections: TCP and TLS, the same for every wire, and what was seen of whoever is at the other end.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::client::address::Address;
use crate::error::RunAgentError;

pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What TLS is spoken with.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    /// Made when it is first needed: reading the system's roots takes a while.
    config: Arc<OnceLock<Result<Arc<ClientConfig>, String>>>,
    roots: Option<Arc<RootCertStore>>,
    identity: Option<Arc<Identity>>,
}

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Tls {
    /// Trusts these certificates, and no others.
    pub(crate) fn with_roots(mut self, pem: &[u8]) -> Result<Self, RunAgentError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates("tls_roots", pem)? {
            roots.add(certificate).map_err(|problem| {
                RunAgentError::of_field("tls_roots", format!("A certificate is none: {problem}."))
            })?;
        }
        self.roots = Some(Arc::new(roots));
        Ok(self)
    }

    /// Shows this certificate to servers that ask for one.
    pub(crate) fn with_identity(mut self, chain: &[u8], key: &[u8]) -> Result<Self, RunAgentError> {
        let chain = certificates("tls_identity", chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|problem| {
            RunAgentError::of_field("tls_identity", format!("The private key cannot be read as PEM: {problem:?}."))
        })?;
        self.identity = Some(Arc::new(Identity { chain, key }));
        Ok(self)
    }

    fn connector(&self, protocol: &[u8]) -> io::Result<TlsConnector> {
        match self.config.get_or_init(|| self.make().map(Arc::new)) {
            Ok(config) => {
                let mut config = ClientConfig::clone(config);
                config.alpn_protocols = vec![protocol.to_vec()];
                Ok(TlsConnector::from(Arc::new(config)))
            }
            Err(problem) => Err(io::Error::other(problem.clone())),
        }
    }

    fn make(&self) -> Result<ClientConfig, String> {
        let roots = match &self.roots {
            Some(roots) => roots.clone(),
            None => Arc::new(system_roots()?),
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|problem| problem.to_string())?
            .with_root_certificates(roots);
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some(identity) => builder
                .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
                .map_err(|problem| format!("The client certificate cannot be used: {problem}.")),
        }
    }
}

fn certificates(option: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, RunAgentError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(RunAgentError::of_field(option, "There is no certificate in it; give PEM text.")),
        Err(problem) => Err(RunAgentError::of_field(option, format!("It cannot be read as PEM: {problem:?}."))),
    }
}

fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err("This system has no root certificates; give them with tls_roots.".to_owned());
    }
    Ok(roots)
}

/// What was seen of whoever is at an address, on one connection after the other.
#[derive(Debug, Default)]
pub(crate) struct Sight(AtomicU8);

impl Sight {
    const NOBODY: u8 = 0;
    const SOMEBODY: u8 = 1;
    const HTTP2: u8 = 2;
    const SOMETHING_ELSE: u8 = 3;

    /// Whether the last connection was taken.
    pub(crate) fn somebody(&self) -> bool {
        self.0.load(Ordering::Relaxed) != Self::NOBODY
    }

    /// Whether HTTP/2 was spoken on the last connection.
    pub(crate) fn http2(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::HTTP2
    }

    /// Whether something that is no HTTP/2 was spoken on the last connection.
    pub(crate) fn something_else(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::SOMETHING_ELSE
    }

    fn saw(&self, what: u8) {
        self.0.store(what, Ordering::Relaxed);
    }
}

/// Connects to the address. `protocol` is what is to be spoken within TLS.
pub(crate) async fn connect(address: &Address, tls: &Tls, protocol: &[u8], sight: &Arc<Sight>) -> io::Result<Stream> {
    sight.saw(Sight::NOBODY);
    let taken = TcpStream::connect((address.host.as_str(), address.port));
    let socket = tokio::time::timeout(CONNECT_TIMEOUT, taken).await.map_err(|_| too_slow("connect"))??;
    socket.set_nodelay(true)?;
    sight.saw(Sight::SOMEBODY);
    let connection = if address.tls {
        let name = match address.host.parse::<IpAddr>() {
            Ok(ip) => ServerName::from(ip),
            Err(_) => ServerName::try_from(address.host.clone()).map_err(io::Error::other)?,
        };
        let shaken = tls.connector(protocol)?.connect(name, socket);
        let shaken = tokio::time::timeout(CONNECT_TIMEOUT, shaken).await.map_err(|_| too_slow("shake hands"))??;
        Connection::Tls(Box::new(shaken))
    } else {
        Connection::Plain(socket)
    };
    Ok(Stream { connection, sight: sight.clone(), head: Vec::with_capacity(HEAD) })
}

fn too_slow(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("It took more than {CONNECT_TIMEOUT:?} to {what}."))
}

/// How much of an answer is needed to tell what is spoken: an HTTP/2 connection begins with a frame of settings, whose
/// type is its fourth byte (RFC 9113, section 3.4).
const HEAD: usize = 4;
const SETTINGS: u8 = 4;

/// A connection that notes what is spoken on it.
pub(crate) struct Stream {
    connection: Connection,
    sight: Arc<Sight>,
    head: Vec<u8>,
}

enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    fn note(&mut self, bytes: &[u8]) {
        let missing = HEAD - self.head.len();
        if missing > 0 {
            self.head.extend_from_slice(&bytes[..missing.min(bytes.len())]);
            if self.head.len() == HEAD {
                self.sight.saw(if self.head[HEAD - 1] == SETTINGS { Sight::HTTP2 } else { Sight::SOMETHING_ELSE });
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(match &mut self.connection {
            Connection::Plain(socket) => Pin::new(socket).poll_read(context, into),
            Connection::Tls(socket) => Pin::new(socket).poll_read(context, into),
        })?;
        self.note(&into.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.connection {
            Connection::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Connection::Tls(socket) => Pin::new(socket).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.connection {
            Connection::Plain(socket) => Pin::new(socket).poll_flush(context),
            Connection::Tls(socket) => Pin::new(socket).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.connection {
            Connection::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Connection::Tls(socket) => Pin::new(socket).poll_shutdown(context),
        }
    }
}
