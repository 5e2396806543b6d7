from __future__ import annotations

import asyncio
import dataclasses
import datetime
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc import current_invocation
from runagent_grpc.client import AgentDescription, AsyncRunAgentClient, EntrypointDescription, RunAgentClient
from runagent_grpc.testing import serving
from runagent_grpc.worker import Agent
from tests.client.calling import FORMS, called
from tests.client.fakes import INVOCATION_ID, chunks, completed, scripted, started

VALUES: list[Any] = [
    "",
    "text",
    "ünï 😀\x00\r\n",
    "1",
    "[1]",
    b"",
    b"\x00\xff",
    None,
    True,
    0,
    1,
    1.0,
    -0.0,
    1e308,
    2**64 + 1,
    -(10**4000),
    [],
    [1, [1.0, [None]]],
    {},
    {"a": {"ünï": [True]}, "": ""},
]


@dataclasses.dataclass
class Point:
    x: int
    y: float


def one(value: Any) -> Any:
    return value


def echo(*args: Any, **kwargs: Any) -> list[Any]:
    return [list(args), kwargs]


def names(**kwargs: Any) -> list[str]:
    return list(kwargs)


def each_name_stream(**kwargs: Any) -> Iterator[str]:
    yield from kwargs


def each_stream(*values: Any) -> Iterator[Any]:
    yield from values


async def each_soon_stream(*values: Any) -> AsyncIterator[Any]:
    for value in values:
        yield value


def exactly(value: Any) -> Any:
    """A value in which 1, 1.0 and True differ, and -0.0 and 0.0, too."""
    if isinstance(value, list):
        return [exactly(item) for item in value]
    if isinstance(value, dict):
        return {key: exactly(item) for key, item in value.items()}
    return (type(value), repr(value) if isinstance(value, float) else value)


@pytest.mark.parametrize("form", FORMS)
def test_every_kind_of_value_goes_and_comes_back_as_it_was(form: str) -> None:
    with serving({"one": one, "echo": echo}) as server:
        options = {"base_url": f"grpc://{server.target}"}
        for value in VALUES:
            assert exactly(called(form, "one", value, options=options)) == exactly(value)
        plain = [value for value in VALUES if not isinstance(value, bytes)]
        assert exactly(called(form, "echo", *plain, a=plain, options=options)) == exactly([plain, {"a": plain}])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("function", [each_stream, each_soon_stream])
def test_every_kind_of_chunk_comes_as_it_was_in_its_order(form: str, function: Callable[..., Any]) -> None:
    with serving({"each_stream": function}) as server:
        came = called(form, "each_stream", *VALUES, options={"base_url": f"grpc://{server.target}"})

    assert exactly(came) == exactly(VALUES)


@pytest.mark.parametrize("form", FORMS)
def test_python_values_travel_as_json_has_them(form: str) -> None:
    given: dict[str, Any] = {
        "point": Point(1, 2.0),
        "moment": datetime.date(2026, 3, 1),
        "id": uuid.UUID(int=0),
        "path": Path("a/b"),
        "pair": (1, 2),
    }
    with serving({"echo": echo}) as server:
        _, came = called(form, "echo", options={"base_url": f"grpc://{server.target}"}, **given)

    assert came == {
        "point": {"x": 1, "y": 2.0},
        "moment": "2026-03-01",
        "id": str(uuid.UUID(int=0)),
        "path": "a/b",
        "pair": [1, 2],
    }


@pytest.mark.parametrize("form", FORMS)
def test_every_argument_belongs_to_the_entrypoint_whatever_its_name(form: str) -> None:
    names = ["self", "timeout", "host", "agent_id", "entrypoint_tag", "args", "kwargs", "request", "class", "a b", "ü"]
    with serving({"echo": echo, "echo_stream": echo}) as server:
        options = {"base_url": f"grpc://{server.target}"}
        given = dict.fromkeys(names, 1)
        run, stream = _raw_call(form, options, given)

    assert run == [[], given]
    assert stream == [[], given]


