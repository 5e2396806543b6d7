from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import call_pb2
from runagent_grpc.client.deadline import Deadline
from runagent_grpc.client.retry import PeerStatus, Retry
from runagent_grpc.client.stream import StreamState
from runagent_grpc.errors import (
    AbortedError,
    InternalError,
    NotFoundError,
    ReplayExpiredError,
    RunAgentError,
    UnavailableError,
)
from tests.client.fakes import INVOCATION_ID, chunks, completed, heartbeat, started

CALL = call_pb2.Call(entrypoint_tag="any_stream", request_id="the-request", on_disconnect=call_pb2.ON_DISCONNECT_LINGER)


def texts(payloads: Any) -> list[str]:
    return [payload.text for payload in payloads]


def state_of(source: pb.RunStreamRequest | None = None, *, seconds: float = 30.0) -> StreamState:
    retry = Retry(seconds, Deadline(None), clock=lambda: 0.0, chance=lambda: 1.0)
    return StreamState(source or pb.RunStreamRequest(call=CALL), retry)


def state_after(*events: pb.RunStreamResponse, seconds: float = 30.0) -> StreamState:
    state = state_of(seconds=seconds)
    for event in events:
        state.receive(event)
    return state


def resume_of(after: int) -> pb.RunStreamRequest:
    return pb.RunStreamRequest(resume=pb.ResumePoint(invocation_id=INVOCATION_ID, after_sequence=after))


def test_a_stream_goes_from_started_over_its_chunks_to_completed() -> None:
    state = state_of()
    assert (state.invocation_id, state.sequence, state.completed, state.silence_limit) == (None, 0, False, None)

    assert texts(state.receive(started(0.5))) == []
    assert (state.invocation_id, state.silence_limit) == (INVOCATION_ID, 1.5)
    assert texts(state.receive(chunks(1, "a", "b"))) == ["a", "b"]
    assert texts(state.receive(chunks(3, "c"))) == ["c"]
    assert (state.sequence, state.completed) == (3, False)
    assert texts(state.receive(completed(3))) == []
    assert state.completed


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


def test_a_stream_of_another_invocation_is_an_error() -> None:
    state = state_of(pb.RunStreamRequest(resume=pb.ResumePoint(invocation_id="another")))
    with pytest.raises(InternalError, match="another invocation") as caught:
        state.receive(started())
    assert caught.value.invocation_id == "another"


def test_what_is_asked_for_is_the_call_until_it_has_started_and_then_the_rest() -> None:
    state = state_of()
    assert state.request == pb.RunStreamRequest(call=CALL)
    state.receive(started())
    assert state.request == resume_of(0)
    state.receive(chunks(1, "a", "b"))
    assert state.request == resume_of(2)


def test_a_stream_that_is_resumed_begins_behind_what_its_caller_has() -> None:
    state = state_of(resume_of(2))
    assert (state.invocation_id, state.request) == (INVOCATION_ID, resume_of(2))
    state.receive(started())
    assert texts(state.receive(chunks(3, "c"))) == ["c"]
    state.receive(completed(3))
    assert state.completed


def test_whoever_leaves_says_what_to_cancel_by_the_ids_that_they_know() -> None:
    assert state_of().cancel_request == pb.CancelInvocationRequest(request_id="the-request")
    cancel_request = pb.CancelInvocationRequest(invocation_id=INVOCATION_ID, request_id="the-request")
    assert state_after(started()).cancel_request == cancel_request


def test_whoever_detaches_or_resumes_cancels_nothing_by_leaving() -> None:
    detached = call_pb2.Call(request_id="the-request", on_disconnect=call_pb2.ON_DISCONNECT_DETACH)
    assert state_of(pb.RunStreamRequest(call=detached)).cancel_request is None
    assert state_of(resume_of(0)).cancel_request is None


def error_of(state: StreamState, failure: RunAgentError | None) -> RunAgentError:
    """The error that a failure, or an end, means where nothing is tried again."""
    with pytest.raises(RunAgentError) as caught:
        state.end(PeerStatus.ANSWER) if failure is None else state.fail(failure, PeerStatus.ANSWER)
    return caught.value


def test_an_end_without_completed_is_an_error() -> None:
    error = error_of(state_after(started(), chunks(1, "a"), seconds=0), None)
    assert (error.reason, error.invocation_id) == ("STREAM_INTERRUPTED", INVOCATION_ID)
    assert "ended before the entrypoint did" in error.message


def test_silence_is_an_error_that_tells_how_long_it_was() -> None:
    with pytest.raises(UnavailableError) as caught:
        state_after(started(0.5), seconds=0).fall_silent(PeerStatus.ANSWER)
    assert caught.value.reason == "STREAM_INTERRUPTED"
    assert caught.value.message == "The server fell silent for 1.5 s."


