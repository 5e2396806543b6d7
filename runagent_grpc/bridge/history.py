"""What the bridge asks whoever keeps history: past invocations, and how many there were of each kind.

Each key sees what it started, and no more (docs/wire.md, history).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from runagent_grpc.core.invocation import InvocationRecord, InvocationState

__all__ = ["CallerHistory", "HistoryStatistics"]


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
    ) -> Sequence[InvocationRecord]:
        """Returns the newest invocations first, at most `limit`, of these states; no states mean any."""

    async def statistics(self, *, agent_id: str, owner: str) -> HistoryStatistics:
        """Counts an agent's invocations."""

    async def invocation(self, invocation_id: str, *, owner: str) -> InvocationRecord | None:
        """Returns one invocation, or None for an id that is unknown or another owner's."""
