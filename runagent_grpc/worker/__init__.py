"""A folder with a configuration becomes functions, and calls of payloads become calls of them.

The only part that touches an author's objects. Knows nothing of gRPC, HTTP or the engine.
"""

from runagent_grpc.worker.agent import Agent
from runagent_grpc.worker.config.agent import AgentConfig, AuthSettings
from runagent_grpc.worker.config.entrypoint import EntrypointConfig, PythonEntrypointConfig, WebhookEntrypointConfig
from runagent_grpc.worker.config.validation import read_config
from runagent_grpc.worker.entrypoint import Entrypoint
from runagent_grpc.worker.extractor import Extractor
from runagent_grpc.worker.loader import load_agent
from runagent_grpc.worker.problems import InvalidAgentError, Problem, ProblemKind
from runagent_grpc.worker.signature.signature import BoundArguments, Signature

__all__ = [
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
