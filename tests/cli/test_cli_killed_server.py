"""`kill -9` of a server under load, and what history has of it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc

from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc
from tests.cli.commands import AGENTS, Cli
from tests.rpc.calls import run_request, stream_request
from tests.waiting import on_a_loop, soon

PROMISE_SECONDS = 0.05
CALLERS = 16
STREAMS = 4


async def answered_until_killed(
    port: int, folder: Path, kill: Callable[[], None]
) -> tuple[dict[str, float], dict[str, float], float]:
    """Keeps a server busy for a while, and has it killed.

    Returns when the answer of each call came, when each stream started, and when the server was killed.
    """
    answered: dict[str, float] = {}
    streaming: dict[str, float] = {}
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = agent_service_pb2_grpc.AgentServiceStub(channel)

        async def call() -> None:
            while True:
                response = await stub.Run(run_request("greet", name="Ada"))
                answered[response.invocation_id] = time.monotonic()

        async def stream() -> None:
            async for event in stub.RunStream(stream_request("ticks_stream", folder=str(folder))):
                if event.HasField("started"):
                    streaming[event.started.invocation_id] = time.monotonic()

        tasks = [asyncio.create_task(one()) for one in (*[call] * CALLERS, *[stream] * STREAMS)]
        await soon(lambda: len(answered) >= 300 and len(streaming) == STREAMS, seconds=30)
        killed = time.monotonic()
        kill()
        await asyncio.wait(tasks, timeout=10)
        for task in tasks:
            assert isinstance(task.exception(), grpc.aio.AioRpcError)
    return answered, streaming, killed


@on_a_loop
async def test_a_kill_under_load_loses_the_last_moment_at_most(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "home")
    with cli.serving(AGENTS / "probe", "--no-http") as server:
        answered, streaming, killed = await answered_until_killed(server.port, tmp_path, server.process.kill)
        server.wait()
    with closing(sqlite3.connect(tmp_path / "home" / "cache" / "runagent_local.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = connection.execute("SELECT invocation_id FROM runagent_grpc_invocations WHERE state = 'COMPLETED'")
        kept = {invocation_id for (invocation_id,) in rows}
    old, running = (
        {invocation_id for invocation_id, came in told.items() if came < killed - PROMISE_SECONDS}
        for told in (answered, streaming)
    )
    assert len(old) > 100
    assert old <= kept
    with cli.serving(AGENTS / "probe", "--no-http"):
        lost = json.loads(cli("db", "invocations", "--status", "lost", "--limit", "1000", "--format", "json").out)
    assert running <= {told["invocation_id"] for told in lost}
