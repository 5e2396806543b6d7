//! The documented wire as a client writes and reads it, without any I/O (docs/wire.md, rest and websocket).
//!
//! Calls become bodies, bodies become values, and frames become the events of the contract, so that what a stream means
//! is written once, in `StreamState`. What failed, and how, is `failures`'.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::client::address::Address;
use crate::error::{Reason, RunAgentError};
use crate::generated::payload::Kind;
use crate::generated::run_stream_request::Source;
use crate::generated::run_stream_response::Event;
use crate::generated::{
    Call, KeywordArgument, OnDisconnect, Payload, RunStreamRequest, RunStreamResponse, StreamChunks, StreamCompleted,
    StreamHeartbeat, StreamStarted,
};
use crate::http::failures::{failure_of_frame, failure_of_response, not_ours};
use crate::http::request::Response;
use crate::value::{Value, quoted};

/// Where a server describes itself, and below which all its routes are.
pub(crate) const HOME: &str = "/api/v1";

const LONGEST_INTERVAL_SECONDS: f64 = 1e6;

/// An object whose members are left as they came, so that no integer in them is rounded.
type Members<'a> = HashMap<String, &'a RawValue>;

/// Returns the path of one of an agent's routes.
pub(crate) fn agent_path(agent_id: &str, what: &str) -> String {
    format!("{HOME}/agents/{}/{what}", escaped(if agent_id.is_empty() { "default" } else { agent_id }))
}

const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];

/// Returns text as it may stand in a path.
pub(crate) fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut path, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.extend(['%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        path
    })
}

/// Returns the body of a run. JSON arguments go in as they are.
pub(crate) fn body_of(call: &Call, timeout: Option<serde_json::Number>) -> String {
    let mut fields = serde_json::Map::new();
    fields.insert("entrypoint_tag".into(), call.entrypoint_tag.clone().into());
    fields.insert("async_execution".into(), false.into());
    if let Some(timeout) = timeout {
        fields.insert("timeout_seconds".into(), timeout.into());
    }
    if !call.user_id.is_empty() {
        fields.insert("user_id".into(), call.user_id.clone().into());
    }
    if call.persistent_memory {
        fields.insert("persistent_memory".into(), true.into());
    }
    // Who says nothing gets what published servers do: it is cancelled.
    match call.on_disconnect() {
        OnDisconnect::Linger => drop(fields.insert("on_disconnect".into(), "linger".into())),
        OnDisconnect::Detach => drop(fields.insert("on_disconnect".into(), "detach".into())),
        OnDisconnect::Cancel | OnDisconnect::Unspecified => {}
    }
    if let Some(window) = &call.resume_window {
        fields.insert("resume_window".into(), window.seconds.into());
    }
    let mut body = Json::Object(fields).to_string();
    body.pop();
    let args: Vec<String> = call.args.iter().map(json_of).collect();
    let kwargs: Vec<String> = call
        .keywords
        .iter()
        .filter_map(|KeywordArgument { name, value }| Some(format!("{}:{}", quoted(name), json_of(value.as_ref()?))))
        .collect();
    body + &format!(",\"input_args\":[{}],\"input_kwargs\":{{{}}}}}", args.join(","), kwargs.join(","))
}

/// Says that a client knows every status frame, and keeps its chunks when the last frame comes.
const WIRE: u8 = 2;

/// Returns the frame that asks for a stream, or for the rest of one.
pub(crate) fn first_frame_of(request: &RunStreamRequest, timeout: Option<serde_json::Number>) -> String {
    match &request.source {
        Some(Source::Call(call)) => format!("{{\"wire\":{WIRE},{}", &body_of(call, timeout)[1..]),
        Some(Source::Resume(point)) => serde_json::json!({
            "wire": WIRE,
            "resume": {"invocation_id": point.invocation_id, "after_sequence": point.after_sequence}
        })
        .to_string(),
        None => "{}".to_owned(),
    }
}

