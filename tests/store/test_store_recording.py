"""What is told to the store is what history tells."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.core.call import Call
from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.errors import AbortedError, ExecutionFailedError, NotFoundError, Reason
from runagent_grpc.store import HistoryStore, RecordingSettings
from runagent_grpc.values.payload import Json, Payload, TruncatedPayload, encode
from tests.store.recording import NOON, begin, end, log, record


def test_an_invocation_is_told_with_everything_that_is_known_of_it(store: HistoryStore) -> None:
    invocation = begin(
        store, "one", owner="key", kwargs={"b": [1, 1.0]}, user_id="ada", request_id="r-1", transport="websocket"
    )
    end(store, invocation, Json('{"done":true}'))
    told = store.history.get(invocation.invocation_id)
    assert (told.agent_id, told.entrypoint_tag, told.owner) == ("agent", "chat", "key")
    assert (told.user_id, told.request_id, told.transport) == ("ada", "r-1", "websocket")
    assert (told.state, told.cause, told.reason, told.message) == (InvocationState.COMPLETED, "", None, None)
    assert (told.start_time, told.end_time, told.elapsed) == (NOON, NOON + timedelta(seconds=2), 2.0)
    assert told.input == '{"args":["one"],"kwargs":{"b":[1,1.0]}}'
    assert (told.result, told.result_size) == (Json('{"done":true}'), 13)


def test_an_invocation_that_runs_is_told_at_once(store: HistoryStore) -> None:
    invocation = begin(store)
    told = store.history.get(invocation.invocation_id)
    assert (told.state, told.end_time, told.elapsed, told.result) == (InvocationState.RUNNING, None, None, None)


def test_an_invocation_may_end_long_after_it_was_written_down(store: HistoryStore) -> None:
    invocation = begin(store, "one")
    store.flush()
    end(store, invocation, "two")
    told = store.history.get(invocation.invocation_id)
    assert (told.state, told.input, told.result) == (
        InvocationState.COMPLETED,
        '{"args":["one"],"kwargs":{}}',
        "two",
    )


@pytest.mark.parametrize(
    "value",
    [
        "",
        0,
        False,
        [],
        {},
        None,
        b"",
        b"\x00\xff",
        "null",
        "\x00",
        "dż🙂",
        2**70,
        1.0,
        float("nan"),
        float("inf"),
        [None],
    ],
    ids=repr,
)
def test_a_value_is_kept_exactly(store: HistoryStore, value: Any) -> None:
    payload = encode(value)
    told = store.history.get(record(store, payload, value))
    assert (told.result, type(told.result)) == (payload, type(payload))
    assert told.input is not None
    expected = json.loads(encode([value]))
    assert repr(json.loads(told.input)["args"]) == repr(expected)


def test_a_stream_is_told_by_its_first_and_last_chunks(store: HistoryStore) -> None:
    invocation = begin(store)
    first: list[Payload | TruncatedPayload] = ["", Json("0"), b"\xff"]
    last: list[Payload | TruncatedPayload] = [
        TruncatedPayload(beginning="long", size=99),
        TruncatedPayload(beginning=b"\xff", size=77),
        "end",
    ]
    end(store, invocation, chunk_count=1000, first_chunks=first, last_chunks=last)
    told = store.history.get(invocation.invocation_id)
    assert (told.chunk_count, list(told.first_chunks), list(told.last_chunks)) == (1000, first, last)


def test_a_failure_keeps_its_reason_and_its_whole_message(store: HistoryStore) -> None:
    text = "no \ud800" + "!" * 5000
    invocation = begin(store)
    end(store, invocation, state=InvocationState.FAILED, error=ExecutionFailedError(text))
    told = store.history.get(invocation.invocation_id)
    assert told.reason == Reason.EXECUTION_FAILED
    assert told.message == told.cause == "no ?" + "!" * 5000


def test_a_server_may_say_itself_why_something_is_lost(store: HistoryStore) -> None:
    invocation = begin(store)
    end(store, invocation, state=InvocationState.LOST, error=AbortedError("The server shut down."))
    told = store.history.get(invocation.invocation_id)
    assert (told.state, told.reason) == (InvocationState.LOST, Reason.INVOCATION_LOST)
    assert told.message == told.cause == "The server shut down."


def test_the_input_is_kept_as_it_was_whatever_the_entrypoint_makes_of_it(store: HistoryStore) -> None:
    messages = [{"role": "user"}]
    invocation = begin(store, messages)
    messages[0]["role"] = "assistant"
    messages.append({})
    assert store.history.get(invocation.invocation_id).input == '{"args":[[{"role":"user"}]],"kwargs":{}}'


def test_arguments_that_nobody_has_read_break_nothing(store: HistoryStore) -> None:
    """A call that never had a slot, so that no worker has looked at its arguments."""
    call = Call(entrypoint_tag="chat", args=[Json("[1"), "fine", b"x"], kwargs={"a": Json("NaN"), "b": Json("{}")})
    waited = replace(begin(store), invocation_id="waited", state=InvocationState.CANCELLED)
    store.started(waited, call)
    store.ended(waited)
    assert store.history.get("waited").input == (
        '{"args":["(2 characters that are no JSON)","fine","eA=="],'
        '"kwargs":{"a":"(3 characters that are no JSON)","b":{}}}'
    )


def test_output_beyond_the_limit_is_cut_to_its_beginning(database: Path) -> None:
    with HistoryStore(database, agent_id="a", settings=RecordingSettings(max_recorded_bytes=100)) as store:
        whole = store.history.get(record(store, "x" * 100))
        cut = store.history.get(record(store, "é" * 100))
        assert (whole.result, whole.result_size) == ("x" * 100, 100)
        assert (cut.result, cut.result_size) == (TruncatedPayload(beginning="é" * 100, size=200), 200)
        invocation = begin(store)
        end(store, invocation, chunk_count=3, first_chunks=["x" * 30, "y" * 30, "z" * 20])
        first = store.history.get(invocation.invocation_id).first_chunks
        assert first == ("x" * 30, TruncatedPayload(beginning="y" * 20, size=30), "z" * 20)


@pytest.mark.parametrize(
    "value",
    [
        "x" * 1_000_000,
        ["y" * 100] * 1000,
        {f"name{index}": index for index in range(5000)},
        [[[["z" * 500] * 9] * 9] * 9],
    ],
    ids=["string", "array", "object", "nested"],
)
def test_input_beyond_the_limit_is_cut_and_stays_json(database: Path, value: Any) -> None:
    with HistoryStore(database, agent_id="a", settings=RecordingSettings(max_recorded_bytes=2000)) as store:
        told = store.history.get(record(store, None, 1, kwargs={"value": value, "other": 2}))
    assert told.input is not None
    assert len(told.input) <= 2000
    cut = json.loads(told.input)
    assert (cut["args"], cut["kwargs"]["other"]) == ([1], 2)
    assert cut["kwargs"]["value"]


def test_no_payload_is_kept_where_recording_is_off(database: Path) -> None:
    with HistoryStore(database, agent_id="a", settings=RecordingSettings(record_payloads=False)) as store:
        invocation = begin(store, "private", user_id="ada")
        end(store, invocation, "private", chunk_count=2, first_chunks=["private"])
        told = store.history.get(invocation.invocation_id)
    assert (told.user_id, told.state, told.chunk_count) == ("ada", InvocationState.COMPLETED, 2)
    assert (told.input, told.result, told.first_chunks) == (None, None, ())
    with database.open("rb") as file:
        assert b"private" not in file.read()


def test_lines_are_kept_in_order_and_tied_to_their_invocation(store: HistoryStore) -> None:
    one, two = record(store), record(store)
    log(store, one, "first", level="WARNING", time=NOON + timedelta(seconds=1))
    log(store, two, "lone \ud800 \x00")
    log(store, one, "x" * 20_000)
    lines = store.history.logs().lines
    assert [(line.invocation_id, line.level) for line in lines] == [(one, "WARNING"), (two, "INFO"), (one, "INFO")]
    assert (lines[0].agent_id, lines[0].time, lines[0].text) == ("agent", NOON + timedelta(seconds=1), "first")
    assert lines[1].text == "lone ? \x00"
    assert lines[2].text == "x" * 16_384 + "... (20,000 characters)"


def test_an_unknown_id_is_not_found(store: HistoryStore) -> None:
    with pytest.raises(NotFoundError) as caught:
        store.history.get("unknown")
    assert caught.value.reason is Reason.INVOCATION_NOT_FOUND
