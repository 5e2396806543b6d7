"""The engine's limits and intervals, each with its default."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EngineSettings"]

_KIB = 1024
_MIB = 1024 * _KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How much the engine takes on, and how patient it is. Sizes are bytes, times are seconds."""

    window_chunks: int = 256
    """How many chunks a producer may be ahead of its reader."""
    window_bytes: int = _MIB
    """How many bytes a producer may be ahead of its reader."""
    max_payload_bytes: int = 32 * _MIB - 64 * _KIB
    """The largest result or chunk; a little less than a message, which wraps it, may hold."""
    max_invocations: int = 1000
    """How many invocations may run at once. One whose thread cannot be stopped counts until the thread ends."""
    max_queued: int = 100
    """How many more may wait for one of them to end."""
    rate_limit: float | None = None
    """How many calls a second each key may make. None sets no bound."""
    max_run_timeout: float | None = None
    """The longest that any invocation may run, whatever its caller asks for."""
    heartbeat_interval: float = 15.0
    """After how much silence a stream sends a sign of life."""
    ring_chunks: int = 1024
    """How many chunks are kept of a stream that can be resumed."""
    ring_bytes: int = 4 * _MIB
    """How many bytes of chunks are kept of it; the newest chunk is kept whatever its size."""
    ring_seconds: float = 60.0
    """How long they are kept once it has ended."""
    result_seconds: float = 600.0
    """How long the result of a call with a request_id is kept in memory."""
    kept_bytes: int = 256 * _MIB
    """How much all kept chunks and results may take together. Beyond it the oldest of ended ones go first."""
    remembered_invocations: int = 10_000
    """How many ended invocations the engine still knows by their id, of those without a request_id."""
    remembered_requests: int = 50_000
    """How many of those with one, which take 1 to 2 KiB each, their results apart."""
