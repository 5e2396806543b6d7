//! What can go wrong: one error, one table of reasons (docs/design.md, errors).

use std::fmt;
use std::time::Duration;

use tonic::Code;

/// Writes the enum of reasons and what each is called on every wire, as one table.
macro_rules! reasons {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal, $status:ident, $http:literal, $code:literal;)+) => {
        /// Why a call failed, in one word that programs can branch on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])+ $variant,)+
        }

        impl Reason {
            /// All of them, in the table's order.
            pub(crate) const ALL: &'static [Reason] = &[$(Reason::$variant,)+];

            /// Returns the reason's name on every wire, such as `ENTRYPOINT_NOT_FOUND`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Reason::$variant => $name,)+ }
            }

            /// Returns the documented code, such as `NOT_FOUND`: coarser than the reason.
            pub const fn code(self) -> &'static str {
                match self { $(Reason::$variant => $code,)+ }
            }

            pub(crate) const fn status(self) -> Code {
                match self { $(Reason::$variant => Code::$status,)+ }
            }

            pub(crate) const fn http(self) -> u16 {
                match self { $(Reason::$variant => $http,)+ }
            }
        }
    };
}

// The first row of a gRPC status also speaks for that status when it arrives bare, raised by gRPC itself or by a proxy.
reasons! {
    /// An argument or a field does not fit.
    ValidationError = "VALIDATION_ERROR", InvalidArgument, 422, "VALIDATION_ERROR";
    /// What came is no JSON, or no request.
    MalformedRequest = "MALFORMED_REQUEST", InvalidArgument, 400, "VALIDATION_ERROR";
    /// A tag that streams was called for one value.
    StreamEntrypoint = "STREAM_ENTRYPOINT", InvalidArgument, 400, "VALIDATION_ERROR";
    /// A tag that does not stream was called for a stream.
    NonStreamEntrypoint = "NON_STREAM_ENTRYPOINT", InvalidArgument, 400, "VALIDATION_ERROR";
    /// A resume from beyond the last chunk.
    InvalidCursor = "INVALID_CURSOR", InvalidArgument, 400, "VALIDATION_ERROR";
    /// The server, or this machine, does not serve the agent.
    AgentNotFound = "AGENT_NOT_FOUND", NotFound, 404, "NOT_FOUND";
    /// The agent has no such tag.
    EntrypointNotFound = "ENTRYPOINT_NOT_FOUND", NotFound, 404, "NOT_FOUND";
    /// The invocation is unknown, forgotten, or another key's.
    InvocationNotFound = "INVOCATION_NOT_FOUND", NotFound, 404, "NOT_FOUND";
    /// The server has nothing at the URL.
    RouteNotFound = "ROUTE_NOT_FOUND", NotFound, 404, "NOT_FOUND";
    /// No key, or one that the server does not know.
    AuthenticationError = "AUTHENTICATION_ERROR", Unauthenticated, 401, "AUTHENTICATION_ERROR";
    /// The key may not do this.
    PermissionError = "PERMISSION_ERROR", PermissionDenied, 403, "PERMISSION_ERROR";
    /// The request id belongs to another call.
    RequestIdReused = "REQUEST_ID_REUSED", AlreadyExists, 409, "REQUEST_ID_REUSED";
    /// The chunks to resume from, or the result of a repeated request, are no longer kept.
    ReplayExpired = "REPLAY_EXPIRED", OutOfRange, 410, "REPLAY_EXPIRED";
    /// A message, a result or a chunk is over its limit.
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", ResourceExhausted, 413, "PAYLOAD_TOO_LARGE";
    /// As many invocations run as may, and as many wait.
    Overloaded = "OVERLOADED", ResourceExhausted, 429, "OVERLOADED";
    /// The key makes too many calls a second.
    RateLimited = "RATE_LIMITED", ResourceExhausted, 429, "RATE_LIMITED";
    /// By this client alone: nothing of ours answers at the address.
    ConnectionError = "CONNECTION_ERROR", Unavailable, 503, "CONNECTION_ERROR";
    /// By this client alone: a stream was cut, or fell silent.
    StreamInterrupted = "STREAM_INTERRUPTED", Unavailable, 503, "CONNECTION_ERROR";
    /// The server is draining.
    ShuttingDown = "SHUTTING_DOWN", Unavailable, 503, "SHUTTING_DOWN";
    /// The process that ran the invocation died, or was shut down before it ended.
    InvocationLost = "INVOCATION_LOST", Aborted, 500, "INVOCATION_LOST";
    /// Another reader took the stream over.
    ReaderReplaced = "READER_REPLACED", Aborted, 500, "READER_REPLACED";
    /// The time is up.
    Timeout = "TIMEOUT", DeadlineExceeded, 200, "TIMEOUT_ERROR";
    /// Somebody cancelled it, or its caller left.
    Cancelled = "CANCELLED", Cancelled, 499, "CANCELLED";
    /// The server's own fault, or this client's.
    InternalError = "INTERNAL_ERROR", Internal, 500, "INTERNAL_ERROR";
    /// The entrypoint raised.
    ExecutionFailed = "EXECUTION_FAILED", Unknown, 200, "INTERNAL_ERROR";
}

impl Reason {
    pub(crate) fn named(name: &str) -> Option<Reason> {
        Reason::ALL.iter().copied().find(|reason| reason.as_str() == name)
    }

