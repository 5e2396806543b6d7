//! The options of a client.

use std::sync::Arc;
use std::time::Duration;

use crate::client::address::{API_KEY_VARIABLE, Directions, Transport};
use crate::client::call::OnDisconnect;
use crate::client::connection::Connection;
use crate::client::handle::{Options, RunAgentClient};
use crate::client::retry::DEFAULT_PATIENCE;
use crate::error::RunAgentError;
use crate::network::Tls;

/// A client that is being put together: [`RunAgentClient::builder`].
///
/// ```no_run
/// # async fn build() -> Result<(), runagent::RunAgentError> {
/// use std::time::Duration;
/// use runagent::RunAgentClient;
///
/// let client = RunAgentClient::builder("quickstart", "chat_stream")
///     .base_url("https://agents.example")
///     .api_key("the-key")
///     .timeout(Duration::from_secs(120))
///     .build()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a client is made by `build`"]
pub struct ClientBuilder {
    directions: Directions,
    api_key: Option<String>,
    roots: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
    options: Options,
}

impl ClientBuilder {
    pub(crate) fn new(agent_id: &str, entrypoint_tag: &str) -> Self {
        Self {
            directions: Directions { agent_id: agent_id.to_owned(), ..Directions::default() },
            api_key: None,
            roots: None,
            identity: None,
            options: Options {
                agent_id: agent_id.to_owned(),
                entrypoint_tag: entrypoint_tag.to_owned(),
                user_id: String::new(),
                persistent_memory: false,
                timeout: None,
                patience: DEFAULT_PATIENCE,
                on_disconnect: OnDisconnect::default(),
            },
        }
    }

    /// Looks the agent up on this machine, where no address is given. By default `RUNAGENT_BASE_URL` names the server.
    pub fn local(mut self, local: bool) -> Self {
        self.directions.local = local;
        self
    }

    /// The server's host and port. Goes before `local` and the environment.
    pub fn address(mut self, host: impl Into<String>, port: u16) -> Self {
        self.directions.host_and_port = Some((host.into(), port));
        self
    }

    /// The server's address as one URL: http, https, ws, wss, grpc or grpcs. Goes before all others.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.directions.base_url = Some(url.into());
        self
    }

    /// What to speak, in place of whatever the server says that it speaks.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.directions.transport = transport;
        self
    }

    /// The key to call with. By default `RUNAGENT_API_KEY`.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// The certificates to trust, as PEM, in place of the system's.
    pub fn tls_roots(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots = Some(pem.into());
        self
    }

    /// The certificate chain and its private key, as PEM, for servers that ask for one.
    pub fn tls_identity(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some((chain.into(), key.into()));
        self
    }

    /// How long a call may take, all tries together, a stream to its last chunk. By default as long as it takes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// How long a call goes on trying to reach a server that answered before and does not now: 60 seconds by default;
    /// zero never tries again.
    pub fn retry_for(mut self, patience: Duration) -> Self {
        self.options.patience = patience;
        self
    }

    /// What becomes of an invocation whose caller is gone.
    pub fn on_disconnect(mut self, on_disconnect: OnDisconnect) -> Self {
        self.options.on_disconnect = on_disconnect;
        self
    }

    /// The end user on whose behalf the calls are made.
    pub fn user_id(mut self, user_id: impl Into<String>) -> Self {
        self.options.user_id = user_id.into();
        self
    }

    /// Whether the entrypoint may keep state for that user.
    pub fn persistent_memory(mut self, persistent_memory: bool) -> Self {
        self.options.persistent_memory = persistent_memory;
        self
    }

    /// Finds out where the server is. It is connected to when the first call needs it.
    ///
    /// # Errors
    ///
    /// `VALIDATION_ERROR` for an option that cannot be, `AGENT_NOT_FOUND` for an agent that is not served on this
    /// machine, `CONNECTION_ERROR` where nothing names a server.
    pub async fn build(self) -> Result<RunAgentClient, RunAgentError> {
        let api_key = key_of(self.api_key, environment(API_KEY_VARIABLE))?;
        if self.options.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(RunAgentError::of_field("timeout", "It is zero; give more, or none at all."));
        }
        let mut tls = Tls::default();
        if let Some(pem) = self.roots {
            tls = tls.with_roots(&pem)?;
        }
        if let Some((chain, key)) = self.identity {
            tls = tls.with_identity(&chain, &key)?;
        }
        let directions = self.directions;
        let address = directions.looked_up().await?;
        let connection = Connection::new(directions, address, api_key, tls);
        Ok(RunAgentClient::new_with(Arc::new(connection), self.options))
    }
}

/// Returns the key to call with. White space around that of the environment comes from how the variable was set.
fn key_of(given: Option<String>, of_environment: Option<String>) -> Result<Option<String>, RunAgentError> {
    let (field, key) = match given {
        Some(key) => ("api_key", key),
        None => (API_KEY_VARIABLE, of_environment.unwrap_or_default().trim().to_owned()),
    };
    if !key.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(RunAgentError::of_field(field, "The key holds characters that no header can carry."));
    }
    if key != key.trim() {
        return Err(RunAgentError::of_field(field, "The key has white space around it."));
    }
    Ok(Some(key).filter(|key| !key.is_empty()))
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_around_a_key_of_the_environment_is_no_part_of_it() {
        let key = |text: &str| key_of(None, Some(text.to_owned()));
        assert_eq!(key(" key\r\n").unwrap().as_deref(), Some("key"));
        assert_eq!(key(" \n").unwrap(), None);
        assert_eq!(key("a\nb").unwrap_err().violations()[0].field, "RUNAGENT_API_KEY");
    }

    #[test]
    fn a_given_key_that_no_header_carries_is_refused_by_name() {
        for key in [" key", "key\n", " ", "a\nb", "schlüssel"] {
            let error = key_of(Some(key.to_owned()), Some("right".to_owned())).unwrap_err();
            assert_eq!(error.violations()[0].field, "api_key", "{key:?}");
        }
        assert_eq!(key_of(Some("given".to_owned()), Some("other".to_owned())).unwrap().as_deref(), Some("given"));
    }
}
