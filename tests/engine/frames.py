"""What a runner and a worker in another process say to each other: length-prefixed bytes, and nothing pickled.

A frame is a kind, fields in JSON, and payloads as the bytes that they are.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runagent_grpc.errors import Reason, RunAgentError, Violation, error_of
from runagent_grpc.values.payload import Json, Payload

__all__ = ["ENDS", "Frame", "error_fields", "error_from", "frames_from"]

ENDS = frozenset({"result", "completed", "failed", "cancelled"})
"""The kinds of which one is the last that is said of a call."""

_LENGTHS = struct.Struct("!II")
"""How long all that follows is, and how much of it is JSON."""

_KINDS: Mapping[type[Payload], str] = {str: "text", Json: "json", bytes: "binary"}
_READING: Mapping[str, Callable[[bytes], Payload]] = {
    "text": bytes.decode,
    "json": lambda part: Json(part.decode()),
    "binary": bytes,
}


@dataclass(frozen=True, slots=True)
class Frame:
    """One message, of one call where it has a number."""

    kind: str
    call: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)
    payloads: Sequence[Payload] = ()

    def to_bytes(self) -> bytes:
        parts = [payload if isinstance(payload, bytes) else payload.encode() for payload in self.payloads]
        shapes = [(_KINDS[type(payload)], len(part)) for payload, part in zip(self.payloads, parts, strict=True)]
        header = json.dumps([self.kind, self.call, self.fields, shapes]).encode()
        return b"".join([_LENGTHS.pack(len(header) + sum(map(len, parts)), len(header)), header, *parts])

    @classmethod
    def from_bytes(cls, header: bytes, body: bytes) -> Frame:
        kind, call, fields, shapes = json.loads(header)
        payloads: list[Payload] = []
        start = 0
        for name, length in shapes:
            part = body[start : start + length]
            payloads.append(_READING[name](part))
            start += length
        return cls(kind, call, fields, payloads)


async def frames_from(reader: asyncio.StreamReader) -> AsyncIterator[Frame]:
    """Yields what comes until the other side is gone."""
    while True:
        try:
            whole, length = _LENGTHS.unpack(await reader.readexactly(_LENGTHS.size))
            data = await reader.readexactly(whole)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        yield Frame.from_bytes(data[:length], data[length:])


def error_fields(error: RunAgentError) -> dict[str, Any]:
    """Returns an error as data."""
    return {
        "reason": error.reason,
        "message": error.message,
        "suggestion": error.suggestion,
        "details": error.details,
        "violations": [dataclasses.asdict(violation) for violation in error.violations],
        "retry_after": error.retry_after,
        "invocation_id": error.invocation_id,
    }


def error_from(fields: Mapping[str, Any]) -> RunAgentError:
    """Returns the error that such data is of."""
    violations = tuple(Violation(**violation) for violation in fields["violations"])
    return error_of(**{**fields, "reason": Reason(fields["reason"]), "violations": violations})
