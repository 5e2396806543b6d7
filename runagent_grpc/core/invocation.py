"""One run of an entrypoint as a record: its states, and the transitions between them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from runagent_grpc.errors import RunAgentError

__all__ = ["Invocation", "InvocationState"]


class InvocationState(enum.Enum):
    """Where an invocation stands."""

    QUEUED = enum.auto()
    RUNNING = enum.auto()
    COMPLETED = enum.auto()
    FAILED = enum.auto()
    CANCELLED = enum.auto()
    TIMED_OUT = enum.auto()
    LOST = enum.auto()

    # A member's own hash is that of its name, worked out in Python; a call asks for it several times.
    __hash__ = object.__hash__

    @property
    def ended(self) -> bool:
        return not _TRANSITIONS[self]


_TRANSITIONS: dict[InvocationState, frozenset[InvocationState]] = {
    InvocationState.QUEUED: frozenset(
        {InvocationState.RUNNING, InvocationState.CANCELLED, InvocationState.TIMED_OUT, InvocationState.LOST}
    ),
    InvocationState.RUNNING: frozenset(
        {
            InvocationState.COMPLETED,
            InvocationState.FAILED,
            InvocationState.CANCELLED,
            InvocationState.TIMED_OUT,
            InvocationState.LOST,
        }
    ),
    InvocationState.COMPLETED: frozenset(),
    InvocationState.FAILED: frozenset(),
    InvocationState.CANCELLED: frozenset(),
    InvocationState.TIMED_OUT: frozenset(),
    InvocationState.LOST: frozenset(),
}


@dataclass(slots=True, kw_only=True)
class Invocation:
    """What is known of one invocation. Only `move` changes its state."""

    invocation_id: str
    agent_id: str
    entrypoint_tag: str
    owner: str
    start_time: datetime
    request_id: str = ""
    """The caller's own id for the call, by which a repeated one is known."""
    fingerprint: str = ""
    """What the call asks for, in short, where it has a request_id: another call's differs."""
    state: InvocationState = InvocationState.QUEUED
    end_time: datetime | None = None
    cause: str = ""
    """Why it ended as it did, in words. Empty when it completed."""
    chunk_count: int = 0
    error: RunAgentError | None = None

    def move(self, state: InvocationState) -> None:
        """Goes over to `state`. Raises RuntimeError where no transition leads there."""
        if state not in _TRANSITIONS[self.state]:
            raise RuntimeError(f"An invocation cannot go from {self.state.name} to {state.name}.")
        self.state = state
