//! What a failed request, or a stream's error frame, means to the caller (docs/wire.md, failures).
//!
//! Our servers name the reason. Published ones tell a code and a text, some the text alone: what those mean is a table of
//! the documented texts, and the one table of all reasons.

use std::time::Duration;

use serde_json::Value as Json;

use crate::client::address::Address;
use crate::error::{Reason, RunAgentError, Violation};
use crate::http::request::Response;

const RAISED: &str = "Agent execution failed: ";
const RAISED_BY_PUBLISHED: &str = "Server error running agent ";
const RAISED_IN_STREAM: &str = "Streaming error: ";

/// How a documented text begins, and what has to stand somewhere behind that, if anything. The first that fits tells its
/// reason, where the code agrees.
const TEXTS: &[(Reason, &str, &str)] = &[
    (Reason::ExecutionFailed, RAISED, ""),
    (Reason::ExecutionFailed, RAISED_IN_STREAM, ""),
    (Reason::AgentNotFound, "Agent ", "not found"),
    (Reason::EntrypointNotFound, "Entrypoint ", "not found"),
    (Reason::InvocationNotFound, "Invocation ", "not found"),
    (Reason::StreamEntrypoint, "Can't use Streaming Entrypoint ", ""),
    (Reason::NonStreamEntrypoint, "Entrypoint ", "is not a streaming entrypoint"),
    (Reason::MalformedRequest, "Invalid JSON format: ", ""),
    (Reason::ValidationError, "Missing required field: ", ""),
];

/// What a failure's document tells.
#[derive(Default)]
struct Told {
    code: Option<String>,
    reason: Option<String>,
    message: Option<String>,
    suggestion: Option<String>,
    details: Option<String>,
    field: Option<String>,
}

/// Returns the error that a response means. `document` is its body, where that is a JSON object.
pub(crate) fn failure_of_response(address: &Address, response: &Response, document: Option<&Json>) -> RunAgentError {
    let told = document.map(told).unwrap_or_default();
    let Some(reason) = reason(&told, Some(response.status)) else {
        return not_ours(address, format!("HTTP status {}", response.status));
    };
    failure(reason, told, format!("The server refused the call (HTTP status {}).", response.status))
        .with_retry_after(response.retry_after.map(Duration::from_secs))
        .of_invocation(response.invocation_id.as_deref())
}

/// Returns the error that an error frame means.
pub(crate) fn failure_of_frame(frame: &Json) -> RunAgentError {
    let mut facts = told(frame);
    if frame["data"].is_object() {
        facts.take(&frame["data"]);
    }
    let reason = reason(&facts, None).unwrap_or(Reason::ExecutionFailed);
    failure(reason, facts, "The stream failed.".to_owned())
}

/// Returns what it means that an answer is nothing that a RunAgent server says.
pub(crate) fn not_ours(address: &Address, details: impl Into<String>) -> RunAgentError {
    RunAgentError::new(Reason::ConnectionError, format!("What answers at {address} is not a RunAgent server."))
        .with_suggestion("Check the address; `runagent serve` prints it.")
        .with_details(details)
}

impl Told {
    fn take(&mut self, document: &Json) {
        let text = |name: &str| document[name].as_str().map(str::to_owned);
        self.code = text("code").or(self.code.take());
        self.reason = text("reason").or(self.reason.take());
        self.message = text("message").or(self.message.take());
        self.suggestion = text("suggestion").or(self.suggestion.take());
        self.details = text("details").or(self.details.take());
        self.field = text("field").or(self.field.take());
    }
}

fn told(document: &Json) -> Told {
    let mut facts = Told::default();
    if document["error"].is_object() {
        facts.take(&document["error"]);
        return facts;
    }
    facts.take(document);
    facts.message = None;
    for text in [&document["error"], &document["detail"], &document["message"]] {
        if let Some(text) = text.as_str().filter(|text| !text.is_empty()) {
            facts.message = Some(text.to_owned());
            return facts;
        }
        if let Some(problems) = text.as_array() {
            return told_by_framework(problems);
        }
    }
    facts
}

/// Returns what the framework of published servers tells of a body that does not fit.
fn told_by_framework(problems: &[Json]) -> Told {
    let place = |problem: &Json| {
        let steps = problem["loc"].as_array().map_or(&[] as &[Json], Vec::as_slice);
        let names = steps.iter().skip(1).map(|step| step.as_str().map_or_else(|| step.to_string(), str::to_owned));
        names.collect::<Vec<_>>().join(".")
    };
    let texts: Vec<String> = problems
        .iter()
        .map(|problem| format!("`{}`: {}.", place(problem), problem["msg"].as_str().unwrap_or_default()))
        .collect();
    Told {
        code: Some(Reason::ValidationError.code().to_owned()),
        message: Some(texts.join(" ")),
        field: problems.first().map(place),
        ..Told::default()
    }
}

