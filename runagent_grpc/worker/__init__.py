"""Turns a folder with a configuration into functions that the engine can call.

Knows nothing of calls in flight, of gRPC or of HTTP. How a function's result is consumed is the engine's.
"""

from runagent_grpc.worker.agent import Agent
from runagent_grpc.worker.config.agent import AgentConfig, AuthSettings
from runagent_grpc.worker.config.entrypoint import EntrypointConfig, PythonEntrypointConfig, WebhookEntrypointConfig
from runagent_grpc.worker.config.validation import read_config
from runagent_grpc.worker.entrypoint import STREAM_SUFFIX, Entrypoint
from runagent_grpc.worker.extractor import Extractor
from runagent_grpc.worker.loader import load_agent
from runagent_grpc.worker.problems import InvalidAgentError, Problem, ProblemKind
from runagent_grpc.worker.signature.signature import BoundArguments, Signature

__all__ = [
    "STREAM_SUFFIX",
    "Agent",
    "AgentConfig",
    "AuthSettings",
    "BoundArguments",
    "Entrypoint",
    "EntrypointConfig",
    "Extractor",
    "InvalidAgentError",
    "Problem",
    "ProblemKind",
    "PythonEntrypointConfig",
    "Signature",
    "WebhookEntrypointConfig",
    "load_agent",
    "read_config",
]
