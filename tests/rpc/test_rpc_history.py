"""HistoryService over the wire: what a server has run, and what it said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from runagent_grpc._gen.runagent.v1 import history_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import history_service_pb2_grpc, invocation_pb2
from runagent_grpc.store import HistoryStore
from runagent_grpc.testing import RunningServer, serving
from runagent_grpc.worker.output import OutputCapture
from tests.rpc.calls import announced_id, bearer, connected, failing, run_request, stream_request, value_of

HIDDEN = "hunter2"
NOWHERE = "-1"
KEY, OTHER_KEY = "right-key-5f1e", "other-key-77aa"


def echo(value: Any = None, password: str = "") -> Any:
    print("echoing\nin two lines")  # noqa: T201 - what authors do
    return value


def fail(text: str) -> None:
    raise ValueError(text)


def count_stream(to: int) -> Iterator[int]:
    yield from range(to)


def pieces_stream() -> Iterator[str]:
    for size in (1, 20_000, 2, 3, 4, 5, 6, 7, 8, 9, 20_000, 10, 11):
        yield "x" * size


@contextmanager
def serving_with_history(tmp_path: Path, **options: Any) -> Iterator[tuple[RunningServer, Any]]:
    """A server that keeps history, and a stub of its HistoryService."""
    functions: dict[str, Callable[..., Any]] = {
        "echo": echo,
        "fail": fail,
        "count_stream": count_stream,
        "pieces_stream": pieces_stream,
    }
    with HistoryStore(tmp_path / "runagent_local.db", agent_id="test-agent") as store:
        capture = OutputCapture(store.logged)
        with (
            capture.installed(),
            serving(functions, recorder=store, output=capture, history=store.served_history, **options) as server,
            grpc.insecure_channel(server.target) as channel,
        ):
            yield server, history_service_pb2_grpc.HistoryServiceStub(channel)


def test_an_invocation_can_be_looked_up_by_the_id_that_its_call_announced(tmp_path: Path) -> None:
    with serving_with_history(tmp_path) as (server, history), connected(server) as stub:
        request = run_request("echo", value={"a": [1, 1.0]}, password=HIDDEN)
        request.call.user_id, request.call.request_id = "ada", "r-1"
        _, call = stub.Run.with_call(request)
        told = history.GetInvocation(pb.GetInvocationRequest(invocation_id=announced_id(call)))
    invocation = told.invocation
    assert invocation.invocation_id == announced_id(call)
    assert (invocation.agent_id, invocation.entrypoint_tag, invocation.cause) == ("test-agent", "echo", "")
    assert invocation.state == invocation_pb2.INVOCATION_STATE_COMPLETED
    assert invocation.start_time.ToNanoseconds() <= invocation.end_time.ToNanoseconds()
    assert invocation.result.json == '{"a":[1,1.0]}'
    assert not invocation.HasField("failure")
    assert json.loads(told.call.input) == {"args": [], "kwargs": {"value": {"a": [1, 1.0]}, "password": "***"}}
    assert (told.call.user_id, told.call.request_id, told.call.transport) == ("ada", "r-1", "grpc")


def test_a_failure_is_told_whole(tmp_path: Path) -> None:
    text = "no" * 5000
    with serving_with_history(tmp_path) as (server, history), connected(server) as stub:
        failing(stub.Run, run_request("fail", text=text))
        (told,) = history.ListInvocations(pb.ListInvocationsRequest()).invocations
    assert told.state == invocation_pb2.INVOCATION_STATE_FAILED
    assert (told.failure.reason, told.failure.message, told.cause) == ("EXECUTION_FAILED", text, text)


def test_a_stream_is_told_by_its_ends(tmp_path: Path) -> None:
    with serving_with_history(tmp_path) as (server, history), connected(server) as stub:
        call = stub.RunStream(stream_request("count_stream", to=100))
        list(call)
        told = history.GetInvocation(pb.GetInvocationRequest(invocation_id=announced_id(call)))
    assert told.invocation.chunk_count == 100
    assert not told.invocation.HasField("result")
    assert [value_of(chunk) for chunk in told.first_chunks] == list(range(8))
    assert [value_of(chunk) for chunk in told.last_chunks] == list(range(92, 100))


def test_chunks_that_were_too_large_to_keep_leave_no_gap(tmp_path: Path) -> None:
    with serving_with_history(tmp_path) as (server, history), connected(server) as stub:
        call = stub.RunStream(stream_request("pieces_stream"))
        list(call)
        told = history.GetInvocation(pb.GetInvocationRequest(invocation_id=announced_id(call)))
    assert [len(chunk.text) for chunk in told.first_chunks] == [1]
    assert [len(chunk.text) for chunk in told.last_chunks] == [10, 11]


def test_invocations_are_listed_by_page_and_by_state(tmp_path: Path) -> None:
    with serving_with_history(tmp_path) as (server, history), connected(server) as stub:
        calls = [stub.Run.with_call(run_request("echo", number))[1] for number in range(3)]
        failing(stub.Run, run_request("fail", text="no"))
        ids = [announced_id(call) for call in calls]
        request = pb.ListInvocationsRequest(
            agent_id="test-agent", state=invocation_pb2.INVOCATION_STATE_COMPLETED, page_size=2
        )
        first = history.ListInvocations(request)
        request.page_token = first.next_page_token
        second = history.ListInvocations(request)
        other = history.ListInvocations(pb.ListInvocationsRequest(agent_id="other"))
    assert [one.invocation_id for one in first.invocations] == [ids[2], ids[1]]
    assert [one.invocation_id for one in second.invocations] == [ids[0]]
    assert (second.next_page_token, list(other.invocations)) == ("", [])
    assert not first.invocations[0].HasField("result")


def test_lines_are_listed_and_the_token_leads_to_those_that_follow(tmp_path: Path) -> None:
    with serving_with_history(tmp_path) as (server, history), connected(server) as stub:
        _, call = stub.Run.with_call(run_request("echo"))
        request = pb.ListLogsRequest(invocation_id=announced_id(call))
        page = history.ListLogs(request)
        request.page_token = page.next_page_token
        assert list(history.ListLogs(request).lines) == []
    assert [(line.text, line.level, line.agent_id) for line in page.lines] == [
        ("echoing", "INFO", "test-agent"),
        ("in two lines", "INFO", "test-agent"),
    ]
    assert all(line.invocation_id == announced_id(call) and line.time.seconds for line in page.lines)


def test_each_key_sees_what_it_started(tmp_path: Path) -> None:
    with (
        serving_with_history(tmp_path, api_keys=(KEY, OTHER_KEY)) as (server, history),
        connected(server) as stub,
    ):
        _, call = stub.Run.with_call(run_request("echo"), metadata=bearer(KEY))
        request = pb.GetInvocationRequest(invocation_id=announced_id(call))
        assert history.GetInvocation(request, metadata=bearer(KEY)).invocation.invocation_id == announced_id(call)
        failure = failing(history.GetInvocation, request, metadata=bearer(OTHER_KEY))
        assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "INVOCATION_NOT_FOUND")
        for ask, empty in (
            (history.ListInvocations, pb.ListInvocationsRequest()),
            (history.ListLogs, pb.ListLogsRequest()),
        ):
            assert ask(empty, metadata=bearer(KEY)).ByteSize() > 0
            assert ask(empty, metadata=bearer(OTHER_KEY)).ByteSize() == 0
            assert failing(ask, empty).reason == "AUTHENTICATION_ERROR"


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("ListInvocations", pb.ListInvocationsRequest(page_token=NOWHERE), "page_token"),
        ("ListInvocations", pb.ListInvocationsRequest(page_size=-1), "page_size"),
        ("ListInvocations", pb.ListInvocationsRequest(state=99), "state"),  # type: ignore[arg-type] # an open enum
        ("ListLogs", pb.ListLogsRequest(page_token=NOWHERE), "page_token"),
        ("ListLogs", pb.ListLogsRequest(page_size=-1), "page_size"),
    ],
)
def test_a_page_that_cannot_be_is_refused_with_its_field(
    tmp_path: Path, method: str, request_: Any, field: str
) -> None:
    with serving_with_history(tmp_path) as (_, history):
        failure = failing(getattr(history, method), request_)
    assert (failure.reason, list(failure.violations)) == ("VALIDATION_ERROR", [field])


def test_a_server_without_history_says_so() -> None:
    with serving({"echo": echo}) as server, grpc.insecure_channel(server.target) as channel:
        history = history_service_pb2_grpc.HistoryServiceStub(channel)
        failure = failing(history.ListInvocations, pb.ListInvocationsRequest())
    assert (failure.reason, failure.text) == ("INVOCATION_NOT_FOUND", "This server keeps no history.")