/// Returns the reason that was named, or that a documented text, a code or a status stands for.
fn reason(told: &Told, status: Option<u16>) -> Option<Reason> {
    if let Some(reason) = told.reason.as_deref().and_then(Reason::named) {
        return Some(reason);
    }
    let code = told.code.as_deref();
    if let Some(text) = &told.message {
        let fits = |(reason, start, part): &&(Reason, &str, &str)| {
            text.strip_prefix(start).is_some_and(|rest| rest.contains(part))
                && code.is_none_or(|code| code == reason.code())
        };
        if let Some((reason, ..)) = TEXTS.iter().find(fits) {
            return Some(*reason);
        }
    }
    let rows = || Reason::ALL.iter().copied().filter(|reason| Some(reason.code()) == code);
    if let Some(reason) = rows().find(|reason| Some(reason.http()) == status).or_else(|| rows().next()) {
        return Some(reason);
    }
    match status? {
        200 => told.says_anything().then_some(Reason::ExecutionFailed),
        400 | 404 | 500 if !told.says_anything() => None,
        // Those that several reasons share, or that none has, as a proxy may send them with nothing of ours inside.
        400 => Some(Reason::MalformedRequest),
        404 => Some(Reason::AgentNotFound),
        429 => Some(Reason::Overloaded),
        500 => Some(Reason::InternalError),
        502..=504 => Some(Reason::ConnectionError),
        other => Reason::ALL.iter().copied().find(|reason| reason.http() == other),
    }
}

impl Told {
    fn says_anything(&self) -> bool {
        self.code.is_some() || self.message.is_some() || self.reason.is_some()
    }
}

fn failure(reason: Reason, told: Told, otherwise: String) -> RunAgentError {
    let mut message = told.message.filter(|message| !message.is_empty()).unwrap_or(otherwise);
    if reason == Reason::ExecutionFailed {
        // The exception's own text, as gRPC tells it: what stands before it is for clients that know texts alone.
        let start = message.len() - raised(&message).len();
        message.drain(..start);
    } else if message == "Not Found" {
        // What a server says of a path that it does not have: the agent's id is the only part of ours that may be unknown.
        "Agent not found".clone_into(&mut message);
    }
    let violations = told.field.map(|field| Violation { field, description: message.clone() });
    let mut error = RunAgentError::new(reason, message).with_violations(violations.into_iter().collect());
    if reason == Reason::AuthenticationError {
        // A server's own advice is for those who write their HTTP requests themselves.
        error = error.with_suggestion("Give the client an api_key, or set RUNAGENT_API_KEY.");
    } else if let Some(suggestion) = told.suggestion {
        error = error.with_suggestion(suggestion);
    }
    match told.details {
        Some(details) => error.with_details(details),
        None => error,
    }
}

fn raised(message: &str) -> &str {
    if let Some(text) = message.strip_prefix(RAISED) {
        let by_published = text.strip_prefix(RAISED_BY_PUBLISHED).and_then(|text| text.split_once(": "));
        return match by_published {
            Some((id, text)) if !id.contains(char::is_whitespace) => text,
            _ => text,
        };
    }
    message.strip_prefix(RAISED_IN_STREAM).unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::address::Transport;
    use serde_json::json;

    fn failed(status: u16, document: &Json) -> RunAgentError {
        let address = Address {
            host: "h".into(),
            port: 1,
            tls: false,
            transport: Transport::Http,
            resumable: None,
            servers: None,
        };
        failure_of_response(&address, &Response { status, ..Response::default() }, Some(document))
    }

    #[test]
    fn a_named_reason_counts() {
        let document =
            json!({"error": {"code": "NOT_FOUND", "reason": "ENTRYPOINT_NOT_FOUND", "message": "No.", "field": "tag"}});
        let error = failed(404, &document);
        assert_eq!((error.reason(), error.message()), (Reason::EntrypointNotFound, "No."));
        assert_eq!(error.violations()[0].field, "tag");
    }

    #[test]
    fn published_servers_are_understood_by_their_texts_codes_and_statuses() {
        for (status, document, reason) in [
            (200, json!({"success": false, "error": "Agent execution failed: x"}), Reason::ExecutionFailed),
            (404, json!({"detail": "Entrypoint `t` not found"}), Reason::EntrypointNotFound),
            (422, json!({"detail": [{"loc": ["body", "a", 0], "msg": "no"}]}), Reason::ValidationError),
            (413, json!({}), Reason::PayloadTooLarge),
            (503, json!({}), Reason::ConnectionError),
            (404, json!({}), Reason::ConnectionError),
            (418, json!({}), Reason::ConnectionError),
        ] {
            assert_eq!(failed(status, &document).reason(), reason, "{status} {document}");
        }
    }

    #[test]
    fn what_was_raised_is_told_by_its_text_alone() {
        assert_eq!(raised("Agent execution failed: Server error running agent a-1: boom: x"), "boom: x");
        assert_eq!(raised("Agent execution failed: boom"), "boom");
        assert_eq!(raised("Streaming error: boom"), "boom");
    }
}
