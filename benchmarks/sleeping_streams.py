"""A load: as many WebSocket streams and gRPC streams of an entrypoint that sleeps between its chunks.

    python -m benchmarks.sleeping_streams GRPC_TARGET HTTP_PORT STREAMS SECONDS

Prints a line once every stream has brought a chunk, and reads on until its standard input closes. Meanwhile each
WebSocket pings, and the seconds that the pongs took are the last line, as JSON; null stands for one that did not come.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import grpc
from websockets.asyncio.client import ClientConnection, connect

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc, call_pb2, payload_pb2

_TAG = "sleep_stream"
_FOREVER = 1_000_000
_SECONDS_BETWEEN_PINGS = 0.5
_PATIENCE = 5.0


class Load:
    """The streams, and what is heard of them."""

    def __init__(self, streams: int, seconds: float) -> None:
        self._missing = 2 * streams
        self._kwargs = {"n": _FOREVER, "seconds": seconds}
        self.all_stream = asyncio.Event()
        self.pongs: list[float | None] = []

    async def read_grpc(self, target: str) -> None:
        kwargs = {name: payload_pb2.Payload(json=str(value)) for name, value in self._kwargs.items()}
        request = pb.RunStreamRequest(call=call_pb2.Call(entrypoint_tag=_TAG, kwargs=kwargs))
        async with grpc.aio.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            # The generated types describe the sync stub; on an aio channel its methods are awaited.
            stub: Any = agent_service_pb2_grpc.AgentServiceStub(channel)
            count = 0
            async for _ in stub.RunStream(request):
                count += 1
                self._hear(count)

    async def read_websocket(self, port: int) -> None:
        url = f"ws://127.0.0.1:{port}/api/v1/agents/benchmark/run-stream"
        async with connect(url, proxy=None, ping_interval=None) as socket:
            await socket.send(json.dumps({"entrypoint_tag": _TAG, "input_kwargs": self._kwargs}))
            pinging = asyncio.create_task(self._ping(socket))
            count = 0
            try:
                async for _ in socket:
                    count += 1
                    self._hear(count)
            finally:
                pinging.cancel()

    def _hear(self, count: int) -> None:
        # The first message says that the stream has started, the second holds a chunk.
        if count == 2:
            self._missing -= 1
            if not self._missing:
                self.all_stream.set()

    async def _ping(self, socket: ClientConnection) -> None:
        await self.all_stream.wait()
        while True:
            asked = time.perf_counter()
            try:
                async with asyncio.timeout(_PATIENCE):
                    await (await socket.ping())
            except TimeoutError:
                self.pongs.append(None)
            else:
                self.pongs.append(time.perf_counter() - asked)
            await asyncio.sleep(_SECONDS_BETWEEN_PINGS)


async def main(target: str, port: int, streams: int, seconds: float) -> None:
    """Opens the streams, and reads them until it is told to stop."""
    load = Load(streams, seconds)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(load.read_grpc(target)) for _ in range(streams)]
        tasks += [group.create_task(load.read_websocket(port)) for _ in range(streams)]
        await load.all_stream.wait()
        sys.stdout.write("streaming\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
        for task in tasks:
            task.cancel()
    sys.stdout.write(json.dumps(load.pongs) + "\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
