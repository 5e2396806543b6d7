"""Describes the routes as OpenAPI 3.1, with the input of each entrypoint from its function's signature."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from runagent_grpc.bridge.operation import Operation
from runagent_grpc.bridge.schemas import ANY_TEXT, FIXED_SCHEMAS, Schema, reference
from runagent_grpc.core.manifest import AgentManifest, EntrypointManifest
from runagent_grpc.version import __version__

__all__ = ["DescribedRoute", "openapi_document"]


class DescribedRoute(Protocol):
    """What a document needs to know of a route."""

    @property
    def path(self) -> str: ...

    @property
    def method(self) -> str: ...

    @property
    def asks_for_key(self) -> bool: ...

    @property
    def operation(self) -> Operation: ...


def openapi_document(agent: AgentManifest, routes: Iterable[DescribedRoute], *, asks_for_key: bool) -> Schema:
    """Returns the description of a server of this agent with these routes, which asks for keys or does not."""
    plain = [entrypoint for entrypoint in agent.entrypoints.values() if not entrypoint.streaming]
    streaming = [entrypoint for entrypoint in agent.entrypoints.values() if entrypoint.streaming]
    document: Schema = {
        "openapi": "3.1.0",
        "info": {
            "title": agent.agent_name,
            "version": agent.version or __version__,
            "description": agent.description or "An agent served by runagent-grpc.",
        },
        "paths": _paths(agent, routes, asks_for_key=asks_for_key),
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
    return document


def _paths(agent: AgentManifest, routes: Iterable[DescribedRoute], *, asks_for_key: bool) -> Schema:
    paths: Schema = {}
    for route in routes:
        path = route.path.replace(":path}", "}")
        item = paths.setdefault(path, {})
        if parameters := [_path_parameter(name, agent) for name in re.findall(r"{(\w+)}", path)]:
            item["parameters"] = parameters
        operation = item[route.method.lower()] = route.operation.document()
        if route.operation.first_frame:
            operation["x-websocket"] = {
                "request": reference(route.operation.first_frame),
                "entrypoints": [entrypoint.tag for entrypoint in agent.entrypoints.values() if entrypoint.streaming],
            }
        if asks_for_key and not route.asks_for_key:
            operation["security"] = []
    return paths


def _request_of(entrypoints: Iterable[EntrypointManifest]) -> Schema:
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


def _input_of(entrypoint: EntrypointManifest) -> Schema:
    """Returns the schema of an entrypoint's keyword arguments, its references made good for where it stands here."""
    name = _name_of(entrypoint)
    schema: Schema = _moved(entrypoint.input_schema, f"#/components/schemas/{name}/$defs/")
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


def _name_of(entrypoint: EntrypointManifest) -> str:
    # What OpenAPI allows in a component's name. Two tags that differ in other characters alone are kept apart.
    plain = re.sub(r"[^A-Za-z0-9._-]", lambda match: f"-{ord(match[0]):x}-", entrypoint.tag)
    return f"input.{plain}"


def _path_parameter(name: str, agent: AgentManifest) -> Schema:
    schema: Schema = {"type": "string", "minLength": 1}
    plain = [entrypoint.tag for entrypoint in agent.entrypoints.values() if not entrypoint.streaming]
    if name == "agent_id":
        schema["enum"] = [agent.agent_id, "_", "default", "None"]
    elif name == "tag" and plain:
        schema["enum"] = plain
    return {"name": name, "in": "path", "required": True, "description": _PATH_PARAMETERS[name], "schema": schema}


_PATH_PARAMETERS: Mapping[str, str] = {
    "agent_id": "The agent's id; `_`, `default` and `None` mean the only agent.",
    "tag": "The entrypoint's tag.",
    "invocation_id": "The invocation's id.",
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
