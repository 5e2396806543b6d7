"""Calls agents from Python: `RunAgentClient` for code that blocks, `AsyncRunAgentClient` for asyncio."""

from runagent_grpc.client.aio import AsyncChunkStream, AsyncRunAgentClient
from runagent_grpc.client.descriptions import AgentDescription, EntrypointDescription
from runagent_grpc.client.sync import ChunkStream, RunAgentClient
from runagent_grpc.errors import RunAgentError

__all__ = [
    "AgentDescription",
    "AsyncChunkStream",
    "AsyncRunAgentClient",
    "ChunkStream",
    "EntrypointDescription",
    "RunAgentClient",
    "RunAgentError",
]