/// Returns the JSON object that a 200 holds, or what any other response says.
pub(crate) fn document_in<'a>(address: &Address, response: &'a Response) -> Result<Members<'a>, RunAgentError> {
    let members: Option<Members<'a>> = serde_json::from_slice(&response.body).ok();
    match members {
        Some(members)
            if response.status == 200 && members.get("success").is_none_or(|success| success.get() != "false") =>
        {
            Ok(members)
        }
        _ => {
            let document = serde_json::from_slice::<Json>(&response.body).ok().filter(Json::is_object);
            Err(failure_of_response(address, response, document.as_ref()))
        }
    }
}

/// Returns the value of a run, or what went wrong with it.
pub(crate) fn value_in(address: &Address, response: &Response) -> Result<Value, RunAgentError> {
    match document_in(address, response)?.get("data") {
        Some(data) => Value::from_payload(payload_in(data)),
        None => Err(not_ours(address, "the answer to a run holds no data")),
    }
}

/// Turns the frames of one stream into events.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    count: i64,
}

impl FrameReader {
    /// Returns the event that a frame brings, or what an error frame says.
    pub(crate) fn event_of(&mut self, frame: &[u8]) -> Result<RunStreamResponse, RunAgentError> {
        let members: Option<Members<'_>> = serde_json::from_slice(frame).ok();
        let kind = members.as_ref().and_then(|members| members.get("type")).and_then(|kind| text_in(kind));
        let event = match (kind.as_deref(), members) {
            (Some("data"), Some(members)) => self.chunk(&members),
            (Some("status"), Some(members)) => self.status(&members),
            (Some("error"), _) => {
                let document: Json = serde_json::from_slice(frame).unwrap_or_default();
                return Err(failure_of_frame(&document));
            }
            // A type of a later dialect is not for us.
            (Some(_), _) => Event::Heartbeat(StreamHeartbeat {}),
            (None, _) => {
                return Err(RunAgentError::new(Reason::ConnectionError, "What answers is not a RunAgent server.")
                    .with_details("a frame is no JSON object with a type"));
            }
        };
        Ok(RunStreamResponse { event: Some(event) })
    }

    fn chunk(&mut self, members: &Members<'_>) -> Event {
        let sequence = number_in(members, "sequence").filter(|sequence| *sequence > 0);
        self.count = sequence.unwrap_or(self.count.saturating_add(1));
        let null = Payload { kind: Some(Kind::Json("null".to_owned())) };
        let payload = members.get("content").map_or(null, |content| payload_in(content));
        Event::Chunks(StreamChunks { first_sequence: self.count, values: vec![payload] })
    }

    fn status(&self, members: &Members<'_>) -> Event {
        let text = |name: &str| members.get(name).and_then(|value| text_in(value)).unwrap_or_default();
        match text("status").as_str() {
            "stream_started" => {
                let interval = members.get("heartbeat_interval").and_then(|interval| interval.get().parse().ok());
                Event::Started(StreamStarted {
                    invocation_id: text("invocation_id"),
                    start_time: None,
                    heartbeat_interval: interval
                        .filter(|seconds: &f64| *seconds > 0.0 && *seconds < LONGEST_INTERVAL_SECONDS)
                        .and_then(|seconds| Duration::from_secs_f64(seconds).try_into().ok()),
                })
            }
            "stream_completed" => {
                let total = number_in(members, "total_chunks").filter(|total| *total >= 0);
                Event::Completed(StreamCompleted { chunk_count: total.unwrap_or(self.count), elapsed: None })
            }
            _ => Event::Heartbeat(StreamHeartbeat {}),
        }
    }
}

fn number_in(members: &Members<'_>, name: &str) -> Option<i64> {
    members.get(name).and_then(|number| number.get().parse().ok())
}

