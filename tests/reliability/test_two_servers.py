"""Two servers of one agent on one history: a request that is sent to both of them, even at once, runs once."""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc
from runagent_grpc.store import History
from tests.reliability.sites import AGENT_ID, Site, serving
from tests.rpc.calls import call_of, failure_of, value_of
from tests.waiting import eventually, on_a_loop

REQUESTS = 200

within_two_minutes = functools.partial(on_a_loop, seconds=120.0)


@asynccontextmanager
async def stubs_of(*ports: int) -> AsyncIterator[list[Any]]:
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}") for port in ports]
    try:
        yield [agent_service_pb2_grpc.AgentServiceStub(channel) for channel in channels]
    finally:
        for channel in channels:
            await channel.close()


def working(name: str, seconds: float = 0.01) -> pb.RunRequest:
    return pb.RunRequest(call=call_of("work", name=name, seconds=seconds, fields={"request_id": name}))


def ticking(name: str, n: int, seconds: float) -> pb.RunStreamRequest:
    return pb.RunStreamRequest(
        call=call_of("tick_stream", name=name, n=n, seconds=seconds, fields={"request_id": name})
    )


async def values_in(stream: Any) -> list[int]:
    return [value_of(payload) async for event in stream for payload in event.chunks.values]


@within_two_minutes
async def test_requests_that_are_sent_to_both_at_once_run_once(tmp_path: Path) -> None:
    names = [f"work-{number}" for number in range(REQUESTS)]
    with serving(tmp_path) as site:
        _, port = site.start_another()
        async with stubs_of(site.grpc_port, port) as stubs:
            calls = [stub.Run(working(name), timeout=60) for name in names for stub in stubs]
            answers = [(each.invocation_id, value_of(each.result)) for each in await asyncio.gather(*calls)]
    assert answers[::2] == answers[1::2]
    assert [value for _, value in answers[::2]] == names
    assert len({invocation_id for invocation_id, _ in answers}) == REQUESTS
    assert site.runs == dict.fromkeys(names, 1)


@within_two_minutes
async def test_requests_over_rest_that_are_sent_to_both_at_once_run_once(tmp_path: Path) -> None:
    names = [f"work-{number}" for number in range(REQUESTS // 4)]
    with serving(tmp_path) as site:
        ports = (site.http_port, site.start_another()[0])
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:

            async def call(name: str, port: int) -> tuple[str, str]:
                answer = await client.post(
                    f"http://127.0.0.1:{port}/api/v1/agents/{AGENT_ID}/run",
                    json={"entrypoint_tag": "work", "input_kwargs": {"name": name}},
                    headers={"idempotency-key": name},
                )
                return answer.headers["x-invocation-id"], answer.json()["data"]

            answers = await asyncio.gather(*(call(name, port) for name in names for port in ports))
    assert answers[::2] == answers[1::2]
    assert site.runs == dict.fromkeys(names, 1)


@within_two_minutes
async def test_a_server_that_joins_under_load_runs_nothing_again(tmp_path: Path) -> None:
    """The first server claims in memory until the second one comes, and is called all the time."""
    calls: dict[str, asyncio.Future[Any]] = {}
    with serving(tmp_path) as site:
        async with stubs_of(site.grpc_port) as (first,):

            async def keep_calling() -> None:
                for number in itertools.count():
                    name = f"work-{number}"
                    calls[name] = asyncio.ensure_future(first.Run(working(name, 3.0), timeout=60))
                    await asyncio.sleep(0.01)

            calling = asyncio.ensure_future(keep_calling())
            _, port = await asyncio.to_thread(site.start_another)
            async with stubs_of(port) as (second,):
                names = [*calls][-REQUESTS:]
                late = await asyncio.gather(*(second.Run(working(name, 3.0), timeout=60) for name in names))
            calling.cancel()
            early = {name: (await call).invocation_id for name, call in calls.items()}
        assert [each.invocation_id for each in late] == [early[name] for name in names]
    assert site.runs == dict.fromkeys(early, 1)


@within_two_minutes
async def test_a_stream_on_the_other_server_is_followed_by_its_journal(tmp_path: Path) -> None:
    with serving(tmp_path, "--journal") as site:
        _, port = site.start_another()
        async with stubs_of(site.grpc_port, port) as (one, two):
            running = one.RunStream(ticking("ticks", 300, 0.003), timeout=60)
            await anext(aiter(running))
            reading = asyncio.ensure_future(values_in(running))
            followed = await values_in(two.RunStream(ticking("ticks", 300, 0.003), timeout=60))
            assert followed == [*range(1, 301)]
            assert (await reading)[-100:] == followed[-100:]
    assert site.runs == {"ticks": 1}


@within_two_minutes
async def test_a_stream_on_the_other_server_without_a_journal_is_for_that_one_to_tell(tmp_path: Path) -> None:
    with serving(tmp_path) as site:
        _, port = site.start_another()
        async with stubs_of(site.grpc_port, port) as (one, two):
            running = one.RunStream(ticking("ticks", 1000, 0.01), timeout=60)
            await running.read()
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await two.RunStream(ticking("ticks", 1000, 0.01), timeout=60).read()
            running.cancel()
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert site.runs == {"ticks": 1}


@within_two_minutes
async def test_who_waits_for_a_server_that_is_killed_learns_that_the_call_is_lost(tmp_path: Path) -> None:
    with serving(tmp_path) as site:
        _, port = site.start_another()
        async with stubs_of(site.grpc_port, port) as (one, two):
            request = working("slow", 60.0)
            dying = asyncio.ensure_future(one.Run(request, timeout=60))
            await asyncio.to_thread(eventually, lambda: site.runs == {"slow": 1})
            waiting = asyncio.ensure_future(two.Run(request, timeout=20))
            await recorded(site, "slow")
            site.kill()
            with pytest.raises(grpc.aio.AioRpcError) as lost:
                await waiting
            assert failure_of(lost.value).reason == "INVOCATION_LOST"
            dying.cancel()
    assert site.runs == {"slow": 1}


async def recorded(site: Site, request_id: str) -> None:
    def is_there() -> bool:
        return any(each.request_id == request_id for each in History(site.database).page().invocations)

    await asyncio.to_thread(eventually, is_there)
