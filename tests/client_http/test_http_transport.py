"""The REST and WebSocket transport against our own server: the same values, errors and endings as over gRPC."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from runagent_grpc.client import AsyncRunAgentClient, RunAgentClient, RunAgentError
from runagent_grpc.client.address import Address
from runagent_grpc.testing import RunningServer, serving
from tests.client.calling import FORMS, called, error_of_call
from tests.client_http.fakes import answering
from tests.waiting import eventually, on_a_loop, soon

KEY = "right-key-5f1e"

running = threading.Event()
over = threading.Event()


def one(value: Any = None) -> Any:
    return value


def many_stream(values: Any = ()) -> Iterator[Any]:
    yield from values


def typed(count: int) -> int:
    return count


def fail(text: str) -> None:
    raise LookupError(text)


def fail_stream(*before: int) -> Iterator[int]:
    yield from before
    raise LookupError("It broke.")


async def endless() -> None:
    try:
        running.set()
        await asyncio.Event().wait()
    finally:
        over.set()


async def ticks_stream() -> AsyncIterator[int]:
    try:
        for tick in range(10**9):
            yield tick
            await asyncio.sleep(0.001)
    finally:
        over.set()


ENTRYPOINTS: dict[str, Any] = {
    "one": one,
    "one_stream": one,
    "many_stream": many_stream,
    "typed": typed,
    "typed_stream": typed,
    "fail": fail,
    "fail_stream": fail_stream,
    "endless": endless,
    "endless_stream": endless,
    "ticks_stream": ticks_stream,
}

VALUES: list[Any] = [None, True, 0, -1, 2**70, 1.0, 1.5e300, "", "héllo 🌍 \u2028\x00", [], {}, {"a": [1, {"": None}]}]


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving(ENTRYPOINTS) as server:
        yield server


@pytest.fixture
def http(server: RunningServer) -> dict[str, Any]:
    over.clear()
    running.clear()
    return {"base_url": server.http_url, "transport": "http"}


@pytest.mark.parametrize("form", FORMS)
def test_values_and_chunks_come_as_they_are(http: dict[str, Any], form: str) -> None:
    for value in VALUES:
        came = called(form, "one", value, options=http)
        assert (came, type(came)) == (value, type(value))
    assert called(form, "many_stream", VALUES, options=http) == VALUES
    assert called(form, "many_stream", values=list(range(3000)), options=http) == list(range(3000))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("tag", "args"),
    [
        ("nothing", ()),
        ("nothing_stream", ()),
        ("typed", ("many",)),
        ("typed_stream", ("many",)),
        ("typed", ()),
        ("typed", (1, 2)),
        ("one", ("\ud800",)),
        ("", ()),
        ("fail", ("It broke.",)),
        ("fail", ("",)),
        ("fail", ("Agent not found",)),
        ("fail_stream", ()),
        ("fail_stream", (1, 2)),
    ],
)
def test_every_failure_is_the_same_as_over_grpc(
    server: RunningServer, http: dict[str, Any], form: str, tag: str, args: tuple[Any, ...]
) -> None:
    def told(options: dict[str, Any]) -> tuple[Any, ...]:
        chunks: list[Any] = []
        error = error_of_call(form, tag, *args, chunks=chunks, options=options)
        return type(error), error.reason, error.code, error.message, error.field, error.suggestion, chunks

    assert told(http) == told({"base_url": f"grpc://{server.target}"})


@pytest.mark.parametrize("tag", ["one", "one_stream"])
def test_another_agent_is_unknown_over_both(server: RunningServer, http: dict[str, Any], tag: str) -> None:
    for options in (http, {"base_url": f"grpc://{server.target}"}):
        with RunAgentClient("another", tag, **options) as client, pytest.raises(RunAgentError) as caught:
            list(client.run())
        assert caught.value.reason == "AGENT_NOT_FOUND"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tag", ["endless", "ticks_stream"])
def test_a_timeout_is_kept_and_ends_the_work(http: dict[str, Any], form: str, tag: str) -> None:
    error = error_of_call(form, tag, options=http | {"timeout": 0.3})
    assert (error.reason, error.code) == ("TIMEOUT", "TIMEOUT_ERROR")
    assert "timed out after 0.3 s." in error.message
    assert over.wait(10)


@pytest.mark.parametrize("form", FORMS)
def test_a_key_opens_a_server_that_asks_for_one(form: str) -> None:
    with serving(ENTRYPOINTS, api_keys=(KEY,)) as server:
        http = {"base_url": server.http_url, "transport": "http"}
        assert called(form, "one", 1, options=http | {"api_key": KEY}) == 1
        assert called(form, "many_stream", [1], options=http | {"api_key": KEY}) == [1]
        for key in (None, "wrong"):
            for tag in ("one", "many_stream"):
                error = error_of_call(form, tag, options=http | {"api_key": key})
                grpc = error_of_call(form, tag, options={"base_url": f"grpc://{server.target}", "api_key": key})
                assert (error.reason, error.message, error.suggestion) == (grpc.reason, grpc.message, grpc.suggestion)


def test_a_stream_knows_its_invocation_and_counts_its_chunks(http: dict[str, Any]) -> None:
    with RunAgentClient(None, "many_stream", **http) as client:
        stream = client.run_stream(["a", "b"])
        assert next(stream) == "a"
        assert stream.invocation_id
        assert list(stream) == ["b"]
        assert next(stream, "end") == "end"


def test_closing_a_stream_ends_its_generator(http: dict[str, Any]) -> None:
    with RunAgentClient(None, "ticks_stream", **http) as client, client.run_stream() as ticks:
        assert [next(ticks), next(ticks)] == [0, 1]
        ticks.close()
        assert over.wait(10)
        assert list(ticks) == []


def test_dropping_a_stream_ends_its_generator(http: dict[str, Any]) -> None:
    with RunAgentClient(None, "ticks_stream", **http) as client:
        ticks = client.run_stream()
        next(ticks)
        del ticks
        gc.collect()
        assert over.wait(10)


def test_a_stream_that_another_thread_closes_wakes_its_reader(http: dict[str, Any]) -> None:
    with (
        RunAgentClient(None, "endless_stream", **http) as client,
        ThreadPoolExecutor(1) as pool,
        client.run_stream() as stream,
    ):
        reading = pool.submit(next, stream, "end")
        eventually(lambda: stream.invocation_id)
        stream.close()
        error = reading.exception(10)
    # It may just have been between two events, where a closed stream has ended.
    assert error is None or (isinstance(error, RunAgentError) and error.reason == "CANCELLED")
    assert over.wait(10)


@pytest.mark.parametrize("form", FORMS)
def test_closing_a_client_ends_its_streams(server: RunningServer, http: dict[str, Any], form: str) -> None:
    async def close_soon(options: dict[str, Any]) -> None:
        async with AsyncRunAgentClient(None, "endless_stream", **options) as client:
            stream = client.run_stream()
            reading = asyncio.ensure_future(anext(stream))
            await soon(lambda: stream.invocation_id)
        await reading

    def close(options: dict[str, Any]) -> None:
        client = RunAgentClient(None, "endless_stream", **options)
        with ThreadPoolExecutor(1) as pool, client.run_stream() as stream:
            reading = pool.submit(next, stream)
            eventually(lambda: stream.invocation_id)
            client.close()
            reading.result(10)

    for options in (http, {"base_url": f"grpc://{server.target}"}):
        with pytest.raises(RunAgentError) as caught:
            asyncio.run(close_soon(options)) if form == "async" else close(options)
        assert caught.value.reason == "CANCELLED"


@on_a_loop
async def test_closing_a_stream_ends_its_generator_on_a_loop() -> None:
    over.clear()
    with serving(ENTRYPOINTS) as server:
        async with AsyncRunAgentClient(None, "ticks_stream", base_url=server.http_url, transport="http") as client:
            async with client.run_stream() as ticks:
                assert [await anext(ticks), await anext(ticks)] == [0, 1]
                assert ticks.invocation_id
            await soon(over.is_set)
            assert [tick async for tick in ticks] == []


@on_a_loop
async def test_dropping_a_stream_ends_its_generator_on_a_loop() -> None:
    over.clear()
    with serving(ENTRYPOINTS) as server:
        async with AsyncRunAgentClient(None, "ticks_stream", base_url=server.http_url, transport="http") as client:
            ticks = client.run_stream()
            await anext(ticks)
            del ticks
            gc.collect()
            await soon(over.is_set)


@pytest.mark.parametrize("tag", ["endless", "endless_stream"])
def test_a_task_that_is_cancelled_cancels_its_call(http: dict[str, Any], tag: str) -> None:
    async def cancel_soon() -> None:
        async with AsyncRunAgentClient(None, tag, **http) as client:

            async def call() -> None:
                result = await client.run()
                async for _ in result:
                    pass

            task = asyncio.create_task(call())
            await soon(running.is_set)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await soon(over.is_set)

    asyncio.run(cancel_soon())


def test_threads_share_a_client(http: dict[str, Any]) -> None:
    with (
        RunAgentClient(None, "one", **http) as client,
        RunAgentClient(None, "many_stream", **http) as streaming,
        ThreadPoolExecutor(16) as pool,
    ):
        assert list(pool.map(client.run, range(100))) == list(range(100))
        assert list(pool.map(lambda n: list(streaming.run([n, n])), range(40))) == [[n, n] for n in range(40)]


def test_large_values_and_chunks_come_whole(http: dict[str, Any]) -> None:
    large = "x" * (5 << 20)
    assert called("sync", "one", large, options=http) == large
    assert called("async", "many_stream", [large[: 1 << 20]] * 3, options=http) == [large[: 1 << 20]] * 3


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("tag", "size"), [("one", 21 << 20), ("one_stream", 21 << 20)])
def test_a_call_that_is_too_large_is_refused(http: dict[str, Any], form: str, tag: str, size: int) -> None:
    error = error_of_call(form, tag, "x" * size, options=http)
    assert error.reason == "PAYLOAD_TOO_LARGE"


@pytest.mark.parametrize("form", FORMS)
def test_the_agent_is_described_as_over_grpc(server: RunningServer, http: dict[str, Any], form: str) -> None:
    async def described_soon(options: dict[str, Any]) -> Any:
        async with AsyncRunAgentClient(**options) as client:
            return await client.get_agent(), await client.list_agents()

    def described(options: dict[str, Any]) -> Any:
        if form == "async":
            return asyncio.run(described_soon(options))
        with RunAgentClient(**options) as client:
            return client.get_agent(), client.list_agents()

    assert described(http) == described({"base_url": f"grpc://{server.target}"})


def error_of_cancel(form: str, options: dict[str, Any], invocation_id: str) -> RunAgentError:
    async def cancel_soon() -> None:
        async with AsyncRunAgentClient(**options) as client:
            await client.cancel(invocation_id)

    with pytest.raises(RunAgentError) as caught, RunAgentClient(**options) as client:
        asyncio.run(cancel_soon()) if form == "async" else client.cancel(invocation_id)
    return caught.value


@pytest.mark.parametrize("form", FORMS)
def test_an_invocation_is_cancelled_by_its_id(http: dict[str, Any], form: str) -> None:
    async def cancel_soon(invocation_id: str) -> None:
        async with AsyncRunAgentClient(**http) as client:
            await client.cancel(invocation_id)

    with RunAgentClient(None, "ticks_stream", **http) as client:
        stream = client.run_stream()
        next(stream)
        assert stream.invocation_id
        asyncio.run(cancel_soon(stream.invocation_id)) if form == "async" else client.cancel(stream.invocation_id)
        with pytest.raises(RunAgentError) as caught:
            list(stream)
    assert (caught.value.reason, caught.value.invocation_id) == ("CANCELLED", stream.invocation_id)
    assert error_of_cancel(form, http, "another").reason == "INVOCATION_NOT_FOUND"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("status", [404, 405])
def test_a_published_server_cannot_cancel_by_an_id(form: str, status: int) -> None:
    with answering(status, {"detail": "Not Found"}) as server:
        error = error_of_cancel(form, {"base_url": server.base_url, "transport": "http"}, "any")
    assert error.reason == "CONNECTION_ERROR"
    assert "cannot cancel an invocation by its id" in error.message
    assert "gRPC port" in (error.suggestion or "")


def test_a_client_that_was_closed_connects_again(http: dict[str, Any]) -> None:
    client = RunAgentClient(None, "one", **http)
    with client:
        assert client.run(1) == 1
    assert client.run(2) == 2
    client.close()
    client.close()


def test_a_server_that_serves_no_grpc_is_spoken_to_all_the_same(server: RunningServer) -> None:
    assert called("sync", "one", 1, options={"host": server.host, "port": server.http_port}) == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tag", ["one", "one_stream"])
def test_nobody_there_is_told_as_over_grpc(form: str, tag: str) -> None:
    with serving(ENTRYPOINTS) as gone:
        address = Address(host=gone.host, port=gone.http_port)
    error = error_of_call(form, tag, options={"base_url": f"http://{address}", "transport": "http"})
    assert (error.reason, error.message) == ("CONNECTION_ERROR", f"No server answers at {address}.")


@pytest.mark.parametrize("host", ["a b", "nul\x00", "x" * 300, "no.such.host.invalid", "ü"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tag", ["one", "one_stream"])
def test_a_host_that_is_none_is_nobody(form: str, tag: str, host: str) -> None:
    error = error_of_call(form, tag, options={"host": host, "port": 1, "transport": "http"})
    assert error.reason == "CONNECTION_ERROR"


@pytest.mark.parametrize("form", FORMS)
def test_a_server_that_shuts_down_gives_up_its_streams(form: str) -> None:
    errors: list[RunAgentError] = []
    began = [threading.Event(), threading.Event()]

    def read(options: dict[str, Any], begun: threading.Event) -> None:
        class Chunks(list[Any]):
            def append(self, chunk: Any) -> None:
                begun.set()

        errors.append(error_of_call(form, "ticks_stream", chunks=Chunks(), options=options | {"retry_seconds": 0}))

    with ThreadPoolExecutor(2) as pool:
        with serving(ENTRYPOINTS) as server:
            for begun, options in zip(
                began,
                ({"base_url": server.http_url, "transport": "http"}, {"base_url": f"grpc://{server.target}"}),
                strict=True,
            ):
                pool.submit(read, options, begun)
            assert all(begun.wait(10) for begun in began)
        eventually(lambda: len(errors) == 2)
    # A WebSocket tells that the server goes away; whoever comes back hears what became of the stream.
    assert {error.reason for error in errors} == {"SHUTTING_DOWN", "INVOCATION_LOST"}
