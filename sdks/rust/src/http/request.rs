//! One HTTP request on a connection of its own, and its response.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT as USER_AGENT_HEADER,
};
use hyper_util::rt::TokioIo;

use crate::client::address::Address;
use crate::client::connection::USER_AGENT;
use crate::network::{self, Sight, Tls};

/// What to ask for.
pub(crate) struct Request {
    method: &'static str,
    path: String,
    body: String,
    idempotency_key: String,
}

impl Request {
    pub(crate) fn get(path: &str) -> Self {
        Self { method: "GET", path: path.to_owned(), body: String::new(), idempotency_key: String::new() }
    }

    pub(crate) fn post(path: &str, body: String) -> Self {
        Self { method: "POST", path: path.to_owned(), body, idempotency_key: String::new() }
    }

    /// Makes the request the one of this id, if it is not empty.
    pub(crate) fn with_key(mut self, request_id: &str) -> Self {
        request_id.clone_into(&mut self.idempotency_key);
        self
    }
}

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<u64>,
    pub(crate) invocation_id: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// Asks the server at the address.
///
/// Fails with `InvalidData` for what is no HTTP, and with `FileTooLarge` for a body of more than `limit` bytes.
pub(crate) async fn ask(
    address: &Address,
    tls: &Tls,
    sight: &Arc<Sight>,
    api_key: Option<&str>,
    request: Request,
    limit: usize,
) -> io::Result<Response> {
    let stream = network::connect(address, tls, b"http/1.1", sight).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io_error)?;
    let mut asked = hyper::Request::builder()
        .method(request.method)
        .uri(request.path)
        .header(HOST, address.to_string())
        .header(USER_AGENT_HEADER, USER_AGENT)
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/json")
        // Of a connection that is kept nobody knows whether the server is closing it just when the next request goes.
        .header(CONNECTION, "close");
    if let Some(key) = api_key {
        asked = asked.header(AUTHORIZATION, format!("Bearer {key}"));
    }
    if !request.idempotency_key.is_empty() {
        asked = asked.header("idempotency-key", request.idempotency_key);
    }
    let asked = asked.body(Full::new(Bytes::from(request.body))).map_err(io::Error::other)?;
    let answered = async {
        let response = sender.send_request(asked).await.map_err(io_error)?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let (status, retry_after) =
            (response.status().as_u16(), header(RETRY_AFTER.as_str()).and_then(|text| text.parse().ok()));
        let invocation_id = header("x-invocation-id").map(str::to_owned);
        let body = Limited::new(response.into_body(), limit).collect().await.map_err(|problem| {
            if problem.is::<LengthLimitError>() {
                io::Error::from(io::ErrorKind::FileTooLarge)
            } else {
                io::Error::new(io::ErrorKind::ConnectionAborted, problem)
            }
        })?;
        Ok(Response { status, retry_after, invocation_id, body: body.to_bytes().into() })
    };
    drive(connection, answered).await
}

/// Waits for an answer, and moves the connection that it comes on meanwhile.
async fn drive<T>(
    connection: impl Future<Output = hyper::Result<()>>,
    answered: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let mut answered = std::pin::pin!(answered);
    tokio::select! {
        biased;
        answer = &mut answered => answer,
        // A failure of the connection is told to whoever waits for the answer.
        _ = connection => answered.await,
    }
}

fn io_error(problem: hyper::Error) -> io::Error {
    let kind = if problem.is_parse() { io::ErrorKind::InvalidData } else { io::ErrorKind::ConnectionAborted };
    io::Error::new(kind, problem)
}
