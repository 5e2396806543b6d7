"""How a route describes itself, and how that reads as an operation of OpenAPI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from runagent_grpc.bridge.schemas import Schema, reference

__all__ = [
    "CANCELLED_KEY",
    "IDEMPOTENCY_KEY",
    "INVOCATION_ID",
    "LAST_EVENT_ID",
    "REFUSALS_OF_A_CALL",
    "Operation",
    "content",
    "json_answer",
    "query",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What callers are told of a route. Its address and its method are the route's."""

    summary: str
    """One sentence, or several, of which the first is the title."""
    answers: Mapping[str, Schema]
    """By status."""
    refusals: Sequence[str] = ()
    """The statuses of errors, besides those that any request may get."""
    parameters: Sequence[Schema] = field(default_factory=tuple)
    """Those that are not in the path."""
    body: str = ""
    """The schema of the request's body."""
    first_frame: str = ""
    """The schema of the first frame of the WebSocket that is at this address."""

    def document(self) -> Schema:
        """Returns the operation as it stands in an OpenAPI document."""
        refusals = {status: _REFUSAL[status] for status in (*_REFUSALS_OF_ALL, *self.refusals)}
        operation: Schema = {
            "summary": self.summary.partition(". ")[0].rstrip("."),
            "description": self.summary,
            "responses": {**self.answers, **refusals},
        }
        if self.parameters:
            operation["parameters"] = list(self.parameters)
        if self.body:
            schema = reference(self.body)
            operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
        return operation


def json_answer(name: str, *, headers: Schema | None = None) -> Schema:
    """Returns an answer of JSON, with the name of its schema."""
    answer: Schema = {"description": name, "content": {"application/json": {"schema": reference(name)}}}
    return {**answer, "headers": headers} if headers else answer


def content(description: str, media_type: str, schema: Schema | None = None) -> Schema:
    """Returns an answer of another media type, or of JSON that no component describes."""
    return {"description": description, "content": {media_type: {"schema": schema} if schema else {}}}


def query(name: str, schema: Schema) -> Schema:
    """Returns a parameter of the query string."""
    return {"name": name, "in": "query", "schema": schema}


INVOCATION_ID: Schema = {
    "x-invocation-id": {"description": "The invocation's id, where one began.", "schema": {"type": "string"}}
}
"""The header of an answer to a call."""

CANCELLED_KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "The call's own.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
}

IDEMPOTENCY_KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The call's own id.",
    "schema": {"type": "string"},
}

LAST_EVENT_ID: Schema = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The id of the last event that was seen.",
    "schema": {"type": "string"},
}

REFUSALS_OF_A_CALL = ("400", "404", "409", "413", "422", "429", "499", "500", "503")

_REFUSALS_OF_ALL = ("401", "403", "405")

_REFUSAL: dict[str, Schema] = {
    status: {"description": description, "content": {"application/json": {"schema": reference("Failure")}}}
    for status, description in {
        "400": "What came is no JSON, or the entrypoint streams.",
        "401": "No key, or one that the server does not know.",
        "403": "A host or an origin that may not call, or a key that may not do this.",
        "404": "No such agent, entrypoint or invocation.",
        "405": "Another method is meant.",
        "409": "The Idempotency-Key belongs to another call.",
        "410": "The chunks that would come next are no longer kept.",
        "413": "The body, or the result, is too large.",
        "422": "A field or an argument does not fit; it is named.",
        "426": "A WebSocket is meant.",
        "429": "Too many invocations run; try again later.",
        "499": "The invocation was cancelled.",
        "500": "Our own fault.",
        "503": "The server is shutting down.",
    }.items()
}
