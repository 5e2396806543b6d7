"""Turns a folder with a `runagent.config.json` into functions that the engine can call.

Knows nothing of calls in flight, of gRPC or of HTTP. How a function's result is consumed is the engine's.
"""

from runagent_grpc.agent.agent import Agent
from runagent_grpc.agent.config import AgentConfig, AuthSettings, EntrypointConfig, read_config
from runagent_grpc.agent.entrypoint import STREAM_SUFFIX, Entrypoint
from runagent_grpc.agent.loader import load_agent
from runagent_grpc.agent.problems import InvalidAgentError
from runagent_grpc.agent.signature import BoundArguments, Signature

__all__ = [
    "STREAM_SUFFIX",
    "Agent",
    "AgentConfig",
    "AuthSettings",
    "BoundArguments",
    "Entrypoint",
    "EntrypointConfig",
    "InvalidAgentError",
    "Signature",
    "load_agent",
    "read_config",
]
