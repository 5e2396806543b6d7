"""The documented import name: `from runagent import RunAgentClient, RunAgentError`."""

from runagent_grpc.client import AsyncRunAgentClient, RunAgentClient, RunAgentError

__all__ = ["AsyncRunAgentClient", "RunAgentClient", "RunAgentError"]
