//! The conformance kit's runner for this crate: a call a line on standard input, an outcome a line on standard output.
//! The protocol is told in `tests/conformance/README.md`.

use std::io::{BufRead, Write};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use runagent::client::{CallBuilder, ChunkStream, OnDisconnect, RunAgentClient, Transport};
use runagent::{RunAgentError, Value};
use serde_json::{Value as Json, json};

const NO_LONE_SURROGATES: &str = "A Rust string is UTF-8, which has no lone surrogates.";

/// What a call came to.
enum Failure {
    Client(RunAgentError),
    Unsupported(&'static str),
    /// Not the client's doing: a line that this runner does not understand.
    Crash(String),
}

impl From<RunAgentError> for Failure {
    fn from(error: RunAgentError) -> Self {
        Failure::Client(error)
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let call: Json = serde_json::from_str(&line).unwrap_or_default();
        let id = call["id"].clone();
        // On a task of its own, so that not even a panic ends the runner.
        let mut outcome = match tokio::spawn(async move { outcome_of(&call).await }).await {
            Ok(outcome) => outcome,
            Err(panic) => json!({"error": crash(&panic.to_string())}),
        };
        outcome["id"] = id;
        let mut output = std::io::stdout().lock();
        writeln!(output, "{outcome}")?;
        output.flush()?;
    }
    Ok(())
}

async fn outcome_of(call: &Json) -> Json {
    let streams = matches!(call["method"].as_str(), Some("run_stream" | "resume"));
    match attempt(call).await {
        Ok(outcome) => outcome,
        Err(Failure::Unsupported(reason)) => json!({"unsupported": reason}),
        Err(Failure::Crash(text)) => failed(streams, &crash(&text), None),
        Err(Failure::Client(error)) => failed(streams, &written_error(&error), error.invocation_id()),
    }
}

fn failed(streams: bool, error: &Json, invocation_id: Option<&str>) -> Json {
    let mut outcome = json!({"error": error, "invocation_id": invocation_id});
    if streams {
        outcome["chunks"] = json!([]);
        outcome["ended"] = json!("failed");
    }
    outcome
}

async fn attempt(call: &Json) -> Result<Json, Failure> {
    let client = client_for(call).await?;
    match call["method"].as_str() {
        Some("run") => Ok(json!({"result": written(&prepared(&client, call)?.run().await?)})),
        Some("run_stream") => Ok(read(prepared(&client, call)?.run_stream().await?, call).await),
        Some("resume") => {
            let after = call["after_sequence"].as_u64().unwrap_or_default();
            Ok(read(client.resume(&text(call, "invocation_id"), after).await?, call).await)
        }
        Some("cancel") => {
            client.cancel(&text(call, "invocation_id")).await?;
            Ok(json!({"result": {"json": "null"}}))
        }
        other => Err(Failure::Crash(format!("There is no method {other:?}."))),
    }
}

async fn client_for(call: &Json) -> Result<RunAgentClient, Failure> {
    let port = call["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or_default();
    let mut builder = RunAgentClient::builder(&text(call, "agent_id"), &text(call, "entrypoint_tag"))
        .address(text(call, "host"), port)
        .transport(match call["transport"].as_str() {
            Some("grpc") => Transport::Grpc,
            Some("http") => Transport::Http,
            _ => Transport::Auto,
        })
        .on_disconnect(match call["on_disconnect"].as_str() {
            Some("cancel") => OnDisconnect::Cancel,
            Some("detach") => OnDisconnect::Detach,
            _ => OnDisconnect::Linger,
        })
        .user_id(text(call, "user_id"))
        .persistent_memory(call["persistent_memory"].as_bool().unwrap_or_default());
    if let Some(key) = call["api_key"].as_str() {
        builder = builder.api_key(key);
    }
    if let Some(seconds) = call["timeout_seconds"].as_f64() {
        builder = builder.timeout(Duration::from_secs_f64(seconds));
    }
    if let Some(seconds) = call["retry_seconds"].as_f64() {
        builder = builder.retry_for(Duration::from_secs_f64(seconds));
    }
    Ok(builder.build().await?)
}

fn prepared(client: &RunAgentClient, call: &Json) -> Result<CallBuilder, Failure> {
    let mut prepared = client.call();
    for argument in call["args"].as_array().into_iter().flatten() {
        prepared = prepared.arg(read_value(argument)?);
    }
    for (name, argument) in call["kwargs"].as_object().into_iter().flatten() {
        prepared = prepared.kwarg(name, read_value(argument)?);
    }
    for pair in call["keywords"].as_array().into_iter().flatten() {
        prepared = prepared.kwarg(pair[0].as_str().unwrap_or_default(), read_value(&pair[1])?);
    }
    match call["request_id"].as_str() {
        Some(request_id) => Ok(prepared.request_id(request_id)),
        None => Ok(prepared),
    }
}

async fn read(mut stream: ChunkStream, call: &Json) -> Json {
    let take = call["take"].as_u64().and_then(|take| usize::try_from(take).ok());
    let mut chunks = Vec::new();
    let invocation_id = stream.invocation_id();
    loop {
        if take == Some(chunks.len()) {
            stream.close().await;
            return json!({"chunks": chunks, "ended": "left", "invocation_id": invocation_id});
        }
        match stream.next_chunk().await {
            Some(Ok(chunk)) => chunks.push(written(&chunk)),
            None => return json!({"chunks": chunks, "ended": "completed", "invocation_id": invocation_id}),
            Some(Err(error)) => {
                let id = error.invocation_id().map(str::to_owned).or(invocation_id);
                let error = written_error(&error);
                return json!({"chunks": chunks, "ended": "failed", "error": error, "invocation_id": id});
            }
        }
    }
}

fn read_value(value: &Json) -> Result<Value, Failure> {
    if let Some(text) = value["text"].as_str() {
        return Ok(text.into());
    }
    if let Some(text) = value["json"].as_str() {
        return Ok(Value::from_json(text)?);
    }
    if let Some(text) = value["binary"].as_str() {
        let bytes = BASE64.decode(text).map_err(|problem| Failure::Crash(problem.to_string()))?;
        return Ok(bytes.into());
    }
    match value["number"].as_str() {
        Some("NaN") => Ok(f64::NAN.into()),
        Some("Infinity") => Ok(f64::INFINITY.into()),
        Some("-Infinity") => Ok(f64::NEG_INFINITY.into()),
        _ if value["utf16"].is_array() => {
            let units = serde_json::from_value::<Vec<u16>>(value["utf16"].clone()).unwrap_or_default();
            String::from_utf16(&units).map(Value::from).map_err(|_| Failure::Unsupported(NO_LONE_SURROGATES))
        }
        _ => Err(Failure::Crash(format!("There is no value {value}."))),
    }
}

fn written(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!({"text": text}),
        Value::Json(text) => json!({"json": text.as_str()}),
        Value::Binary(bytes) => json!({"binary": BASE64.encode(bytes)}),
    }
}

fn written_error(error: &RunAgentError) -> Json {
    let fields: Vec<&str> = error.violations().iter().map(|violation| violation.field.as_str()).collect();
    json!({
        "code": error.code(),
        "reason": error.reason().as_str(),
        "message": error.message(),
        "suggestion": error.suggestion(),
        "fields": fields,
        "retry_after": error.retry_after().map(|pause| pause.as_secs_f64()),
    })
}

fn crash(text: &str) -> Json {
    json!({"code": "CRASH", "reason": null, "message": text})
}

fn text(call: &Json, name: &str) -> String {
    call[name].as_str().unwrap_or_default().to_owned()
}