def test_a_lost_connection_interrupts_a_stream_that_has_started_and_no_other() -> None:
    lost = UnavailableError("No server answers.", details="Connection reset")

    assert error_of(state_of(seconds=0), lost) is lost
    resumed = error_of(state_of(resume_of(1), seconds=0), lost)
    assert vars(resumed) == vars(lost) | {"invocation_id": INVOCATION_ID}
    error = error_of(state_after(started(), seconds=0), lost)

    assert (error.reason, error.details) == ("STREAM_INTERRUPTED", "Connection reset")
    assert error.invocation_id == INVOCATION_ID


@pytest.mark.parametrize("known", [None, "another"])
@pytest.mark.parametrize("kind", [NotFoundError, ReplayExpiredError, AbortedError])
def test_any_other_failure_stays_what_it_is_and_names_the_invocation(
    kind: type[RunAgentError], known: str | None
) -> None:
    failed = kind("It is gone.", invocation_id=known)
    error = error_of(state_after(started()), failed)

    assert type(error) is kind
    assert vars(error) == vars(failed) | {"invocation_id": known or INVOCATION_ID}
    assert failed.invocation_id == known


def test_whatever_cuts_a_stream_lets_it_be_asked_for_again() -> None:
    state = state_after(started(0.5))
    assert state.end(PeerStatus.ANSWER) == 0.05
    assert state.fall_silent(PeerStatus.ANSWER) == 0.1
    assert state.fail(UnavailableError("Cut."), PeerStatus.ANSWER) == 0.2
    assert state.failures == 3


@pytest.mark.parametrize("event", [chunks(1, "a"), heartbeat()])
def test_what_is_new_starts_patience_anew_and_being_taken_up_again_does_not(event: pb.RunStreamResponse) -> None:
    state = state_after(started())
    state.end(PeerStatus.ANSWER)
    state.receive(started())
    state.receive(chunks(1))
    assert state.failures == 1
    state.receive(event)
    assert state.failures == 0


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
    assert state.completed


class Network:
    """A server of a stream of so many chunks, behind a network that does what hypothesis thinks of."""

    def __init__(self, total: int, kept: int) -> None:
        self._total = total
        self._kept = kept
        """How many of the last chunks can be replayed."""
        self.began = 0

    def answer(self, request: pb.RunStreamRequest, *, length: int, batch: int) -> Iterable[pb.RunStreamResponse]:
        """Yields the first `length` events of the answer to a request."""
        events = list(self._events(request, batch))
        if request.WhichOneof("source") == "call":
            self.began += 1
        return events[:length]

    def refusal(self, request: pb.RunStreamRequest) -> RunAgentError | None:
        after = request.resume.after_sequence
        return ReplayExpiredError("Gone.") if after < self._total - self._kept and after else None

    def _events(self, request: pb.RunStreamRequest, batch: int) -> Iterable[pb.RunStreamResponse]:
        yield started(1.0)
        first = request.resume.after_sequence + 1
        while first <= self._total:
            last = min(first + batch - 1, self._total)
            yield chunks(first, *map(str, range(first, last + 1)))
            yield heartbeat()
            first = last + 1
        yield completed(self._total)


CUTS = st.sampled_from(["end", "cut", "silent", "draining"])


@given(
    total=st.integers(0, 30),
    kept=st.integers(0, 30),
    connections=st.lists(st.tuples(st.integers(0, 12), st.integers(1, 4), CUTS), max_size=30),
    patience=st.sampled_from([0.0, 30.0]),
)
def test_whatever_the_network_does_each_chunk_comes_once_or_there_is_one_error(
    total: int, kept: int, connections: list[tuple[int, int, str]], patience: float
) -> None:
    network, state, came = Network(total, kept), state_of(seconds=patience), list[str]()
    failure: RunAgentError | None = None
    # In the end there is a connection that holds.
    for length, batch, cut in [*connections, (1000, 4, "end")]:
        try:
            request = state.request
            refused = network.refusal(request)
            if refused is None:
                for event in network.answer(request, length=length, batch=batch):
                    came += texts(state.receive(event))
            if state.completed:
                break
            if refused is not None or cut == "cut":
                state.fail(refused or UnavailableError("Cut."), PeerStatus.ANSWER)
            elif cut == "draining":
                state.fail(UnavailableError("Later.", retry_after=1.0), PeerStatus.ANSWER)
            elif cut == "silent" and state.silence_limit:
                state.fall_silent(PeerStatus.ANSWER)
            else:
                state.end(PeerStatus.ANSWER)
        except RunAgentError as error:
            failure = error
            break

    assert came == [str(number) for number in range(1, len(came) + 1)]
    assert state.completed is (failure is None)
    if failure is None:
        assert len(came) == total
    else:
        assert failure.invocation_id == state.invocation_id
        assert failure.reason in ("STREAM_INTERRUPTED", "CONNECTION_ERROR", "REPLAY_EXPIRED")
        assert patience == 0.0 or failure.reason == "REPLAY_EXPIRED"
    # Asked for as a call only until it has started once.
    assert network.began <= 1 + sum(length == 0 for length, _, _ in connections)
