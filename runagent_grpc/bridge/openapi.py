"""Describes every route as OpenAPI 3.1, with the input of each entrypoint from its function's signature."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from runagent_grpc.bridge.schemas import ANY_TEXT, FIXED_SCHEMAS, Schema, reference
from runagent_grpc.version import __version__
from runagent_grpc.worker import Agent, Entrypoint

__all__ = ["openapi_document"]

_P = "/api/v1"
_AGENT = f"{_P}/agents/{{agent_id}}"
_HEALTH = f"{_P}/health"


def openapi_document(agent: Agent, *, asks_for_key: bool) -> Schema:
    """Returns the description of a server of this agent, which asks for keys or does not."""
    plain = [entrypoint for entrypoint in agent.entrypoints.values() if not entrypoint.streaming]
    streaming = [entrypoint for entrypoint in agent.entrypoints.values() if entrypoint.streaming]
    document: Schema = {
        "openapi": "3.1.0",
        "info": {
            "title": agent.agent_name,
            "version": agent.version or __version__,
            "description": agent.description or "An agent served by runagent-grpc.",
        },
        "paths": _paths(agent, plain, streaming),
        "components": {
            "schemas": {
                **FIXED_SCHEMAS,
                "RunRequest": _request_of(plain),
                "RunStreamRequest": _request_of(streaming),
                **{_name_of(entrypoint): _input_of(entrypoint) for entrypoint in agent.entrypoints.values()},
            },
        },
    }
    if asks_for_key:
        document["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "token": {"type": "apiKey", "in": "query", "name": "token"},
        }
        document["security"] = [{"bearer": []}, {"token": []}]
        for path in ("/health", _HEALTH):
            document["paths"][path]["get"]["security"] = []
    return document


def _paths(agent: Agent, plain: list[Entrypoint], streaming: list[Entrypoint]) -> Schema:
    agent_id = _path_parameter("agent_id", "The agent's id; `_`, `default` and `None` mean the only agent.")
    agent_id["schema"]["enum"] = [agent.agent_id, "_", "default", "None"]
    about = {"get": _operation("Describes the server, and says where gRPC is.", {"200": _json("AgentInfo")})}
    health = {"get": _operation("Says that the server lives.", {"200": _json("Health")}, refusals=())}
    return {
        "/": about,
        _P: about,
        "/health": health,
        _HEALTH: health,
        f"{_AGENT}/architecture": {
            "parameters": [agent_id],
            "get": _operation("Describes the entrypoints.", {"200": _json("Architecture")}, refusals=("404",)),
        },
        f"{_AGENT}/run": {
            "parameters": [agent_id],
            "post": {
                **_operation(
                    "Runs an entrypoint for its one value.",
                    {"200": _json("RunResponse", headers=_INVOCATION_ID)},
                    refusals=_REFUSALS_OF_A_CALL,
                    parameters=[_IDEMPOTENCY_KEY],
                ),
                "requestBody": _body("RunRequest"),
            },
        },
        f"{_AGENT}/run-stream": {
            "parameters": [agent_id],
            "get": {
                **_operation(
                    "Runs an entrypoint for its chunks, over a WebSocket. The first text frame is a RunStreamRequest; "
                    "the answer is a status frame, a data frame for each chunk, and a last status or error frame.",
                    {"101": {"description": "The WebSocket is open."}},
                    refusals=("426",),
                ),
                "x-websocket": {
                    "request": reference("RunStreamRequest"),
                    "entrypoints": [entrypoint.tag for entrypoint in streaming],
                },
            },
        },
        f"{_AGENT}/invocations": {
            "parameters": [agent_id],
            "get": _operation(
                "Lists the latest invocations, the newest first.",
                {"200": _json("Invocations")},
                refusals=("404", "422"),
                parameters=[
                    _query("limit", {"type": "integer", "minimum": 1, "maximum": 999999999, "default": 50}),
                    _query("status", {"enum": ["pending", "completed", "failed"]}),
                ],
            ),
        },
        f"{_AGENT}/invocations/stats": {
            "parameters": [agent_id],
            "get": _operation("Counts the invocations.", {"200": _json("InvocationStatistics")}, refusals=("404",)),
        },
        f"{_P}/invocations/{{invocation_id}}": {
            "parameters": [_INVOCATION_ID_IN_PATH],
            "get": _operation("Describes one invocation.", {"200": _json("Invocation")}, refusals=("404",)),
        },
        f"{_P}/invocations/{{invocation_id}}/cancel": {
            "parameters": [_INVOCATION_ID_IN_PATH],
            "post": _operation(
                "Cancels an invocation. One that has ended stays as it ended.",
                {"200": _json("Cancelled")},
                refusals=("404",),
            ),
        },
        f"{_P}/invocations/cancel": {
            "post": _operation(
                "Cancels what a call with this Idempotency-Key has started.",
                {"200": _json("Cancelled")},
                refusals=("404", "422"),
                parameters=[_CANCELLED_KEY],
            ),
        },
        f"{_P}/invocations/{{invocation_id}}/stream": {
            "parameters": [_INVOCATION_ID_IN_PATH],
            "get": _operation(
                "Takes up a stream, as server-sent events. Each chunk is an event; the last event is named completed "
                "or error.",
                {
                    "200": {"description": "The events.", "content": {"text/event-stream": {}}},
                    "204": {"description": "The client has seen the last event."},
                },
                refusals=("400", "404", "410", "500", "503"),
                parameters=[
                    _query("after", {"type": "integer", "minimum": 0, "maximum": 10**18 - 1, "default": 0}),
                    _LAST_EVENT_ID,
                ],
            ),
        },
        f"{_AGENT}/execute/{{tag}}": {
            "parameters": [agent_id, _tag_parameter(plain)],
            "post": {
                **_operation(
                    "Runs an entrypoint for its one value, in the dialect of older clients.",
                    {"200": _json("ExecuteResponse", headers=_INVOCATION_ID)},
                    refusals=_REFUSALS_OF_A_CALL,
                ),
                "requestBody": _body("ExecuteRequest"),
            },
        },
        "/docs": {
            "get": _operation(
                "Shows this description as a page.",
                {"200": {"description": "The page.", "content": {"text/html": {}}}},
            )
        },
        "/openapi.json": {
            "get": _operation(
                "Returns this description.",
                {"200": {"description": "It.", "content": {"application/json": {"schema": {"type": "object"}}}}},
            )
        },
    }


def _request_of(entrypoints: Iterable[Entrypoint]) -> Schema:
    """Returns the schema of a request, one variant an entrypoint."""
    variants = [
        {
            "title": entrypoint.tag,
            "type": "object",
            "description": entrypoint.description or entrypoint.tag,
            "properties": {
                "entrypoint_tag": {"const": entrypoint.tag},
                "input_kwargs": {"anyOf": [reference(_name_of(entrypoint)), {"type": "null"}]},
                **_CALL_FIELDS,
            },
            "required": ["entrypoint_tag"],
        }
        for entrypoint in entrypoints
    ]
    return {"oneOf": variants} if variants else {"type": "object"}


def _input_of(entrypoint: Entrypoint) -> Schema:
    """Returns the schema of an entrypoint's keyword arguments, its references made good for where it stands here."""
    name = _name_of(entrypoint)
    schema: Schema = _moved(entrypoint.signature.json_schema, f"#/components/schemas/{name}/$defs/")
    return {keyword: value for keyword, value in schema.items() if keyword != "$schema"}


