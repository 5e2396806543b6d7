"""The history of a server that is being put together: opened where it can be, and in the words of the HTTP face."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from runagent_grpc.bridge import HistoryEntry, HistoryStatistics
from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.errors import NotFoundError, RunAgentError
from runagent_grpc.local.registry import Registry
from runagent_grpc.store import History, HistoryStore, RecordedInvocation, RecordingSettings
from runagent_grpc.worker import Agent

__all__ = ["BridgeHistory", "open_history", "positional_names"]

_logger = logging.getLogger(__name__)

_PENDING = (InvocationState.QUEUED, InvocationState.RUNNING)


def positional_names(agent: Agent) -> dict[str, list[str]]:
    """Returns the names of each entrypoint's positional parameters by its tag."""
    return {
        tag: [parameter.name for parameter in entrypoint.signature.positional]
        for tag, entrypoint in agent.entrypoints.items()
    }


def open_history(
    agent: Agent, registry: Registry, settings: RecordingSettings, *, names: Mapping[str, Sequence[str]] | None = None
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
    ) -> Sequence[HistoryEntry]:
        page = await asyncio.to_thread(
            self._history.page, agent_id=agent_id, states=states, limit=limit, owner=owner, payloads=True
        )
        return [_entry_of(recorded) for recorded in page.invocations]

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

    async def invocation(self, invocation_id: str, *, owner: str) -> HistoryEntry | None:
        try:
            return _entry_of(await asyncio.to_thread(self._history.get, invocation_id, owner=owner))
        except NotFoundError:
            return None


def _entry_of(recorded: RecordedInvocation) -> HistoryEntry:
    return HistoryEntry(
        invocation_id=recorded.invocation_id,
        agent_id=recorded.agent_id,
        entrypoint_tag=recorded.entrypoint_tag,
        state=recorded.state,
        cause=recorded.cause,
        start_time=recorded.start_time,
        end_time=recorded.end_time,
        elapsed=recorded.elapsed,
        chunk_count=recorded.chunk_count,
        transport=recorded.transport,
        user_id=recorded.user_id,
        request_id=recorded.request_id,
        input=recorded.input,
        output=recorded.output,
    )
