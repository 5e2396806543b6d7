"""What the engine tells whoever keeps history and logs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from runagent_grpc.engine.call import Call
from runagent_grpc.engine.invocation import Invocation
from runagent_grpc.payload import Payload

__all__ = ["LogLine", "NullRecorder", "Recorder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line that an entrypoint printed or logged."""

    invocation_id: str
    time: datetime
    level: str
    """The logging level's name; INFO for what was printed."""
    text: str


class Recorder(Protocol):
    """Keeps what happens. Every method returns at once and never raises."""

    def started(self, invocation: Invocation, call: Call) -> None:
        """An invocation runs. Called on the event loop."""

    def ended(self, invocation: Invocation, result: Payload | None) -> None:
        """An invocation has its outcome. Called on the event loop."""

    def logged(self, line: LogLine) -> None:
        """An entrypoint printed or logged. Called on any thread."""


class NullRecorder:
    """Keeps nothing."""

    def started(self, invocation: Invocation, call: Call) -> None: ...

    def ended(self, invocation: Invocation, result: Payload | None) -> None: ...

    def logged(self, line: LogLine) -> None: ...
