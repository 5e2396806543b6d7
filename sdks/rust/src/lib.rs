//! Calls [RunAgent](https://github.com/runagent-dev) agents from Rust: a value from [`run`](RunAgentClient::run), chunks
//! as they come from [`run_stream`](RunAgentClient::run_stream).
//!
//! ```no_run
//! use futures::StreamExt;
//! use runagent::client::RunAgentClient;
//! use serde_json::json;
//!
//! # async fn tell() -> Result<(), runagent::RunAgentError> {
//! let client = RunAgentClient::new("quickstart", "chat_stream", true).await?;
//! let mut stream = client.run_stream(&[("message", json!("Tell me a story"))]).await?;
//! while let Some(chunk) = stream.next().await {
//!     print!("{}", chunk?);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - A connection that is cut, or falls silent, is made again, and a stream goes on behind the last chunk that came:
//!   each chunk once, in order, or one clear error. A stream that ends without the server's word that it is complete is
//!   an error.
//! - Whoever drops a stream, or the future of a call, has left on purpose: what ran is cancelled on the server.
//! - Everything that fails is a [`RunAgentError`], with a [`Reason`] that programs branch on.
//! - Values keep what they are: see [`Value`] for integers beyond 64 bits, bytes, and `1` beside `1.0`.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod client;
mod error;
#[allow(missing_docs, clippy::all, clippy::pedantic)] // Generated; documented where the contract has a comment.
mod generated {
    include!("generated/runagent.v1.rs");
}
mod grpc;
mod http;
mod network;
mod value;

/// The samples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use client::RunAgentClient;
pub use error::{Reason, RunAgentError, Violation};
pub use value::{Json, Value};
