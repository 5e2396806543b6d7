"""The events of Server-Sent Events, as they go over the wire (docs/wire.md, server-sent events).

An event's id is `<invocation_id>:<n>`, the number of the chunk in it; that of the last event ends in `:end`. The last
event says what a WebSocket's last frame says.
"""

from __future__ import annotations

from collections.abc import Sequence

from runagent_grpc.bridge.texts import structured
from runagent_grpc.bridge.websocket_frames import completed_frame, error_frame
from runagent_grpc.errors import RunAgentError
from runagent_grpc.values.payload import Payload

__all__ = ["END", "HEARTBEAT", "chunk_events", "completed_event", "error_event", "retry_line"]

END = "end"
"""What the id of the last event ends in."""

HEARTBEAT = ": heartbeat\n\n"


def retry_line(seconds: float) -> str:
    """Tells a client after how long to come back."""
    return f"retry: {round(seconds * 1000)}\n\n"


def chunk_events(invocation_id: str, first_sequence: int, payloads: Sequence[Payload]) -> str:
    """One event a chunk, all in one text."""
    return "".join(
        f"id: {invocation_id}:{sequence}\ndata: {structured(payload)}\n\n"
        for sequence, payload in enumerate(payloads, start=first_sequence)
    )


def completed_event(invocation_id: str, *, chunk_count: int, elapsed: float) -> str:
    text = completed_frame(invocation_id, chunk_count=chunk_count, elapsed=elapsed)
    return _last_event("completed", invocation_id, chunk_count, text)


def error_event(invocation_id: str, error: RunAgentError, *, last: int) -> str:
    """`last` is the number of the last chunk that was sent."""
    return _last_event("error", invocation_id, last, error_frame(error))


def _last_event(kind: str, invocation_id: str, last: int, text: str) -> str:
    return f"event: {kind}\nid: {invocation_id}:{last}:{END}\ndata: {text}\n\n"
