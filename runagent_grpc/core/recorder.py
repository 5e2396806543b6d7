"""What the engine tells whoever keeps history and logs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from runagent_grpc.core.call import Call
from runagent_grpc.core.invocation import Invocation
from runagent_grpc.values.payload import Payload, size_of

__all__ = ["LogLine", "NullRecorder", "Output", "Recorder", "TruncatedPayload"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line that an entrypoint printed or logged."""

    invocation_id: str
    time: datetime
    level: str
    """The logging level's name; INFO for what was printed."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TruncatedPayload:
    """The beginning of a payload that was too large to keep."""

    beginning: str | bytes
    """Text, JSON text (which ends in the middle) or bytes."""
    size: int
    """How many bytes the whole payload took on a wire."""

    @classmethod
    def of(cls, payload: Payload, length: int) -> TruncatedPayload:
        beginning = payload[:length] if isinstance(payload, bytes) else str(payload[:length])
        return cls(beginning=beginning, size=size_of(payload))


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What an invocation gave."""

    elapsed: float
    """How many seconds it ran."""
    result: Payload | None = None
    """What an entrypoint that does not stream returned."""
    first_chunks: tuple[Payload | TruncatedPayload, ...] = ()
    """The first chunks of a stream, a few."""
    last_chunks: tuple[Payload | TruncatedPayload, ...] = ()
    """The last chunks of a stream, a few, and none of the first."""


class Recorder(Protocol):
    """Keeps what happens. Every method returns at once and never raises."""

    def started(self, invocation: Invocation, call: Call) -> None:
        """An invocation runs. Called on the event loop."""

    def ended(self, invocation: Invocation, output: Output) -> None:
        """An invocation has its outcome. Called on the event loop."""

    def logged(self, line: LogLine) -> None:
        """An entrypoint printed or logged. Called on any thread."""


class NullRecorder:
    """Keeps nothing."""

    def started(self, invocation: Invocation, call: Call) -> None: ...

    def ended(self, invocation: Invocation, output: Output) -> None: ...

    def logged(self, line: LogLine) -> None: ...
