"""One run of an entrypoint as a record, and the states that it passes."""

from __future__ import annotations

import enum
from datetime import datetime

from runagent_grpc.core.records import record
from runagent_grpc.errors import RunAgentError
from runagent_grpc.values.payload import Payload, TruncatedPayload, json_text

__all__ = ["InvocationRecord", "InvocationState"]


class InvocationState(enum.Enum):
    """Where an invocation stands."""

    QUEUED = enum.auto()
    RUNNING = enum.auto()
    COMPLETED = enum.auto()
    FAILED = enum.auto()
    CANCELLED = enum.auto()
    TIMED_OUT = enum.auto()
    LOST = enum.auto()

    # A member's own hash is that of its name, computed in Python; a call needs it several times.
    __hash__ = object.__hash__

    @property
    def ended(self) -> bool:
        """Whether no state follows this one."""
        return not _TRANSITIONS[self]

    def moved_to(self, state: InvocationState) -> InvocationState:
        """Returns `state`. Raises RuntimeError where no transition leads there."""
        if state not in _TRANSITIONS[self]:
            raise RuntimeError(f"An invocation cannot go from {self.name} to {state.name}.")
        return state


_TRANSITIONS: dict[InvocationState, frozenset[InvocationState]] = {
    InvocationState.QUEUED: frozenset(
        {
            InvocationState.RUNNING,
            InvocationState.FAILED,
            InvocationState.CANCELLED,
            InvocationState.TIMED_OUT,
            InvocationState.LOST,
        }
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


@record
class InvocationRecord:
    """What is known of one invocation at one moment. Times are UTC, durations seconds, sizes bytes.

    The engine makes one when an invocation starts and one when it ends; a store hands out the same.
    """

    invocation_id: str
    agent_id: str
    entrypoint_tag: str
    owner: str
    """The subject of the principal who started it."""
    start_time: datetime
    request_id: str = ""
    """The caller's own id for the call, by which a repeated call is known."""
    fingerprint: str = ""
    """A digest of what the call asks for, where it has a request_id: another call's differs."""
    user_id: str = ""
    transport: str = ""
    state: InvocationState = InvocationState.QUEUED
    end_time: datetime | None = None
    elapsed: float | None = None
    """How long it ran. None until it has ended, and where nobody saw it end."""
    cause: str = ""
    """Why it ended as it did, in words. Empty when it completed."""
    error: RunAgentError | None = None
    """What it ended with, unless it completed."""
    chunk_count: int = 0
    input: str | None = None
    """The arguments as JSON text, masked and cut, where a store has recorded them."""
    result: Payload | TruncatedPayload | None = None
    """What an entrypoint that does not stream returned, where it is kept."""
    result_size: int | None = None
    first_chunks: tuple[Payload | TruncatedPayload, ...] = ()
    """A few of a stream's first chunks."""
    last_chunks: tuple[Payload | TruncatedPayload, ...] = ()
    """A few of a stream's last chunks, and none of the first."""

    @property
    def reason(self) -> str | None:
        """The reason of the error that it ended with."""
        return None if self.error is None else self.error.reason.value

    @property
    def message(self) -> str | None:
        """That error's message, whole."""
        return None if self.error is None else self.error.message

    @property
    def output(self) -> str | None:
        """JSON text: the result, or an object with a stream's first and last chunks. None where nothing is kept.

        A value that was too large to keep is an object with its beginning, `excerpt`, and its `size` in bytes.
        """
        if self.result is not None:
            return json_text(self.result)
        if not self.first_chunks:
            return None
        first, last = (",".join(map(json_text, chunks)) for chunks in (self.first_chunks, self.last_chunks))
        return f'{{"first_chunks":[{first}],"last_chunks":[{last}]}}'