def _raw_call(form: str, options: dict[str, Any], given: dict[str, int]) -> tuple[Any, list[Any]]:
    async def call() -> tuple[Any, list[Any]]:
        async with AsyncRunAgentClient(None, "echo", **options) as client:
            run = await client.run(**given)
        async with AsyncRunAgentClient(None, "echo_stream", **options) as client:
            return run, [chunk async for chunk in client.run_stream(**given)]

    if form == "async":
        return asyncio.run(call())
    with RunAgentClient(None, "echo", **options) as plain, RunAgentClient(None, "echo_stream", **options) as streaming:
        return plain.run(**given), list(streaming.run_stream(**given))


@pytest.mark.parametrize("form", FORMS)
def test_an_entrypoint_that_yields_nothing_is_an_empty_stream(form: str) -> None:
    with serving({"each_stream": each_stream}) as server:
        assert called(form, "each_stream", options={"base_url": f"grpc://{server.target}"}) == []


@pytest.mark.parametrize("form", FORMS)
def test_a_stream_of_many_chunks_loses_none(form: str) -> None:
    def count_stream(count: int) -> Iterator[int]:
        yield from range(count)

    with serving({"count_stream": count_stream}) as server:
        came = called(form, "count_stream", 30_000, options={"base_url": f"grpc://{server.target}"})

    assert came == list(range(30_000))


@pytest.mark.parametrize("form", FORMS)
def test_whom_a_call_is_made_for_reaches_the_entrypoint(form: str) -> None:
    def who() -> list[Any]:
        current = current_invocation()
        return [current.user_id, current.persistent_memory, current.time_remaining is not None]

    with serving({"who": who}) as server:
        options = {"base_url": f"grpc://{server.target}", "user_id": "ada", "persistent_memory": True, "timeout": 30}
        assert called(form, "who", options=options) == ["ada", True, True]


@pytest.mark.parametrize("form", FORMS)
def test_a_call_says_that_a_lost_caller_may_come_back(form: str) -> None:
    with scripted(started(), chunks(1, "a"), completed(1)) as server:
        assert called(form, "any_stream", 1, b=2, options={"base_url": server.base_url, "user_id": "ada"}) == ["a"]
        (call,) = server.calls

    assert (call.entrypoint_tag, call.user_id, call.agent_id) == ("any_stream", "ada", "")
    assert call.on_disconnect == 2  # ON_DISCONNECT_LINGER
    assert call.resume_window.seconds == 10
    assert (call.args[0].json, call.keywords[0].name, call.keywords[0].value.json) == ("1", "b", "2")


@pytest.mark.parametrize("transport", ["grpc", "http"])
@pytest.mark.parametrize("form", FORMS)
def test_keyword_arguments_arrive_in_the_callers_order(form: str, transport: str) -> None:
    order = ["z", "a", "10", "ünï", "9", *map(str, range(100, 50, -1)), "b"]
    kwargs: dict[str, Any] = dict.fromkeys(order, 1)
    with serving({"names": names, "names_stream": each_name_stream}) as server:
        base_url = f"grpc://{server.target}" if transport == "grpc" else server.http_url
        options = {"base_url": base_url, "transport": transport}
        for tag in ("names", "names_stream"):
            assert called(form, tag, options=options, **kwargs) == order


@pytest.mark.parametrize("form", FORMS)
def test_a_large_value_passes(form: str) -> None:
    with serving({"one": one}) as server:
        value = bytes(20 * 1024 * 1024)
        assert called(form, "one", value, options={"base_url": f"grpc://{server.target}"}) == value


def test_agents_are_described() -> None:
    def describe(count: int) -> str:
        """Counts."""
        return str(count)

    agent = Agent.from_functions(
        {"describe": describe, "each_stream": each_stream}, agent_id="words", agent_name="Words", version="1"
    )

    async def ask(base_url: str) -> tuple[list[AgentDescription], AgentDescription]:
        async with AsyncRunAgentClient("words", base_url=base_url) as client:
            return await client.list_agents(), await client.get_agent()

    with serving(agent) as server, server.client() as client:
        listed, described = client.list_agents(), client.get_agent()
        assert asyncio.run(ask(f"grpc://{server.target}")) == (listed, described)

    assert [entry.input_schema for entry in listed[0].entrypoints] == [{}, {}]
    assert (described.agent_id, described.agent_name, described.version) == ("words", "Words", "1")
    first, second = described.entrypoints
    assert isinstance(first, EntrypointDescription)
    assert (first.tag, first.streaming, first.description) == ("describe", False, "Counts.")
    assert first.input_schema["required"] == ["count"]
    assert second.streaming


