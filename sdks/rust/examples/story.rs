//! Streams a story from the agent of `make demo`, or from any other: `cargo run --example story -- AGENT TAG MESSAGE`.
//!
//! Where the agent runs is said by `RUNAGENT_BASE_URL`; without it, it is looked for on this machine.

use std::io::Write;

use futures::StreamExt;
use runagent::client::RunAgentClient;
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let agent = arguments.next().unwrap_or_else(|| "quickstart".to_owned());
    let tag = arguments.next().unwrap_or_else(|| "chat_stream".to_owned());
    let message = arguments.next().unwrap_or_else(|| "Tell me a story".to_owned());

    let local = std::env::var_os("RUNAGENT_BASE_URL").is_none();
    let client = RunAgentClient::new(&agent, &tag, local).await?;
    let mut stream = client.run_stream(&[("message", json!(message))]).await?;
    while let Some(chunk) = stream.next().await {
        print!("{}", chunk?);
        std::io::stdout().flush()?;
    }
    println!();
    Ok(())
}
