"""What the bridge asks whoever keeps history: past invocations, and how many there were of each kind.

Each key sees what it started, and no more (docs/wire.md, history).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from runagent_grpc.core.invocation import InvocationState

__all__ = ["CallerHistory", "HistoryEntry", "HistoryStatistics"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One invocation as it was recorded."""

    invocation_id: str
    agent_id: str
    entrypoint_tag: str
    state: InvocationState
    cause: str = ""
    """Why it ended as it did. Empty while it runs and when it completed."""
    start_time: datetime
    end_time: datetime | None = None
    elapsed: float | None = None
    """How many seconds it ran, once it has ended."""
    chunk_count: int = 0
    transport: str = ""
    user_id: str = ""
    request_id: str = ""
    input: str | None = None
    """The arguments as JSON text, cut and masked as the server is set to. None: not recorded."""
    output: str | None = None
    """The result, or a stream's first and last chunks, as JSON text. None: there is none, or it is not recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryStatistics:
    """How many invocations were recorded, and how they went."""

    total: int
    completed: int
    failed: int
    """Failed, cancelled, timed out or lost."""
    pending: int
    """Queued or running."""
    average_seconds: float | None = None
    """How long the completed ones ran."""


class CallerHistory(Protocol):
    """Answers for what was recorded. `owner` is whose key asks; it is empty where the server has no keys."""

    async def invocations(
        self, *, agent_id: str, owner: str, limit: int, states: Sequence[InvocationState]
    ) -> Sequence[HistoryEntry]:
        """Returns the newest invocations first, at most `limit`, of these states; no states mean any."""

    async def statistics(self, *, agent_id: str, owner: str) -> HistoryStatistics:
        """Counts an agent's invocations."""

    async def invocation(self, invocation_id: str, *, owner: str) -> HistoryEntry | None:
        """Returns one invocation, or None for an id that is unknown or another owner's."""
