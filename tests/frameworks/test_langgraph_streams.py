"""LangGraph's own callables under a tag: everything that a graph hands out arrives alike over every wire, as JSON."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from runagent_grpc.testing import serving
from tests.client.calling import FORMS, error_of_call
from tests.frameworks.graphs import WHEN, WHICH, Endless, asking, chatting, counting, failing, nested, talking
from tests.frameworks.wires import WIRES, Place, run_over, stream_over
from tests.waiting import eventually

MODES: list[Any] = ["values", "updates", "messages", "custom", ["updates", "messages", "custom"], "tasks", "debug"]
TAGS = ["talk_stream", "talk_async_stream", "nested_stream", "nested_async_stream"]

ASKED = {"type": "human", "content": "rain", "id": "asked", "name": None}
FINDING = {"when": WHEN.isoformat(), "which": str(WHICH)}

_RANDOM = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}|[0-9a-f]{32}")
_TIMES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00")


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    talk, outer, chat, ask, fail = talking(), nested(), chatting(), asking(), failing()
    functions: dict[str, Callable[..., Any]] = {
        "talk": talk.invoke,
        "talk_async": talk.ainvoke,
        "talk_stream": talk.stream,
        "talk_async_stream": talk.astream,
        "nested_stream": outer.stream,
        "nested_async_stream": outer.astream,
        "chat": chat.invoke,
        "chat_async_stream": chat.astream,
        "ask_stream": ask.stream,
        "fail": fail.invoke,
        "fail_stream": fail.stream,
        "fail_async_stream": fail.astream,
        "count_stream": counting(22).stream,
    }
    with serving(functions) as server:
        yield Place.of(server)


def alike(chunks: list[Any]) -> list[Any]:
    """Returns the chunks with what every run makes up anew, ids and times, numbered in the order that it comes."""
    numbers = itertools.count()
    seen: dict[str, str] = {}

    def numbered(match: re.Match[str]) -> str:
        return seen.setdefault(match[0], f"ID{next(numbers)}")

    masked: list[Any] = json.loads(_TIMES.sub("TIME", _RANDOM.sub(numbered, json.dumps(chunks))))
    return masked


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("tag", TAGS)
def test_a_stream_is_the_same_over_every_wire(place: Place, tag: str, mode: Any) -> None:
    options = {"stream_mode": mode, "subgraphs": tag.startswith("nested")}
    streams = [alike(list(stream_over(wire, place, tag, {"topic": "rain"}, **options))) for wire in WIRES]
    assert streams[0]
    for wire, stream in zip(WIRES, streams, strict=True):
        assert stream == streams[0], wire


@pytest.mark.parametrize("tag", ["talk", "talk_async"])
def test_a_result_is_the_same_over_every_wire(place: Place, tag: str) -> None:
    results = [run_over(wire, place, tag, input={"topic": "rain"}) for wire in WIRES]
    assert results[0]["notes"] == ["about rain"]
    assert [message["content"] for message in results[0]["messages"]] == ["rain", "One, two, three."]
    assert all(alike([result]) == alike([results[0]]) for result in results)


@pytest.mark.parametrize("tag", ["talk_stream", "talk_async_stream"])
def test_values_and_updates_hold_messages_by_their_fields(place: Place, tag: str) -> None:
    values = list(stream_over("stub", place, tag, {"topic": "rain"}, stream_mode="values"))
    assert [len(value["messages"]) for value in values] == [0, 1, 2]
    assert ASKED.items() <= values[-1]["messages"][0].items()
    updates = list(stream_over("stub", place, tag, {"topic": "rain"}, stream_mode="updates"))
    assert [list(update) for update in updates] == [["research"], ["reply"]]
    assert updates[1]["reply"]["messages"][0]["content"] == "One, two, three."


@pytest.mark.parametrize("tag", ["talk_stream", "talk_async_stream"])
def test_messages_come_in_pieces_each_with_its_metadata(place: Place, tag: str) -> None:
    pairs = list(stream_over("stub", place, tag, {"topic": "rain"}, stream_mode="messages"))
    said = [message["content"] for message, metadata in pairs if metadata["langgraph_node"] == "reply"]
    assert (len(said) > 3, "".join(said)) == (True, "One, two, three.")
    assert {message["type"] for message, _ in pairs} == {"human", "AIMessageChunk"}


@pytest.mark.parametrize("tag", ["talk_stream", "talk_async_stream"])
def test_what_a_node_tells_on_the_side_is_plain_json(place: Place, tag: str) -> None:
    assert list(stream_over("stub", place, tag, {"topic": "rain"}, stream_mode="custom")) == [FINDING]
    several = list(stream_over("stub", place, tag, {"topic": "rain"}, stream_mode=["custom", "updates"]))
    assert several[0] == ["custom", FINDING]
    assert [mode for mode, _ in several] == ["custom", "updates", "updates"]


@pytest.mark.parametrize("tag", ["nested_stream", "nested_async_stream"])
def test_subgraphs_say_where_a_chunk_is_from(place: Place, tag: str) -> None:
    chunks = list(stream_over("stub", place, tag, {"topic": "rain"}, stream_mode="updates", subgraphs=True))
    assert [(len(path), list(update)) for path, update in chunks] == [
        (1, ["research"]),
        (1, ["reply"]),
        (0, ["inner"]),
    ]


@pytest.mark.parametrize("wire", WIRES)
def test_an_interrupt_is_told_with_what_it_asks(place: Place, wire: str) -> None:
    config = {"configurable": {"thread_id": f"interrupted over {wire}"}}
    (chunk,) = stream_over(wire, place, "ask_stream", {"plan": "sleep"}, config)
    (told,) = chunk["__interrupt__"]
    assert told["value"] == {"question": "May I?", "plan": "sleep"}
    assert isinstance(told["id"], str)


@pytest.mark.parametrize("tag", ["fail", "fail_stream", "fail_async_stream"])
@pytest.mark.parametrize("transport", ["grpc", "http"])
@pytest.mark.parametrize("form", FORMS)
def test_an_error_in_a_node_is_the_calls_error_after_the_chunks_before_it(
    place: Place, tag: str, transport: str, form: str
) -> None:
    chunks: list[Any] = []
    error = error_of_call(form, tag, {"topic": "rain"}, chunks=chunks, options=place.address(transport))
    assert "nothing is known of RAIN" in error.message
    assert (error.code, error.reason) == ("INTERNAL_ERROR", "EXECUTION_FAILED")
    assert chunks == ([{"start": {"topic": "RAIN"}}] if tag.endswith("_stream") else [])


@pytest.mark.parametrize("wire", WIRES)
def test_a_thread_remembers_what_was_said_in_the_call_before(place: Place, wire: str) -> None:
    config = {"configurable": {"thread_id": f"remembered over {wire}"}}
    said = {"messages": [{"role": "user", "content": "Hello"}]}
    assert run_over(wire, place, "chat", input=said, config=config)["messages"][-1]["content"] == "That makes 1."
    *_, last = stream_over(wire, place, "chat_async_stream", said, config=config, stream_mode="values")
    assert [message["content"] for message in last["messages"]] == ["Hello", "That makes 1.", "Hello", "That makes 3."]
    assert len(run_over(wire, place, "chat", input=said, config={"configurable": {"thread_id": wire}})["messages"]) == 2


def test_what_a_graph_refuses_is_told_by_the_graph(place: Place) -> None:
    error = error_of_call("sync", "chat", {"messages": []}, options=place.address("grpc"))
    assert "thread_id" in error.message


def test_a_mode_that_there_is_not_is_refused_before_the_graph_runs(place: Place) -> None:
    options = place.address("grpc")
    error = error_of_call("sync", "talk_stream", {"topic": "rain"}, stream_mode="everything", options=options)
    assert error.reason == "VALIDATION_ERROR"


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_twenty_streams_at_once_keep_to_themselves(place: Place, transport: str) -> None:
    def count(start: int) -> list[Any]:
        with place.client("count_stream", transport=transport) as client:
            return list(client.run(input={"number": start}))

    with ThreadPoolExecutor(20) as pool:
        streams = list(pool.map(count, range(20)))
    assert streams == [[{"add": {"number": number}} for number in range(start + 1, 23)] for start in range(20)]


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_a_caller_that_leaves_ends_a_graph_in_the_middle_of_a_node(transport: str) -> None:
    endless = Endless()
    with serving({"wait_stream": endless.asynchronous().astream}) as server:
        with (
            Place.of(server).client("wait_stream", transport=transport) as client,
            client.run_stream({"topic": "rain"}, stream_mode="custom") as chunks,
        ):
            assert next(chunks) == "begun"
        eventually(lambda: endless.told == ["finally"])


@pytest.mark.parametrize("tag", ["wait", "wait_stream"])
def test_a_deadline_ends_a_graph_in_the_middle_of_a_node(tag: str) -> None:
    endless = Endless()
    graph = endless.asynchronous()
    with serving({"wait_stream": graph.astream, "wait": graph.ainvoke}) as server:
        options = {**Place.of(server).address("grpc"), "timeout": 0.5}
        assert error_of_call("sync", tag, {"topic": "rain"}, options=options).code == "TIMEOUT_ERROR"
        eventually(lambda: endless.told == ["finally"])


def test_a_blocking_graph_ends_at_its_next_chunk_and_runs_no_other_node() -> None:
    endless = Endless()
    with serving({"wait_stream": endless.blocking().stream}) as server:
        with (
            Place.of(server).client("wait_stream") as client,
            client.run_stream({"topic": "rain"}, stream_mode=["custom", "updates"]) as chunks,
        ):
            assert next(chunks) == ["custom", "begun"]
        endless.let_go.set()
        eventually(lambda: endless.told == ["finally"])
    assert endless.told == ["finally"]
