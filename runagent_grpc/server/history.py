"""The history of a server that is being assembled: opened where it can be, and adapted to the bridge."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from runagent_grpc.bridge import HistoryStatistics
from runagent_grpc.core.invocation import InvocationRecord, InvocationState
from runagent_grpc.core.manifest import AgentManifest
from runagent_grpc.errors import NotFoundError, RunAgentError
from runagent_grpc.local.registry import Registry
from runagent_grpc.store import History, HistoryStore, RecordingSettings

__all__ = ["BridgeHistory", "open_history", "positional_names"]

_logger = logging.getLogger(__name__)

_PENDING = (InvocationState.QUEUED, InvocationState.RUNNING)


def positional_names(agent: AgentManifest) -> dict[str, Sequence[str]]:
    """Returns the names of each entrypoint's positional parameters by its tag."""
    return {tag: entrypoint.positional for tag, entrypoint in agent.entrypoints.items()}


def open_history(
    agent: AgentManifest,
    registry: Registry,
    settings: RecordingSettings,
    *,
    names: Mapping[str, Sequence[str]] | None = None,
) -> HistoryStore | None:
    """Opens the history, in the file of the registry. One that cannot be written keeps nobody from serving: None.

    An argument without a name is a secret by the name of its parameter, too. Those are looked up in `names` as calls
    are written down; None takes the agent's as they are.
    """
    names = positional_names(agent) if names is None else names
    try:
        return HistoryStore(registry.path, agent_id=agent.agent_id, settings=settings, parameter_names=names)
    except RunAgentError as error:
        _logger.warning("Neither history nor logs are kept: %s %s", error, error.suggestion or "")
        return None


class BridgeHistory:
    """What the HTTP face asks of history. Reads on threads, for a disk takes its time."""

    def __init__(self, history: History) -> None:
        self._history = history

    async def invocations(
        self, *, agent_id: str, owner: str, limit: int, states: Sequence[InvocationState]
    ) -> Sequence[InvocationRecord]:
        page = await asyncio.to_thread(
            self._history.page, agent_id=agent_id, states=states, limit=limit, owner=owner, payloads=True
        )
        return page.invocations

    async def statistics(self, *, agent_id: str, owner: str) -> HistoryStatistics:
        stats = await asyncio.to_thread(self._history.stats, agent_id=agent_id, owner=owner)
        completed = stats.states.get(InvocationState.COMPLETED, 0)
        pending = sum(stats.states.get(state, 0) for state in _PENDING)
        return HistoryStatistics(
            total=stats.total,
            completed=completed,
            failed=stats.total - completed - pending,
            pending=pending,
            average_seconds=stats.average_seconds,
        )

    async def invocation(self, invocation_id: str, *, owner: str) -> InvocationRecord | None:
        try:
            return await asyncio.to_thread(self._history.get, invocation_id, owner=owner)
        except NotFoundError:
            return None
