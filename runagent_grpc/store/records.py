"""What history tells about the past."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.store.values import Kept, json_of

__all__ = ["LOST_CAUSE", "InvocationPage", "InvocationStats", "LogPage", "RecordedInvocation", "RecordedLine"]


LOST_CAUSE = "The server's process ended before the invocation did."
"""Why an invocation is lost that nobody has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedInvocation:
    """One invocation, as far as it was recorded. Sizes are bytes, times are in UTC."""

    number: int
    """Its place in the order in which invocations started."""
    invocation_id: str
    agent_id: str
    entrypoint_tag: str
    owner: str
    user_id: str
    request_id: str
    transport: str
    state: InvocationState
    cause: str
    reason: str | None
    """The reason of the error that it ended with."""
    message: str | None
    """That error's message, whole."""
    start_time: datetime
    end_time: datetime | None
    elapsed: float | None
    """How many seconds it ran. None until it has ended, and where nobody saw it end."""
    input: str | None
    """A JSON object with `args` and `kwargs`, masked and cut. None where input is not recorded."""
    result: Kept | None
    """What was returned. None where nothing was, and where output is not recorded."""
    result_size: int | None
    chunk_count: int
    first_chunks: tuple[Kept, ...]
    last_chunks: tuple[Kept, ...]

    @property
    def output(self) -> str | None:
        """JSON text: the result, or an object with a stream's first and last chunks. None where nothing is kept.

        A value that was too large to keep is an object with its beginning, `excerpt`, and its `size` in bytes.
        """
        if self.result is not None:
            return json_of(self.result)
        if not self.first_chunks:
            return None
        first, last = (",".join(map(json_of, chunks)) for chunks in (self.first_chunks, self.last_chunks))
        return f'{{"first_chunks":[{first}],"last_chunks":[{last}]}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationPage:
    """Invocations, the newest first."""

    invocations: tuple[RecordedInvocation, ...]
    next_token: str
    """Where the next page starts. Empty: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationStats:
    """How many invocations there are, and how they fared."""

    total: int
    states: Mapping[InvocationState, int]
    """How many are in each state that any is in."""
    average_seconds: float | None
    """How long those that completed ran, on average."""
    last_start: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedLine:
    """A line that an entrypoint printed or logged."""

    number: int
    invocation_id: str
    agent_id: str
    time: datetime
    level: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """Lines, the oldest first."""

    lines: tuple[RecordedLine, ...]
    next_token: str
    """Where the next page starts, also for lines that are yet to come. Empty: nothing is kept."""
