//! The client, and what is made of it: calls, streams, and the options of both.

pub(crate) mod address;
mod builder;
mod call;
pub(crate) mod connection;
pub(crate) mod deadline;
mod discovery;
pub(crate) use discovery::resumes;
mod handle;
mod lease;
mod local;
pub(crate) mod retry;
mod stream;
pub(crate) mod stream_state;

pub use address::Transport;
pub use builder::ClientBuilder;
pub use call::{CallBuilder, OnDisconnect};
pub use handle::RunAgentClient;
pub use stream::ChunkStream;