    /// Returns what a bare status means; a bare UNKNOWN, and one that the table lacks, is an internal error.
    pub(crate) fn of_status(status: Code) -> Reason {
        let known = Reason::ALL.iter().copied().find(|reason| reason.status() == status);
        known.filter(|reason| *reason != Reason::ExecutionFailed).unwrap_or(Reason::InternalError)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One argument or field that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its name.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

/// Why a call failed.
///
/// ```no_run
/// # async fn call(client: runagent::RunAgentClient) {
/// use runagent::Reason;
///
/// match client.run(&[]).await {
///     Ok(value) => println!("{value}"),
///     Err(error) if error.reason() == Reason::Overloaded => println!("Come back in {:?}.", error.retry_after()),
///     Err(error) => eprintln!("{error}"),
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RunAgentError(Box<Facts>);

#[derive(Clone, Debug)]
struct Facts {
    reason: Reason,
    message: String,
    suggestion: Option<String>,
    details: Option<String>,
    violations: Vec<Violation>,
    retry_after: Option<Duration>,
    invocation_id: Option<String>,
}

impl RunAgentError {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self(Box::new(Facts {
            reason,
            message: message.into(),
            suggestion: None,
            details: None,
            violations: Vec::new(),
            retry_after: None,
            invocation_id: None,
        }))
    }

    /// The error of one field or option that cannot be.
    pub(crate) fn of_field(field: &str, description: impl Into<String>) -> Self {
        let description = description.into();
        let message = format!("`{field}`: {description}");
        Self::new(Reason::ValidationError, message)
            .with_violations(vec![Violation { field: field.to_owned(), description }])
    }

    /// The error of one argument of a call.
    pub(crate) fn of_argument(name: &str, description: &str) -> Self {
        let violation = Violation { field: name.to_owned(), description: description.to_owned() };
        Self::new(Reason::ValidationError, format!("Argument `{name}`: {description}")).with_violations(vec![violation])
    }

    pub(crate) fn with_suggestion(mut self, suggestion: impl Into<String>) -> Self {
        self.0.suggestion = Some(suggestion.into());
        self
    }

    pub(crate) fn with_details(mut self, details: impl Into<String>) -> Self {
        self.0.details = Some(details.into());
        self
    }

    pub(crate) fn with_violations(mut self, violations: Vec<Violation>) -> Self {
        self.0.violations = violations;
        self
    }

    pub(crate) fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.0.retry_after = retry_after;
        self
    }

    /// Names the invocation, unless the error does already.
    pub(crate) fn of_invocation(mut self, invocation_id: Option<&str>) -> Self {
        if self.0.invocation_id.is_none() {
            self.0.invocation_id = invocation_id.map(str::to_owned);
        }
        self
    }

    pub(crate) fn append(&mut self, sentence: &str) {
        self.0.message.push(' ');
        self.0.message.push_str(sentence);
    }

    /// Why, for a program.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// The documented code, such as `NOT_FOUND`: coarser than the reason.
    pub fn code(&self) -> &'static str {
        self.0.reason.code()
    }

    /// Why, for a person.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do about it, where there is something to do.
    pub fn suggestion(&self) -> Option<&str> {
        self.0.suggestion.as_deref()
    }

    /// More about it, such as what the transport said.
    pub fn details(&self) -> Option<&str> {
        self.0.details.as_deref()
    }

    /// The arguments and fields that do not fit, where that is the trouble.
    pub fn violations(&self) -> &[Violation] {
        &self.0.violations
    }

    /// After how long a repeated call may fare better.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The invocation that failed, where one had started.
    pub fn invocation_id(&self) -> Option<&str> {
        self.0.invocation_id.as_deref()
    }
}

impl fmt::Display for RunAgentError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.message)?;
        match &self.0.suggestion {
            Some(suggestion) => write!(formatter, " {suggestion}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for RunAgentError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_documented_one() {
        let page = include_str!("../../../docs/design.md");
        let section = page.split("\n## Errors\n").nth(1).expect("the page has a section on errors");
        let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
        let documented: Vec<Vec<String>> = rows
            .take_while(|line| line.starts_with('|'))
            .map(|line| line.split('|').skip(1).take(4).map(|cell| cell.trim().to_owned()).collect())
            .collect();
        let ours: Vec<Vec<String>> = Reason::ALL
            .iter()
            .map(|reason| {
                let status = format!("{:?}", reason.status());
                let words = status.char_indices().flat_map(|(place, letter)| {
                    let gap = (place > 0 && letter.is_uppercase()).then_some('_');
                    gap.into_iter().chain([letter.to_ascii_uppercase()])
                });
                let http = reason.http().to_string();
                vec![reason.to_string(), words.collect(), http, reason.code().to_owned()]
            })
            .collect();
        assert_eq!(ours, documented);
    }

    #[test]
    fn a_bare_status_means_the_first_row_of_its_code() {
        assert_eq!(Reason::of_status(Code::NotFound), Reason::AgentNotFound);
        assert_eq!(Reason::of_status(Code::ResourceExhausted), Reason::PayloadTooLarge);
        assert_eq!(Reason::of_status(Code::Unknown), Reason::InternalError);
        assert_eq!(Reason::of_status(Code::DataLoss), Reason::InternalError);
    }

    #[test]
    fn an_error_says_what_to_do_next() {
        let error = RunAgentError::new(Reason::ConnectionError, "Nobody is there.").with_suggestion("Knock again.");
        assert_eq!(error.to_string(), "Nobody is there. Knock again.");
        assert_eq!(error.code(), "CONNECTION_ERROR");
    }
}
