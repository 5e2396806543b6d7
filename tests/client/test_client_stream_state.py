from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc.client.stream import StreamState
from runagent_grpc.errors import NotFoundError, RunAgentError, UnavailableError
from tests.client.fakes import INVOCATION_ID, chunks, completed, heartbeat, started


def texts(payloads: Any) -> list[str]:
    return [payload.text for payload in payloads]


def state_after(*events: pb.RunStreamResponse) -> StreamState:
    state = StreamState()
    for event in events:
        state.receive(event)
    return state


def test_a_stream_goes_from_started_over_its_chunks_to_completed() -> None:
    state = StreamState()
    assert (state.invocation_id, state.sequence, state.completed, state.silence_limit) == (None, 0, False, None)

    assert texts(state.receive(started(0.5))) == []
    assert (state.invocation_id, state.silence_limit) == (INVOCATION_ID, 1.5)
    assert texts(state.receive(chunks(1, "a", "b"))) == ["a", "b"]
    assert texts(state.receive(chunks(3, "c"))) == ["c"]
    assert (state.sequence, state.completed) == (3, False)
    assert texts(state.receive(completed(3))) == []
    assert state.completed
    state.end()


def test_a_server_that_names_no_interval_is_not_watched() -> None:
    assert state_after(started(0.0)).silence_limit is None


@pytest.mark.parametrize("event", [heartbeat(), pb.RunStreamResponse(), chunks(1)])
def test_an_event_that_brings_nothing_changes_nothing(event: pb.RunStreamResponse) -> None:
    state = state_after(started())
    assert texts(state.receive(event)) == []
    assert (state.sequence, state.completed) == (0, False)


def test_what_came_already_is_dropped_wholly_or_in_part() -> None:
    state = state_after(started(), chunks(1, "a", "b"))
    assert texts(state.receive(chunks(1, "a"))) == []
    assert texts(state.receive(chunks(2, "b", "c"))) == ["c"]
    assert texts(state.receive(chunks(1, "a", "b", "c", "d"))) == ["d"]
    assert state.sequence == 4


@pytest.mark.parametrize(
    ("events", "last", "words"),
    [
        ([started()], chunks(2, "b"), "Chunk 1 is missing."),
        ([started(), chunks(1, "a")], chunks(3, "c"), "Chunk 2 is missing."),
        ([started(), chunks(1, "a")], completed(2), "The entrypoint produced 2 chunks, and 1 came."),
        ([started(), chunks(1, "a", "b")], completed(1), "The entrypoint produced 1 chunks, and 2 came."),
    ],
)
def test_what_is_missing_is_an_error(events: list[Any], last: pb.RunStreamResponse, words: str) -> None:
    state = state_after(*events)
    with pytest.raises(UnavailableError) as caught:
        state.receive(last)

    assert (caught.value.reason, caught.value.message) == ("STREAM_INTERRUPTED", words)
    assert caught.value.invocation_id == INVOCATION_ID
    assert not state.completed


def test_an_end_without_completed_is_an_error() -> None:
    with pytest.raises(UnavailableError, match="ended before the entrypoint did") as caught:
        state_after(started(), chunks(1, "a")).end()

    assert (caught.value.reason, caught.value.invocation_id) == ("STREAM_INTERRUPTED", INVOCATION_ID)


def test_silence_is_an_error_that_tells_how_long_it_was() -> None:
    error = state_after(started(0.5)).fall_silent()
    assert (error.reason, error.message) == ("STREAM_INTERRUPTED", "The server fell silent for 1.5 s.")


def test_a_lost_connection_interrupts_a_stream_that_has_started_and_no_other() -> None:
    lost = UnavailableError("No server answers.", details="Connection reset")

    assert StreamState().fail(lost) is lost
    error = state_after(started()).fail(lost)

    assert (error.reason, error.details) == ("STREAM_INTERRUPTED", "Connection reset")
    assert error.invocation_id == INVOCATION_ID


@pytest.mark.parametrize("known", [None, "another"])
def test_any_other_failure_stays_what_it_is_and_names_the_invocation(known: str | None) -> None:
    failed: RunAgentError = NotFoundError("Agent not found", invocation_id=known)
    assert state_after(started()).fail(failed) is failed
    assert failed.invocation_id == known or INVOCATION_ID


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5))))
def test_whatever_overlaps_every_chunk_comes_once_and_in_order(runs: list[tuple[int, int]]) -> None:
    """Each run of chunks goes back a little behind what has come, and on from there."""
    state, came, sent = state_after(started()), [], 0
    for back, length in runs:
        first = max(1, sent + 1 - back)
        came += texts(state.receive(chunks(first, *(str(first + index) for index in range(length)))))
        sent = max(sent, first + length - 1)

    assert came == [str(number) for number in range(1, sent + 1)]
    assert state.sequence == sent
    state.receive(completed(sent))
    state.end()
