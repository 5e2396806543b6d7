//! Where a client finds its server: the order of places it looks in (docs/design.md, discovery).

use std::fmt;

use ::http::Uri;
use ::http::uri::Authority;

use crate::client::local::{self, LocalServers};
use crate::error::{Reason, RunAgentError};

pub(crate) const BASE_URL_VARIABLE: &str = "RUNAGENT_BASE_URL";
pub(crate) const API_KEY_VARIABLE: &str = "RUNAGENT_API_KEY";

/// What to speak with a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Whatever the server speaks best. It is asked.
    #[default]
    Auto,
    /// gRPC, with the very port that is named.
    Grpc,
    /// REST and WebSocket, with the very port that is named.
    Http,
}

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    pub(crate) transport: Transport,
    /// Whether the server knows a call that is repeated, and a stream that is resumed. None: it was not asked.
    pub(crate) resumable: Option<bool>,
    /// Which servers of this machine it stands for, until one of them is found to live.
    pub(crate) servers: Option<Box<LocalServers>>,
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

/// What a caller said of where the server is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directions {
    pub(crate) agent_id: String,
    pub(crate) local: bool,
    pub(crate) host_and_port: Option<(String, u16)>,
    pub(crate) base_url: Option<String>,
    pub(crate) transport: Transport,
}

impl Directions {
    /// Resolves where blocking does not matter, in the environment of this process: leases are files, which may keep
    /// their reader waiting.
    pub(crate) async fn looked_up(&self) -> Result<Address, RunAgentError> {
        let directions = self.clone();
        tokio::task::spawn_blocking(move || directions.resolve(|name| std::env::var(name).ok())).await.map_err(
            |problem| {
                RunAgentError::new(Reason::InternalError, "The server's address could not be looked up.")
                    .with_details(problem.to_string())
            },
        )?
    }

    /// Returns the address of the first that is there: a URL or host and port, the servers of this machine, the
    /// environment.
    ///
    /// Blocks for as long as it takes to read the leases of this machine.
    pub(crate) fn resolve(&self, environment: impl Fn(&str) -> Option<String>) -> Result<Address, RunAgentError> {
        if let Some(url) = &self.base_url {
            return parse_url(url, "base_url", self.transport);
        }
        if let Some((host, port)) = &self.host_and_port {
            return explicit(host, *port, self.transport);
        }
        if self.local {
            return local::find(&self.agent_id, self.transport, environment);
        }
        if let Some(url) = environment(BASE_URL_VARIABLE).filter(|url| !url.is_empty()) {
            return parse_url(&url, BASE_URL_VARIABLE, self.transport);
        }
        Err(RunAgentError::new(Reason::ConnectionError, "No server is named.").with_suggestion(format!(
            "Give host and port (or a base URL), look the agent up on this machine (local), or set {BASE_URL_VARIABLE}."
        )))
    }
}

fn plain(host: String, port: u16, transport: Transport) -> Address {
    Address { host, port, tls: false, transport, resumable: None, servers: None }
}

fn explicit(host: &str, port: u16, transport: Transport) -> Result<Address, RunAgentError> {
    if host.contains("://") {
        let description = format!("{host:?} is a URL; give it as base_url, or the host alone.");
        return Err(RunAgentError::of_field("host", description));
    }
    let host = host.trim_matches(['[', ']']);
    if host.is_empty() || host.contains(|letter: char| letter.is_whitespace() || letter == '/') {
        return Err(RunAgentError::of_field("host", format!("{host:?} is no host; give a name or an IP address.")));
    }
    if port == 0 {
        return Err(RunAgentError::of_field("port", "0 is not a number between 1 and 65535."));
    }
    Ok(plain(host.to_owned(), port, transport))
}

fn parse_url(url: &str, field: &str, transport: Transport) -> Result<Address, RunAgentError> {
    let bad = || {
        RunAgentError::of_field(field, format!("{url:?} is not a URL such as http://host:8450 or grpc://host:50051."))
    };
    let uri: Uri = url.parse().map_err(|_| bad())?;
    let (implied, tls, default_port) = match uri.scheme_str().unwrap_or_default() {
        "http" => (Transport::Auto, false, 80),
        "https" => (Transport::Auto, true, 443),
        "ws" => (Transport::Http, false, 80),
        "wss" => (Transport::Http, true, 443),
        "grpc" => (Transport::Grpc, false, 50051),
        "grpcs" => (Transport::Grpc, true, 443),
        _ => return Err(bad()),
    };
    if implied != Transport::Auto && transport != Transport::Auto && implied != transport {
        let description = format!("{url:?} and the transport {transport:?} contradict each other.");
        return Err(RunAgentError::of_field(field, description));
    }
    let host = uri.host().unwrap_or_default();
    let authority = uri.authority().map(Authority::as_str).unwrap_or_default();
    // The parser passes over a port that is none, and that must not become the default.
    let port = match authority.rsplit('@').next().and_then(|place| place.strip_prefix(host)) {
        None | Some("") => default_port,
        Some(port) => port.trim_start_matches(':').parse().map_err(|_| bad())?,
    };
    let host = host.trim_matches(['[', ']']).to_owned();
    if host.is_empty() || port == 0 {
        return Err(bad());
    }
    let transport = if implied == Transport::Auto { transport } else { implied };
    Ok(Address { host, port, tls, transport, resumable: None, servers: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn by_url(url: &str) -> Result<Address, RunAgentError> {
        Directions { base_url: Some(url.to_owned()), ..Directions::default() }.resolve(nothing)
    }

    #[test]
    fn a_url_says_where_and_what_to_speak() {
        let address = by_url("grpcs://agents.example").unwrap();
        assert_eq!((address.to_string().as_str(), address.tls), ("agents.example:443", true));
        assert_eq!(address.transport, Transport::Grpc);
        assert_eq!(by_url("http://[::1]:8450/api/").unwrap().to_string(), "[::1]:8450");
        assert_eq!(by_url("ws://127.0.0.1:8450").unwrap().transport, Transport::Http);
    }

    #[test]
    fn what_is_no_url_is_refused_by_the_name_of_its_option() {
        for url in ["localhost:8450", "ftp://a", "http://", "http://a:b", "http://a:99999", "http://a:0"] {
            assert_eq!(by_url(url).unwrap_err().violations()[0].field, "base_url", "{url}");
        }
    }

    #[test]
    fn an_explicit_address_goes_before_everything() {
        let directions =
            Directions { local: true, host_and_port: Some(("[::1]".to_owned(), 50051)), ..Directions::default() };
        let address = directions.resolve(|_| Some("http://elsewhere:1".to_owned())).unwrap();
        assert_eq!(address.to_string(), "[::1]:50051");
    }

    #[test]
    fn the_environment_names_a_server_where_nothing_else_does() {
        let address = Directions::default().resolve(|_| Some("http://elsewhere:1".to_owned())).unwrap();
        assert_eq!(address.to_string(), "elsewhere:1");
    }

    #[test]
    fn without_any_server_the_three_places_are_named() {
        let error = Directions::default().resolve(nothing).unwrap_err();
        assert_eq!(error.reason(), Reason::ConnectionError);
        let said = error.to_string();
        assert!(["host and port", "local", BASE_URL_VARIABLE].iter().all(|place| said.contains(place)), "{said}");
    }

    #[test]
    fn a_url_and_a_transport_may_not_contradict_each_other() {
        let directions =
            Directions { base_url: Some("ws://a:1".to_owned()), transport: Transport::Grpc, ..Directions::default() };
        assert!(directions.resolve(nothing).is_err());
    }
}