fn text_in(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

fn json_of(payload: &Payload) -> String {
    Value::from_payload(payload.clone()).unwrap_or_else(|_| Value::null()).to_json()
}

/// Returns the payload in a value as the wire wraps it; one that is not wrapped is the value itself.
fn payload_in(data: &RawValue) -> Payload {
    let kind = match text_in(data) {
        None => Kind::Json(data.get().to_owned()),
        Some(text) => match unwrapped(&text) {
            Some(json) => Kind::Json(json),
            None => Kind::Text(text),
        },
    };
    Payload { kind: Some(kind) }
}

fn unwrapped(text: &str) -> Option<String> {
    let members: Members<'_> = serde_json::from_str(text).ok()?;
    (members.len() == 2 && members.contains_key("type")).then_some(())?;
    text_in(members.get("payload")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::address::Transport;

    fn address() -> Address {
        Address { host: "h".into(), port: 1, tls: false, transport: Transport::Http, resumable: None, servers: None }
    }

    fn answer(body: &str) -> Response {
        Response { status: 200, body: body.into(), ..Response::default() }
    }

    #[test]
    fn arguments_go_in_as_they_are() {
        let large = Value::from_json("10000000000000000000000").unwrap();
        let call = Call {
            entrypoint_tag: "t".into(),
            args: vec![Value::from("a\"").into_payload(), Value::from(vec![0_u8, 255]).into_payload()],
            keywords: vec![
                KeywordArgument { name: "n".into(), value: Some(large.into_payload()) },
                KeywordArgument { name: "a".into(), value: Some(Value::from(1).into_payload()) },
            ],
            on_disconnect: OnDisconnect::Linger.into(),
            ..Call::default()
        };
        let body = body_of(&call, Some(5.into()));
        assert!(
            body.contains(r#""input_args":["a\"","AP8="],"input_kwargs":{"n":10000000000000000000000,"a":1}"#),
            "{body}"
        );
        assert!(body.contains(r#""timeout_seconds":5"#) && body.contains(r#""on_disconnect":"linger""#), "{body}");
    }

    #[test]
    fn a_wrapped_value_keeps_every_digit_and_so_does_one_that_is_not() {
        let wrapped = r#"{"success":true,"data":"{\"type\":\"integer\",\"payload\":\"10000000000000000000001\"}"}"#;
        for body in [wrapped, r#"{"success":true,"data":10000000000000000000001}"#] {
            assert_eq!(value_in(&address(), &answer(body)).unwrap().to_string(), "10000000000000000000001", "{body}");
        }
        let text = r#"{"data":"{\"type\":\"string\",\"payload\":\"\\\"\\u00e9\\\"\"}"}"#;
        assert_eq!(value_in(&address(), &answer(text)).unwrap(), "é");
    }

    #[test]
    fn frames_become_the_events_of_the_contract() {
        let mut reader = FrameReader::default();
        let mut event = |frame: &str| reader.event_of(frame.as_bytes()).unwrap().event.unwrap();
        let started =
            event(r#"{"type":"status","status":"stream_started","invocation_id":"i","heartbeat_interval":1.5}"#);
        assert!(matches!(started, Event::Started(started) if started.invocation_id == "i"));
        let chunk = event(r#"{"type":"data","sequence":7,"content":"{\"type\":\"null\",\"payload\":\"null\"}"}"#);
        assert!(matches!(chunk, Event::Chunks(chunks) if chunks.first_sequence == 7));
        assert!(matches!(event(r#"{"type":"new"}"#), Event::Heartbeat(_)));
        let completed = event(r#"{"type":"status","status":"stream_completed","total_chunks":7}"#);
        assert!(matches!(completed, Event::Completed(completed) if completed.chunk_count == 7));
    }

    #[test]
    fn an_error_frame_is_an_error() {
        let frame = r#"{"type":"error","error":"Streaming error: boom","code":"INTERNAL_ERROR"}"#;
        let error = FrameReader::default().event_of(frame.as_bytes()).unwrap_err();
        assert_eq!((error.reason(), error.message()), (Reason::ExecutionFailed, "boom"));
        assert!(FrameReader::default().event_of(b"[]").is_err());
    }
}
