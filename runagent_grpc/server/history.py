"""The history of a server that is being assembled: opened where it can be."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from runagent_grpc.core.manifest import AgentManifest
from runagent_grpc.errors import RunAgentError
from runagent_grpc.local.registry import Registry
from runagent_grpc.store import HistoryStore, RecordingSettings

__all__ = ["open_history", "positional_names"]

_logger = logging.getLogger(__name__)


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
