"""What a reader of a stream sees: `StreamStarted`, then chunks and heartbeats, then `StreamCompleted`, or an error."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from runagent_grpc.values.payload import Payload

__all__ = ["StreamChunks", "StreamCompleted", "StreamEvent", "StreamHeartbeat", "StreamStarted"]


@dataclass(frozen=True, slots=True)
class StreamStarted:
    invocation_id: str
    start_time: datetime
    heartbeat_interval: float
    """Seconds of silence after which a heartbeat comes."""


@dataclass(frozen=True, slots=True)
class StreamChunks:
    """Consecutive chunks: everything that was ready."""

    first_sequence: int
    """The number of the first of them; a stream's first chunk is 1."""
    payloads: list[Payload]


@dataclass(frozen=True, slots=True)
class StreamHeartbeat:
    """Nothing is ready, and the entrypoint still runs."""


@dataclass(frozen=True, slots=True)
class StreamCompleted:
    chunk_count: int
    elapsed: float
    """Seconds."""


StreamEvent = StreamStarted | StreamChunks | StreamHeartbeat | StreamCompleted