def _moved(schema: Any, place: str) -> Any:
    if isinstance(schema, list):
        return [_moved(item, place) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        keyword: place + value.removeprefix("#/$defs/")
        if keyword == "$ref" and isinstance(value, str)
        else _moved(value, place)
        for keyword, value in schema.items()
    }


def _name_of(entrypoint: Entrypoint) -> str:
    # What OpenAPI allows in a component's name. Two tags that differ in other characters alone are kept apart.
    plain = re.sub(r"[^A-Za-z0-9._-]", lambda match: f"-{ord(match[0]):x}-", entrypoint.tag)
    return f"input.{plain}"


def _tag_parameter(plain: list[Entrypoint]) -> Schema:
    parameter = _path_parameter("tag", "The entrypoint's tag.")
    if plain:
        parameter["schema"]["enum"] = [entrypoint.tag for entrypoint in plain]
    return parameter


def _path_parameter(name: str, description: str) -> Schema:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string", "minLength": 1},
    }


def _query(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "schema": schema}


def _body(name: str) -> Schema:
    return {"required": True, "content": {"application/json": {"schema": reference(name)}}}


def _json(name: str, *, headers: Schema | None = None) -> Schema:
    answer: Schema = {"description": name, "content": {"application/json": {"schema": reference(name)}}}
    return {**answer, "headers": headers} if headers else answer


def _operation(
    summary: str, answers: Schema, *, refusals: Iterable[str] = (), parameters: list[Schema] | None = None
) -> Schema:
    operation: Schema = {
        "summary": summary.partition(". ")[0].rstrip("."),
        "description": summary,
        "responses": {**answers, **{status: _REFUSAL[status] for status in (*_REFUSALS_OF_ALL, *refusals)}},
    }
    if parameters:
        operation["parameters"] = parameters
    return operation


_INVOCATION_ID: Schema = {
    "x-invocation-id": {"description": "The invocation's id, where one began.", "schema": {"type": "string"}}
}

_CANCELLED_KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "The call's own.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
}

_IDEMPOTENCY_KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The call's own id.",
    "schema": {"type": "string"},
}

_LAST_EVENT_ID: Schema = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The id of the last event that was seen.",
    "schema": {"type": "string"},
}

_INVOCATION_ID_IN_PATH: Schema = _path_parameter("invocation_id", "The invocation's id.")

_REFUSALS_OF_ALL = ("401", "403", "405")
_REFUSALS_OF_A_CALL = ("400", "404", "409", "413", "422", "429", "499", "500", "503")

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

_CALL_FIELDS: Schema = {
    "input_args": {"type": ["array", "null"], "description": "Arguments by position."},
    "timeout_seconds": {
        "type": ["number", "null"],
        "exclusiveMinimum": 0,
        "description": "How long the entrypoint may run.",
    },
    "request_id": {**ANY_TEXT, "description": "The call's own id, where no Idempotency-Key says it."},
    "user_id": {**ANY_TEXT, "description": "The end user whom the call is made for."},
    "persistent_memory": {"type": ["boolean", "null"]},
    "on_disconnect": {"enum": ["cancel", "linger", "detach", None]},
    "resume_window": {"type": ["number", "null"], "exclusiveMinimum": 0},
    "async_execution": {"type": ["boolean", "null"], "description": "Read and not used."},
}
