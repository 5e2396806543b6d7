"""A client made to be killed: streams of a plain stub, each over a connection of its own.

    python -m benchmarks.killed_client TARGET TAG STREAMS

Prints a line once every stream has brought a chunk, and reads on until it is killed.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc, call_pb2, payload_pb2

_SECONDS_BETWEEN_CHUNKS = "0.02"


async def main(target: str, tag: str, streams: int) -> None:
    """Opens the streams and reads them."""
    seen = 0
    all_seen = asyncio.Event()

    async def read() -> None:
        nonlocal seen
        options = [("grpc.use_local_subchannel_pool", 1)]
        kwargs = {"seconds": payload_pb2.Payload(json=_SECONDS_BETWEEN_CHUNKS)}
        request = pb.RunStreamRequest(call=call_pb2.Call(entrypoint_tag=tag, kwargs=kwargs))
        first = True
        async with grpc.aio.insecure_channel(target, options) as channel:
            # The generated types describe the sync stub; on an aio channel its methods are awaited.
            stub: Any = agent_service_pb2_grpc.AgentServiceStub(channel)
            async for message in stub.RunStream(request):
                if first and message.WhichOneof("event") == "chunks":
                    first = False
                    seen += 1
                    if seen == streams:
                        all_seen.set()

    readers = [asyncio.create_task(read()) for _ in range(streams)]
    await all_seen.wait()
    sys.stdout.write("streaming\n")
    sys.stdout.flush()
    await asyncio.gather(*readers)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
