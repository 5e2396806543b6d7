"""Many calls on one connection: a client's wait for each other, an attacker's keep nobody out."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from runagent_grpc.rpc import GrpcSettings
from runagent_grpc.testing import serving
from tests.rpc.calls import connected, connected_async, run_request, stream_request, value_of
from tests.waiting import on_a_loop, soon

MOST = GrpcSettings().max_concurrent_streams

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
METHOD = b"/runagent.v1.AgentService/Run"


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


def literal(name: bytes, value: bytes) -> bytes:
    return bytes([0, len(name)]) + name + bytes([len(value)]) + value


SETTINGS = frame(4, 0, 0)
ACKNOWLEDGED = frame(4, 1, 0)
# POST and http by their indices in HPACK's own table, the path and the authority by the indices of their names.
HEADERS = (
    b"\x83\x86\x04" + bytes([len(METHOD)]) + METHOD + b"\x01\x09localhost"
    + literal(b"te", b"trailers") + literal(b"content-type", b"application/grpc")
)  # fmt: skip


def opened(stream: int) -> bytes:
    """A call whose request does not come."""
    return frame(1, 4, stream, HEADERS)


def reset(stream: int) -> bytes:
    return frame(3, 0, stream, (8).to_bytes(4, "big"))


def one(value: Any) -> Any:
    return value


def test_a_connection_is_told_how_many_calls_it_may_have_open() -> None:
    with (
        serving({"one": one}, grpc=GrpcSettings(max_concurrent_streams=7)) as server,
        socket.create_connection((server.host, server.grpc_port), timeout=10) as connection,
    ):
        connection.sendall(PREFACE + SETTINGS)
        received = connection.makefile("rb")
        length = int.from_bytes(received.read(9)[:3], "big")
        settings = received.read(length)
    pairs = [settings[start : start + 6] for start in range(0, length, 6)]
    assert {int.from_bytes(pair[:2], "big"): int.from_bytes(pair[2:], "big") for pair in pairs}[3] == 7


@on_a_loop
async def test_more_streams_than_a_connection_may_have_open_wait_for_each_other() -> None:
    go_on = asyncio.Event()
    most = 0

    async def gated_stream() -> AsyncIterator[int]:
        nonlocal most
        most = max(most, server.engine.active)
        yield 1
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(go_on.wait(), here))
        yield 2

    async def read(stub: Any) -> int:
        return sum([len(message.chunks.values) async for message in stub.RunStream(stream_request("gated_stream"))])

    here = asyncio.get_running_loop()
    with serving({"gated_stream": gated_stream}) as server:
        async with connected_async(server) as stub:
            reading = [asyncio.create_task(read(stub)) for _ in range(MOST + 100)]
            await soon(lambda: server.engine.active == MOST)
            # Another connection has room of its own.
            async with connected_async(server) as other:
                more = asyncio.create_task(read(other))
                await soon(lambda: server.engine.active == MOST + 1)
                go_on.set()
                assert await more == 2
            assert await asyncio.gather(*reading) == [2] * (MOST + 100)
    assert most <= MOST + 1


@pytest.mark.parametrize("resets", [True, False], ids=["reset at once", "left open"])
def test_calls_that_are_opened_in_a_rush_keep_nobody_out(resets: bool) -> None:
    frames = b"".join(opened(stream) + (reset(stream) if resets else b"") for stream in range(1, 40_000, 2))
    with (
        serving({"one": one}) as server,
        connected(server) as stub,
        socket.create_connection((server.host, server.grpc_port), timeout=10) as connection,
    ):
        # The server ends the connection while it still sends.
        with contextlib.suppress(OSError):
            connection.sendall(PREFACE + SETTINGS + ACKNOWLEDGED + frames)
        assert value_of(stub.Run(run_request("one", 1), timeout=10).result) == 1
        with connected(server) as newcomer:
            assert value_of(newcomer.Run(run_request("one", 2), timeout=10).result) == 2
