"""Calls agents from Python: `RunAgentClient` for code that blocks, `AsyncRunAgentClient` for asyncio."""

from runagent_grpc.client.aio import AsyncRunAgentClient
from runagent_grpc.client.descriptions import AgentDescription, EntrypointDescription, InvocationDescription, LogLine
from runagent_grpc.client.stream_aio import AsyncChunkStream
from runagent_grpc.client.stream_sync import ChunkStream
from runagent_grpc.client.sync import RunAgentClient
from runagent_grpc.errors import RunAgentError

__all__ = [
    "AgentDescription",
    "AsyncChunkStream",
    "AsyncRunAgentClient",
    "ChunkStream",
    "EntrypointDescription",
    "InvocationDescription",
    "LogLine",
    "RunAgentClient",
    "RunAgentError",
]
