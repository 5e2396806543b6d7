"""One value of every kind, over every way there is to a caller: what arrives is the same, for it is encoded once."""

from __future__ import annotations

import collections
import datetime
import decimal
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from runagent_grpc.store import HistoryStore
from runagent_grpc.testing import RunningServer, serving
from runagent_grpc.values.payload import plain
from tests.bridge.http_helpers import AGENT, ask, conversation
from tests.bridge.http_helpers import run as run_by_http
from tests.frameworks.wires import WIRES, Place, run_over, stream_over
from tests.values.values import (
    AttrsLike,
    Chatty,
    Colour,
    Empty,
    ListModel,
    Model,
    MoreSlots,
    OldTree,
    Pair,
    Plain,
    Point,
    Shouting,
    Size,
    Tree,
)
from tests.waiting import eventually

KINDS: list[Any] = [
    "héllo ☃ \ud800",
    2**64 + 1,
    1.0,
    None,
    True,
    [math.nan, math.inf],
    {1: b"\x00\xff", Colour.RED: Size.SMALL, "deque": collections.deque([{1}])},
    Pair(datetime.date(2024, 1, 2), decimal.Decimal("1.10")),
    Point(1, {3}),
    Model(name="n", tags={"t"}),
    ListModel([1, 2]),
    Tree(parts=[Tree()], anything=Shouting(word="a")),
    OldTree(),
    AttrsLike(),
    Chatty(),
    MoreSlots(),
    Plain(a=Empty()),
    ValueError("bad"),
]


def kinds() -> list[Any]:
    return KINDS


def kinds_stream() -> Iterator[Any]:
    yield from KINDS


async def kinds_later_stream() -> Any:
    for kind in KINDS:
        yield kind


def echo(*values: Any) -> list[Any]:
    return list(values)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    functions = {
        "kinds": kinds,
        "listed": kinds_stream,
        "kinds_stream": kinds_stream,
        "kinds_later_stream": kinds_later_stream,
        "echo": echo,
    }
    path = tmp_path_factory.mktemp("history") / "history.db"
    with (
        HistoryStore(path, agent_id="test-agent") as store,
        serving(functions, recorder=store, history=store.served_history) as server,
    ):
        yield server


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same to the digit: 1 is not 1.0, and true is neither."""
    return json.dumps(one) == json.dumps(other)


@pytest.mark.parametrize("wire", WIRES)
def test_every_kind_arrives_alike_as_a_result_and_as_a_chunk(server: RunningServer, wire: str) -> None:
    agent = Place.of(server)
    expected = plain(KINDS)

    assert same(run_over(wire, agent, "kinds"), expected)
    assert same(run_over(wire, agent, "listed"), expected)
    for tag in ("kinds_stream", "kinds_later_stream"):
        assert same(list(stream_over(wire, agent, tag)), expected)


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_every_kind_arrives_alike_as_an_argument(server: RunningServer, transport: str) -> None:
    # What lone surrogates become in a result is an error in an argument.
    arguments = KINDS[1:]
    with Place.of(server).client("echo", transport=transport) as client:
        assert same(client.run(*arguments), plain(arguments))


def test_older_clients_get_the_same(server: RunningServer) -> None:
    answer = ask(server, "POST", f"{AGENT}/execute/kinds", json={}).json()
    data = {"action": "start_stream", "agent_id": "x", "input_data": {"input_args": [], "input_kwargs": {}}}
    heard = conversation(
        server, {"id": "stream_start", "type": "status", "data": data}, path=f"{AGENT}/execute/kinds_stream"
    )
    frames = map(json.loads, heard.frames)

    assert same(json.loads(answer["output_data"]), plain(KINDS))
    assert same([frame["data"] for frame in frames if frame["type"] == "raw_data"], plain(KINDS))


def test_history_keeps_the_same(server: RunningServer) -> None:
    invocation = f"/api/v1/invocations/{run_by_http(server, 'kinds').headers['x-invocation-id']}"
    eventually(lambda: ask(server, "GET", invocation).json().get("status") == "completed")

    kept = ask(server, "GET", invocation).json()["output_data"]
    # What stands under `secret` is masked there once more.
    assert json.dumps(kept) == json.dumps(plain(KINDS)).replace('"**********"', '"***"')
