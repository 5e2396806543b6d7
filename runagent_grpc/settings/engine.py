"""How much the engine takes on, and how patient it is."""

from __future__ import annotations

from dataclasses import dataclass

from runagent_grpc.settings.declaration import Unit, setting

__all__ = ["EngineSettings"]

_KIB = 1024
_MIB = 1024 * _KIB
_TIB = 1024 * 1024 * _MIB
_A_YEAR = 365 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """The engine's limits and intervals."""

    max_invocations: int = setting(
        1000,
        name="max_concurrent",
        flag=True,
        minimum=1,
        maximum=1_000_000,
        help="How many calls may run at once. One whose thread cannot be stopped counts until the thread ends.",
    )
    max_queued: int = setting(
        100,
        flag=True,
        minimum=0,
        maximum=1_000_000,
        help="How many more may wait for their turn; beyond that they are refused.",
    )
    rate_limit: float | None = setting(
        None,
        flag=True,
        above=0,
        maximum=1_000_000,
        help="How many calls a second each API key may make, and all callers together where there are no keys.",
    )
    max_run_timeout: float | None = setting(
        None,
        name="run_timeout",
        flag=True,
        unit=Unit.SECONDS,
        above=0,
        maximum=_A_YEAR,
        help="How long any call may run, whatever it asks for.",
    )
    heartbeat_interval: float = setting(
        15.0,
        name="heartbeat",
        flag=True,
        unit=Unit.SECONDS,
        minimum=0.1,
        maximum=3600,
        help="After how much silence a stream sends a heartbeat. Set it below the idle timeout of proxies on the way.",
    )
    max_payload_bytes: int = setting(
        32 * _MIB - 64 * _KIB,
        unit=Unit.BYTES,
        minimum=1,
        maximum=2**31 - 1 - 64 * _KIB,
        help="The largest result or chunk. With 64 KiB for what wraps it, it must fit in a gRPC message.",
    )
    window_chunks: int = setting(
        256, minimum=1, maximum=1_000_000, help="How many chunks a producer may be ahead of its reader."
    )
    window_bytes: int = setting(
        _MIB, unit=Unit.BYTES, minimum=1, maximum=_TIB, help="How many bytes a producer may be ahead of its reader."
    )
    ring_chunks: int = setting(
        1024, minimum=1, maximum=1_000_000_000, help="How many chunks are kept of a stream that can be resumed."
    )
    ring_bytes: int = setting(
        4 * _MIB,
        unit=Unit.BYTES,
        minimum=1,
        maximum=_TIB,
        help="How many bytes of chunks are kept of it; the newest chunk is kept whatever its size.",
    )
    ring_seconds: float = setting(
        60.0, unit=Unit.SECONDS, minimum=0, maximum=_A_YEAR, help="How long they are kept once it has ended."
    )
    result_seconds: float = setting(
        600.0,
        unit=Unit.SECONDS,
        minimum=0,
        maximum=_A_YEAR,
        help="How long the result of a call with a request_id is kept in memory.",
    )
    kept_bytes: int = setting(
        256 * _MIB,
        unit=Unit.BYTES,
        minimum=0,
        maximum=_TIB,
        help="How much all kept chunks and results may take together. Beyond it the oldest ended ones go first.",
    )
    remembered_invocations: int = setting(
        10_000,
        minimum=1,
        maximum=1_000_000_000,
        help="How many ended invocations are still known by their id, of those without a request_id.",
    )
    remembered_requests: int = setting(
        50_000,
        minimum=1,
        maximum=1_000_000_000,
        help="How many of those with one, which take 1 to 2 KiB each, their results apart. "
        "Where there are more, the history answers.",
    )
