"""Whether a server answers now, as the commands that tell about servers ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runagent_grpc.local.registry import RegisteredAgent

__all__ = ["PATIENCE_SECONDS", "answers"]

PATIENCE_SECONDS = 2.0


def answers(agent: RegisteredAgent) -> bool:
    """Whether this very agent answers at its address, where another server may listen by now."""
    from runagent_grpc.client import RunAgentClient
    from runagent_grpc.errors import AuthenticationError, PermissionDeniedError, RunAgentError

    if agent.status == "gone":
        return False
    try:
        with RunAgentClient(agent.agent_id, host=agent.host, port=agent.port, timeout=PATIENCE_SECONDS) as client:
            return client.get_agent().agent_id == agent.agent_id
    except (AuthenticationError, PermissionDeniedError):
        return True
    except RunAgentError:
        return False
