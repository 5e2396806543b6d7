"""What callers send over HTTP, read into the engine's own call (docs/wire.md, REST and WebSocket).

The first mistake is the one that is told: the agent, then the JSON, the tag, its mode, and the arguments.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from runagent_grpc.core.call import Call, OnDisconnect
from runagent_grpc.core.manifest import AgentManifest
from runagent_grpc.core.principal import Principal
from runagent_grpc.engine import Engine
from runagent_grpc.errors import InvalidRequestError
from runagent_grpc.values.payload import Payload, encode, parse_json

__all__ = [
    "Caller",
    "ResumePoint",
    "legacy_call",
    "read_call",
    "read_object",
    "resume_point",
    "run_call",
    "served_agent",
    "wire_of",
]

T = TypeVar("T")

_ALIASES = frozenset({"None", "default", "_"})
"""What clients call the only agent of a server by when they know no id."""

_QUICKLY_READ_BYTES = 64 * 1024
"""How large a request may be to be read on the event loop: less than a millisecond's work."""

_LONGEST_TIME = 10**9
_LARGEST_SEQUENCE = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """What is known of a call besides its body."""

    transport: str
    principal: Principal
    request_id: str = ""
    """The caller's Idempotency-Key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumePoint:
    """Which stream a client wants to go on reading, and behind which chunk."""

    invocation_id: str
    after_sequence: int


def served_agent(engine: Engine, agent_id: str) -> AgentManifest:
    """Returns the agent that a path names. Raises NotFoundError for another one."""
    return engine.agents.find("" if agent_id in _ALIASES else agent_id).manifest


def read_object(text: str | bytes) -> dict[str, Any]:
    """Parses a request. Raises InvalidRequestError for what is no JSON, or no object."""
    try:
        value = parse_json(text)
    except InvalidRequestError as error:
        message = error.message.removeprefix("Invalid JSON: ")
        raise InvalidRequestError(f"Invalid JSON format: {message}", reason=error.reason) from None
    if not isinstance(value, dict):
        raise InvalidRequestError(f"Invalid JSON format: expected an object, got {_kind(value)}.")
    return value


async def read_call(body: bytes, make: Callable[[dict[str, Any]], Call]) -> Call:
    """Returns the call that `make` makes of a request, off the event loop where that may take long. Raises what
    `read_object` and `make` raise."""
    if len(body) > _QUICKLY_READ_BYTES:
        return await asyncio.to_thread(lambda: make(read_object(body)))
    return make(read_object(body))


def run_call(engine: Engine, request: Mapping[str, Any], caller: Caller, *, streaming: bool) -> Call:
    """Returns the call that a request asks for. Raises NotFoundError and InvalidRequestError, naming the field."""
    if request.get("entrypoint_tag") is None:
        raise _missing("entrypoint_tag")
    tag = _read(request, "entrypoint_tag", str, "")
    engine.agents.entrypoint("", tag, streaming=streaming)
    return Call(
        entrypoint_tag=tag,
        args=_payloads(_read(request, "input_args", list, [])),
        kwargs=_payloads_by_name(_read(request, "input_kwargs", dict, {})),
        # A page cannot set a WebSocket's headers, so that the request may say it, too.
        request_id=caller.request_id or _read(request, "request_id", str, ""),
        user_id=_read(request, "user_id", str, ""),
        persistent_memory=_read(request, "persistent_memory", bool, False),
        on_disconnect=_on_disconnect(request),
        resume_window=_seconds(request, "resume_window"),
        run_timeout=_seconds(request, "timeout_seconds"),
        transport=caller.transport,
        principal=caller.principal,
    )


def legacy_call(engine: Engine, tag: str, request: Mapping[str, Any], caller: Caller, *, streaming: bool) -> Call:
    """Returns the call that a request of the legacy dialect asks for. Raises as `run_call` does."""
    engine.agents.entrypoint("", tag, streaming=streaming)
    given = _read(request, "input_data", dict, {})
    return Call(
        entrypoint_tag=tag,
        args=_payloads(_read(given, "input_args", list, [])),
        kwargs=_payloads_by_name(_read(given, "input_kwargs", dict, {})),
        request_id=caller.request_id,
        transport=caller.transport,
        principal=caller.principal,
    )


def resume_point(request: Mapping[str, Any]) -> ResumePoint | None:
    """Returns where a client wants to go on, or None for a call. Raises InvalidRequestError, naming the field."""
    if request.get("resume") is None:
        return None
    resume = _read(request, "resume", dict, {})
    if resume.get("invocation_id") is None:
        raise _missing("resume.invocation_id")
    after = resume.get("after_sequence", 0)
    if type(after) is not int or not 0 <= after <= _LARGEST_SEQUENCE:
        raise InvalidRequestError.of_field("resume.after_sequence", "expected an integer that is not negative.")
    return ResumePoint(invocation_id=_read(resume, "invocation_id", str, ""), after_sequence=after)


def wire_of(request: Mapping[str, Any]) -> int:
    """Returns which wire the client of a first frame knows; 1 where it does not say, as published clients do not.

    Raises InvalidRequestError for a field that is no number.
    """
    wire = request.get("wire")
    if wire is None:
        return 1
    if type(wire) is not int or wire < 1:
        raise InvalidRequestError.of_field("wire", "expected a whole number above 0.")
    return wire


def _read(request: Mapping[str, Any], field: str, kind: type[T], default: T) -> T:
    """Returns a field of one kind. Null counts as left out."""
    value = request.get(field)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise InvalidRequestError.of_field(field, f"expected {_KINDS[kind]}, got {_kind(value)}.")
    return value


def _payloads(values: Sequence[Any]) -> list[Payload]:
    return [encode(value) for value in values]


def _payloads_by_name(values: Mapping[str, Any]) -> dict[str, Payload]:
    return {name: encode(value) for name, value in values.items()}


def _seconds(request: Mapping[str, Any], field: str) -> float | None:
    value = request.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise InvalidRequestError.of_field(field, "expected a number of seconds above 0.")
    return float(min(value, _LONGEST_TIME))


def _on_disconnect(request: Mapping[str, Any]) -> OnDisconnect:
    name = _read(request, "on_disconnect", str, "cancel")
    try:
        return OnDisconnect[name.upper()]
    except KeyError:
        raise InvalidRequestError.of_field("on_disconnect", "expected cancel, linger or detach.") from None


_KINDS: dict[type, str] = {
    str: "a string",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "an array",
    dict: "an object",
}


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "null")


def _missing(field: str) -> InvalidRequestError:
    return InvalidRequestError.of_field(field, "required.", message=f"Missing required field: {field}")