@pytest.mark.parametrize("form", FORMS)
def test_an_invocation_can_be_cancelled_from_elsewhere(form: str) -> None:
    known: list[str] = []
    running = threading.Event()

    async def endless_stream() -> AsyncIterator[int]:
        known.append(current_invocation().invocation_id)
        running.set()
        yield 1
        await asyncio.Event().wait()

    async def cancel_soon(base_url: str) -> None:
        async with AsyncRunAgentClient(base_url=base_url) as client:
            await client.cancel(known[0])

    with serving({"endless_stream": endless_stream}) as server:
        stream = server.client("endless_stream").run()
        assert next(stream) == 1
        running.wait(10)
        if form == "async":
            asyncio.run(cancel_soon(f"grpc://{server.target}"))
        else:
            server.client().cancel(known[0])
        with pytest.raises(Exception, match="The invocation was cancelled") as caught:
            next(stream)

    assert (caught.value.reason, caught.value.invocation_id) == ("CANCELLED", known[0])  # type: ignore[attr-defined]
    assert stream.invocation_id == known[0]


@pytest.mark.parametrize("form", FORMS)
def test_a_stream_knows_its_invocation_once_it_has_started(form: str) -> None:
    async def ids(base_url: str) -> list[str | None]:
        async with AsyncRunAgentClient(None, "any_stream", base_url=base_url) as client:
            stream = client.run_stream()
            return [stream.invocation_id, await anext(stream), stream.invocation_id]

    with scripted(started(), chunks(1, "a"), completed(1)) as server:
        if form == "async":
            assert asyncio.run(ids(server.base_url)) == [None, "a", INVOCATION_ID]
        else:
            with RunAgentClient(None, "any_stream", base_url=server.base_url) as client:
                stream = client.run_stream()
                assert [stream.invocation_id, next(stream), stream.invocation_id] == [None, "a", INVOCATION_ID]


@pytest.mark.parametrize("form", FORMS)
def test_an_iterator_stays_at_its_end(form: str) -> None:
    async def ends(base_url: str) -> list[str]:
        async with AsyncRunAgentClient(None, "any_stream", base_url=base_url) as client:
            stream = client.run_stream()
            return [await anext(stream, "end") for _ in range(4)]

    with scripted(started(), chunks(1, "a"), completed(1)) as server:
        if form == "async":
            assert asyncio.run(ends(server.base_url)) == ["a", "end", "end", "end"]
        else:
            with RunAgentClient(None, "any_stream", base_url=server.base_url) as client:
                stream = client.run_stream()
                assert [next(stream, "end") for _ in range(4)] == ["a", "end", "end", "end"]
        assert server.cancelled == []


def test_a_closed_client_connects_again_when_it_is_used_again() -> None:
    async def twice(base_url: str) -> list[int]:
        client = AsyncRunAgentClient(None, "one", base_url=base_url)
        values = []
        for value in (1, 2):
            async with client:
                values.append(await client.run(value))
        return values

    with serving({"one": one}) as server:
        client = server.client("one")
        for value in (1, 2):
            with client:
                assert client.run(value) == value
        client.close()
        client.close()
        assert asyncio.run(twice(f"grpc://{server.target}")) == [1, 2]


def test_a_stream_tells_when_it_has_started_before_anything_comes() -> None:
    gate = threading.Event()

    def gated_stream() -> Iterator[str]:
        gate.wait(10)
        yield current_invocation().invocation_id

    def opened(invocation_id: str) -> None:
        told.append(invocation_id)
        gate.set()

    async def streamed() -> list[Any]:
        async with server.async_client("gated_stream") as client, client.run_stream() as stream:
            stream.when_started(opened)
            return [chunk async for chunk in stream]

    told: list[str] = []
    with serving({"gated_stream": gated_stream}) as server:
        with server.client("gated_stream") as client, client.run_stream() as stream:
            stream.when_started(opened)
            assert list(stream) == told
        told.clear()
        gate.clear()
        assert asyncio.run(streamed()) == told
