"""Webhooks through a real server: the same values, and the same failures, over gRPC, REST and WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from runagent_grpc.errors import Reason, RunAgentError
from runagent_grpc.testing import RunningServer, serving
from runagent_grpc.worker.webhook.function import webhook_function
from tests.waiting import on_a_loop, soon
from tests.worker.webhook.target import Answer, Flood, Request, Target, answering, begin, chunk, hook, reply, target


@asynccontextmanager
async def served(answer: Answer, **changes: Any) -> AsyncIterator[tuple[RunningServer, Target]]:
    """Serves one target as a plain and as a streaming webhook."""
    async with target(answer) as there:
        functions = {
            tag: webhook_function(hook(there.url, **{"tag": tag, **changes})) for tag in ("hook", "hook_stream")
        }
        with serving(functions) as server:
            yield server, there


async def rest(server: RunningServer, payload: Any) -> dict[str, Any]:
    async with httpx.AsyncClient() as client:
        body = {"entrypoint_tag": "hook", "input_kwargs": {"payload": payload}}
        response = await client.post(f"{server.http_url}/api/v1/agents/test-agent/run", json=body)
    answer: dict[str, Any] = {"status": response.status_code, **response.json()}
    return answer


async def frames(server: RunningServer, payload: Any) -> list[dict[str, Any]]:
    url = server.http_url.replace("http", "ws") + "/api/v1/agents/test-agent/run-stream"
    async with connect(url) as socket:
        await socket.send(json.dumps({"entrypoint_tag": "hook_stream", "input_kwargs": {"payload": payload}}))
        received = []
        # A stream that failed closes as one that did.
        with suppress(ConnectionClosedError):
            async for frame in socket:
                received.append(json.loads(frame))  # noqa: PERF401 - what came before that is wanted
        return received


def of_structured(text: str) -> Any:
    return json.loads(json.loads(text)["payload"])


async def chunks_of(server: RunningServer, payload: Any = None) -> list[Any]:
    async with server.async_client("hook_stream") as client:
        return [item async for item in client.run_stream(payload=payload)]


async def echo(request: Request, writer: asyncio.StreamWriter) -> None:
    reply(writer, request.body, "application/json")


@on_a_loop
async def test_a_value_is_the_same_on_every_wire() -> None:
    payload = {"n": 2**70, "f": 1.0, "t": "日本", "l": [None, True]}
    async with served(echo) as (server, _):
        async with server.async_client("hook") as client:
            assert json.dumps(await client.run(payload=payload)) == json.dumps(payload)
            assert json.dumps(await client.run(payload)) == json.dumps(payload)
        assert json.dumps(of_structured((await rest(server, payload))["data"])) == json.dumps(payload)


@on_a_loop
async def test_chunks_are_the_same_on_every_wire() -> None:
    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        begin(writer, "text/event-stream")
        for data in ('{"n": 1}', "two", "3.0"):
            await chunk(writer, f"data: {data}\n\n")
        await chunk(writer, "")

    async with served(answer) as (server, _):
        assert repr(await chunks_of(server)) == "[{'n': 1}, 'two', 3.0]"
        data = [of_structured(frame["content"]) for frame in await frames(server, None) if frame["type"] == "data"]
        assert repr(data) == "[{'n': 1}, 'two', 3.0]"


@on_a_loop
async def test_a_failure_is_the_same_on_every_wire() -> None:
    async with served(answering("no", "text/plain", status=502)) as (server, there):
        text = "The webhook answered 502 Bad Gateway. Try again later, or see its own log."
        async with server.async_client("hook") as client:
            with pytest.raises(RunAgentError) as caught:
                await client.run()
        assert (caught.value.reason, caught.value.message) == (Reason.EXECUTION_FAILED, text)
        with pytest.raises(RunAgentError) as caught:
            await chunks_of(server)
        assert (caught.value.reason, caught.value.message) == (Reason.EXECUTION_FAILED, text)

        answer = await rest(server, None)
        assert (answer["status"], answer["success"]) == (200, False)
        assert answer["error"]["code"] == "INTERNAL_ERROR"
        assert answer["detail"] == f"Agent execution failed: {text}"
        last = (await frames(server, None))[-1]
        assert (last["type"], last["code"], last["detail"]) == ("error", "INTERNAL_ERROR", f"Streaming error: {text}")
        assert str(there.port) not in json.dumps(answer["error"]) + json.dumps(last)


@on_a_loop
async def test_a_timeout_is_the_same_on_every_wire(caplog: pytest.LogCaptureFixture) -> None:
    async def silent(_: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with served(silent, timeout=0.2) as (server, _):
        async with server.async_client("hook") as client:
            with pytest.raises(RunAgentError, match="The webhook timed out") as caught:
                await client.run()
        assert caught.value.reason is Reason.TIMEOUT
        with pytest.raises(RunAgentError, match="The webhook timed out") as caught:
            await chunks_of(server)
        assert caught.value.reason is Reason.TIMEOUT

        answer = await rest(server, None)
        assert (answer["status"], answer["success"], answer["error"]["code"]) == (200, False, "TIMEOUT_ERROR")
        assert "timed out" in answer["detail"]
        last = (await frames(server, None))[-1]
        assert (last["type"], last["code"]) == ("error", "TIMEOUT_ERROR")
        assert "timed out" in last["detail"]
    # Nobody's code raised: what there is to know is in the text.
    assert [record for record in caplog.records if record.exc_info and record.name.startswith("runagent_grpc")] == []


@on_a_loop
async def test_arguments_that_do_not_fit_reach_no_target() -> None:
    async with served(echo, method="GET") as (server, there):
        async with server.async_client("hook") as client:
            calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [((1, 2), {}), ((), {"data": 1}), (([1],), {})]
            for args, kwargs in calls:
                with pytest.raises(RunAgentError) as caught:
                    await client.run(*args, **kwargs)
                assert caught.value.reason is Reason.VALIDATION_ERROR
        assert (await rest(server, [1]))["status"] == 422
        assert there.requests == []


@on_a_loop
async def test_a_caller_that_leaves_takes_the_targets_connection_along() -> None:
    async def endless(_: Request, writer: asyncio.StreamWriter) -> None:
        begin(writer, "application/x-ndjson")
        await chunk(writer, "1\n")
        await asyncio.Event().wait()

    async with served(endless) as (server, there), server.async_client("hook_stream") as client:
        async with client.run_stream() as stream:
            assert await anext(stream) == 1
            assert there.ended == 0
        await soon(lambda: there.ended == 1)


@on_a_loop
async def test_a_target_waits_for_a_caller_that_does_not_read() -> None:
    flood = Flood()
    async with (
        served(flood) as (server, _),
        server.async_client("hook_stream") as client,
        client.run_stream() as stream,
    ):
        await anext(stream)
        await flood.until_it_stalls(0.2)
        # The buffers on the way, of sockets, of the engine and of gRPC, and no more.
        assert flood.written < 40


@on_a_loop
async def test_connections_are_used_again_and_end_with_the_server() -> None:
    async with target(echo) as there:
        with serving({"hook": webhook_function(hook(there.url))}) as server:
            async with server.async_client("hook") as client:
                for n in range(20):
                    assert await client.run(n) == n
            assert there.connections == 1
            assert there.ended == 0
        await soon(lambda: there.ended == 1)


def folder_of(make_folder: Callable[..., Path], there: Target, **changes: Any) -> Path:
    """Writes an agent as published configurations have it: lower case, and nothing that is not needed."""
    first = {"webhook_url": there.url, "method": "post", "timeout": 60, "tag": "food_doctor"}
    return make_folder({}, [first | changes, {"webhook_url": there.url, "method": "get", "tag": "menu_stream"}])


@on_a_loop
async def test_a_published_configuration_serves_as_it_is(make_folder: Callable[..., Path]) -> None:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        reply(writer, request.body or b"[1, 2]", "application/json")

    async with target(answer) as there:
        with serving(folder_of(make_folder, there)) as server:
            async with server.async_client("food_doctor") as client:
                assert await client.run({"recipe_name": "Pancakes"}) == {"recipe_name": "Pancakes"}
                described = await client.get_agent()
            assert [(entry.tag, entry.streaming) for entry in described.entrypoints] == [
                ("food_doctor", False),
                ("menu_stream", True),
            ]
            async with server.async_client("menu_stream") as client:
                assert [item async for item in client.run_stream()] == [1, 2]


@on_a_loop
async def test_an_extractor_looks_into_what_a_webhook_answers(make_folder: Callable[..., Path]) -> None:
    async with target(echo) as there:
        folder = folder_of(make_folder, there, extractor={"name": "$.items[0].name", "price": "$.items[0].price"})
        with serving(folder) as server:
            async with server.async_client("food_doctor") as client:
                assert await client.run({"items": [{"name": "tea"}]}) == {"name": "tea", "price": None}
                # A text has no members to look for.
                assert await client.run("tea") == {"name": None, "price": None}


@on_a_loop
async def test_the_bounds_of_an_entrypoint_hold_for_a_webhook(make_folder: Callable[..., Path]) -> None:
    async def silent(_: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with target(silent) as there:
        with serving(folder_of(make_folder, there, max_timeout_seconds=0.3)) as server:
            async with server.async_client("food_doctor") as client:
                with pytest.raises(RunAgentError, match=r"Entrypoint `food_doctor` timed out after 0\.3 s") as caught:
                    await client.run()
            assert caught.value.reason is Reason.TIMEOUT
            await soon(lambda: there.ended == 1)
