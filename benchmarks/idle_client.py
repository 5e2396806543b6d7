"""A client with very many streams on which nothing comes but heartbeats, on a few connections.

    python -m benchmarks.idle_client TARGET STREAMS

Prints a line once every stream has brought its first chunk, and another, with the number of heartbeats that came and of
streams that still run, for each line on its standard input.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc, call_pb2
from runagent_grpc.rpc import GrpcSettings

_STREAMS_PER_CONNECTION = GrpcSettings().max_concurrent_streams
_OPENING_AT_ONCE = 200


async def main(target: str, streams: int) -> None:
    """Opens the streams, reads them, and tells about them."""
    heartbeats, seen = 0, 0
    opening = asyncio.Semaphore(_OPENING_AT_ONCE)
    request = pb.RunStreamRequest(call=call_pb2.Call(entrypoint_tag="idle_stream"))

    async def read(stub: Any) -> None:
        nonlocal heartbeats, seen
        await opening.acquire()
        async for message in stub.RunStream(request):
            if message.WhichOneof("event") == "chunks":
                seen += 1
                opening.release()
                if seen == streams:
                    _say("streaming")
            elif message.WhichOneof("event") == "heartbeat":
                heartbeats += 1

    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(target, options) for _ in range(-(-streams // _STREAMS_PER_CONNECTION))]
    # The generated types describe the sync stub; on an aio channel its methods are awaited.
    stubs: list[Any] = [agent_service_pb2_grpc.AgentServiceStub(channel) for channel in channels]
    readers = [asyncio.create_task(read(stubs[number % len(stubs)])) for number in range(streams)]
    while await asyncio.to_thread(sys.stdin.readline):
        _say(f"{heartbeats} {sum(not reader.done() for reader in readers)}")
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
