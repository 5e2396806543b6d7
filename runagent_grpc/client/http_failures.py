"""What a failed request, or a stream's error frame, means to the caller (docs/wire.md, errors).

Our servers name the reason. Published ones tell a code and a text, some the text alone: what those mean is a table of
the documented texts, and the one table of all reasons (docs/design.md, errors).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from runagent_grpc.errors import TABLE, Reason, RunAgentError, UnavailableError, Violation, error_of

__all__ = ["failure_of_frame", "failure_of_response", "not_ours", "not_over_http"]

# The first that matches the beginning of a text tells its reason, where the code agrees.
_TEXTS: tuple[tuple[Reason, re.Pattern[str]], ...] = (
    (Reason.EXECUTION_FAILED, re.compile(r"Agent execution failed: (Server error running agent \S+: )?")),
    (Reason.EXECUTION_FAILED, re.compile(r"Streaming error: ")),
    (Reason.AGENT_NOT_FOUND, re.compile(r"Agent (.+ )?not found")),
    (Reason.ENTRYPOINT_NOT_FOUND, re.compile(r"Entrypoint .+ not found")),
    (Reason.INVOCATION_NOT_FOUND, re.compile(r"Invocation (.+ )?not found")),
    (Reason.STREAM_ENTRYPOINT, re.compile(r"Can't use Streaming Entrypoint ")),
    (Reason.NON_STREAM_ENTRYPOINT, re.compile(r"Entrypoint .+ is not a streaming entrypoint")),
    (Reason.MALFORMED_REQUEST, re.compile(r"Invalid JSON format: ")),
    (Reason.VALIDATION_ERROR, re.compile(r"Missing required field: ")),
)

# What a server says of a path that it does not have: the agent's id is the only part of ours that may be unknown.
_PHRASES = {"Not Found": "Agent not found"}

# A server's own advice is for those who write their HTTP requests themselves.
_SUGGESTIONS = {Reason.AUTHENTICATION_ERROR: "Pass api_key=..., --api-key, or set RUNAGENT_API_KEY."}

# Of the statuses that several reasons share, or that none has, as a proxy may send them with nothing of ours inside.
_STATUSES = {
    400: Reason.MALFORMED_REQUEST,
    404: Reason.AGENT_NOT_FOUND,
    429: Reason.OVERLOADED,
    500: Reason.INTERNAL_ERROR,
    502: Reason.CONNECTION_ERROR,
    503: Reason.CONNECTION_ERROR,
    504: Reason.CONNECTION_ERROR,
}


def failure_of_response(
    address: str, status: int, headers: Mapping[str, str], document: Mapping[str, Any] | None
) -> RunAgentError:
    """Returns the error that a response means. `document` is its body, where that is a JSON object."""
    told = _told(document or {})
    reason = _reason(told, status)
    if reason is None:
        return not_ours(address, f"HTTP status {status}")
    failure = _failure(reason, told, f"The server refused the call (HTTP status {status}).")
    return failure.replace(
        retry_after=_seconds(headers.get("retry-after")), invocation_id=headers.get("x-invocation-id")
    )


def failure_of_frame(message: Mapping[str, Any]) -> RunAgentError:
    """Returns the error that an error frame means."""
    data = message.get("data")
    told = _told(message) | (_told({"error": data}) if isinstance(data, dict) else {})
    return _failure(_reason(told, None) or Reason.EXECUTION_FAILED, told, "The stream failed.")


def not_ours(address: str, details: str) -> RunAgentError:
    """Returns what it means that an answer is nothing that a RunAgent server says."""
    return UnavailableError(
        f"What answers at {address} is not a RunAgent server.",
        suggestion="Check the address; `runagent serve` prints it.",
        details=details,
    )


def not_over_http(address: str, what: str) -> RunAgentError:
    """Returns what it means that a client is to do `what` on a server that it can only speak HTTP to."""
    return UnavailableError(
        f"The server at {address} is spoken to over REST and WebSocket, which cannot {what}.",
        suggestion="Name the server's gRPC port.",
    )


def _told(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a failure's document tells, under the names of `error` in it."""
    error = document.get("error")
    if isinstance(error, dict):
        return {name: value for name, value in error.items() if value is not None}
    told = {name: document[name] for name in _FIELDS if document.get(name) is not None}
    for text in (error, document.get("detail"), document.get("message")):
        if isinstance(text, str) and text:
            return told | {"message": text}
        if isinstance(text, list):
            return told | _told_by_fastapi(text)
    return told


_FIELDS = ("code", "reason", "suggestion", "details", "field")


def _told_by_fastapi(problems: list[Any]) -> dict[str, Any]:
    """Returns what the framework of published servers tells of a body that does not fit."""
    places = [
        (".".join(map(str, problem.get("loc", ())[1:])), str(problem.get("msg", "")))
        for problem in problems
        if isinstance(problem, dict) and isinstance(problem.get("loc", ()), list | tuple)
    ]
    text = " ".join(f"`{place}`: {what}." for place, what in places)
    return {"message": text, "code": "VALIDATION_ERROR", **({"field": places[0][0]} if places else {})}


def _reason(told: Mapping[str, Any], status: int | None) -> Reason | None:
    """Returns the reason that was named, or that a documented text, a code or a status stands for."""
    named, code, text = told.get("reason"), told.get("code"), told.get("message")
    if isinstance(named, str) and named in Reason.__members__:
        return Reason(named)
    if isinstance(text, str):
        for reason, pattern in _TEXTS:
            if pattern.match(text) and code in (None, TABLE[reason].code):
                return reason
    rows = [(reason, row) for reason, row in TABLE.items() if row.code == code]
    for reason, row in rows:
        if row.http == status:
            return reason
    if rows:
        return rows[0][0]
    if status == 200:
        return Reason.EXECUTION_FAILED if told else None
    if status is None or (status in (400, 404, 500) and not told):
        return None
    return _STATUSES.get(status) or next((reason for reason, row in TABLE.items() if row.http == status), None)


def _failure(reason: Reason, told: Mapping[str, Any], otherwise: str) -> RunAgentError:
    message = told.get("message")
    message = message if isinstance(message, str) and message else otherwise
    if reason is Reason.EXECUTION_FAILED:
        # The exception's own text, as gRPC tells it: what stands before it is for clients that know texts alone.
        prefixes = (prefix.match(message) for owner, prefix in _TEXTS if owner is reason)
        message = next((message[prefix.end() :] for prefix in prefixes if prefix), message)
    message = _PHRASES.get(message, message)
    field = told.get("field")
    violations = (Violation(field=field, description=message),) if isinstance(field, str) else ()
    suggestion, details = _SUGGESTIONS.get(reason, told.get("suggestion")), told.get("details")
    return error_of(
        reason,
        message,
        suggestion=suggestion if isinstance(suggestion, str) else None,
        details=details if isinstance(details, str) else None,
        violations=violations,
    )


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() else None
