"""The ports through which the engine and its workers report what happens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from runagent_grpc.core.call import Call
from runagent_grpc.core.invocation import InvocationRecord
from runagent_grpc.values.payload import Payload

__all__ = ["Journal", "NullRecorder", "OutputLine", "Recorder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputLine:
    """One line that an entrypoint printed or logged."""

    invocation_id: str
    time: datetime
    level: str
    """The logging level's name; INFO for what was printed."""
    text: str


class Recorder(Protocol):
    """Keeps what happens. Every method returns at once and never raises."""

    def started(self, record: InvocationRecord, call: Call) -> None:
        """An invocation runs. Called on the event loop."""

    def ended(self, record: InvocationRecord) -> None:
        """An invocation has its outcome. Called on the event loop."""

    def logged(self, line: OutputLine) -> None:
        """An entrypoint printed or logged. Called on any thread."""


class Journal(Protocol):
    """Keeps the chunks of streams that can be resumed."""

    def produced(self, invocation_id: str, sequence: int, payload: Payload) -> None:
        """Takes note of a chunk. Called on any thread, in order; returns at once and never raises."""


class NullRecorder:
    """Keeps nothing."""

    def started(self, record: InvocationRecord, call: Call) -> None: ...

    def ended(self, record: InvocationRecord) -> None: ...

    def logged(self, line: OutputLine) -> None: ...
