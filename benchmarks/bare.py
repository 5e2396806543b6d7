"""The yardstick: the same contract on grpc.aio with nothing around it, one message a chunk.

    python -m benchmarks.bare

Prints the port it listens on, and serves until its standard input closes.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc, payload_pb2


class BareServicer(agent_service_pb2_grpc.AgentServiceServicer):
    """Answers without looking: what gRPC itself costs, and no more."""

    async def Run(self, request: pb.RunRequest, context: Any) -> pb.RunResponse:
        return pb.RunResponse(result=request.call.kwargs["message"])

    async def RunStream(self, request: pb.RunStreamRequest, context: Any) -> AsyncIterator[pb.RunStreamResponse]:
        for sequence in range(1, int(request.call.kwargs["n"].json) + 1):
            chunks = pb.StreamChunks(first_sequence=sequence, values=[payload_pb2.Payload(text="token ")])
            yield pb.RunStreamResponse(chunks=chunks)


async def serve() -> None:
    """Serves on a free port of loopback until standard input closes."""
    server = grpc.aio.server()
    agent_service_pb2_grpc.add_AgentServiceServicer_to_server(BareServicer(), server)  # type: ignore[abstract] # two RPCs are enough
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(serve())
