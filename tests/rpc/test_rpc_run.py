from __future__ import annotations

import asyncio
import threading
from typing import Any

import grpc
import pytest

from runagent_grpc import current_invocation
from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import call_pb2, invocation_pb2, payload_pb2
from runagent_grpc.engine import EngineSettings
from runagent_grpc.testing import serving
from tests.rpc.calls import (
    call_of,
    connected,
    connected_async,
    failing,
    failure_of,
    payload_of,
    run_request,
    value_of,
)
from tests.waiting import eventually

VALUES = ["", "text", "ünï 😀", b"", b"\x00\xff", None, True, 1, 1.0, 2**64, -(10**4000), [1, [2]], {"a": {"b": None}}]


def echo(*args: Any, **kwargs: Any) -> list[Any]:
    return [list(args), kwargs]


def one(value: Any) -> Any:
    return value


def typed(count: int, name: str = "") -> str:
    return name * count


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_a_value_comes_back_as_it_went_out(value: Any) -> None:
    with serving({"one": one}) as server, connected(server) as stub:
        result = value_of(stub.Run(run_request("one", value)).result)

    assert result == value
    assert type(result) is type(value)


def test_a_run_returns_its_id_its_result_and_how_long_it_took() -> None:
    with serving({"echo": echo}) as server, connected(server) as stub:
        response, call = stub.Run.with_call(run_request("echo", 1, "two", flag=True))

    assert value_of(response.result) == [[1, "two"], {"flag": True}]
    assert dict(call.initial_metadata())["x-invocation-id"] == response.invocation_id
    assert 0 <= response.elapsed.ToTimedelta().total_seconds() < 10


def test_the_invocation_id_arrives_before_the_result() -> None:
    let_go = threading.Event()

    def wait() -> str:
        let_go.wait(10)
        return current_invocation().invocation_id

    with serving({"wait": wait}) as server, grpc.insecure_channel(server.target) as channel:
        # As if it were a stream, for Python hands out the metadata of a call of one value with its result.
        run = channel.unary_stream(
            "/runagent.v1.AgentService/Run",
            request_serializer=pb.RunRequest.SerializeToString,
            response_deserializer=pb.RunResponse.FromString,
        )
        call = run(run_request("wait"))
        announced = dict(call.initial_metadata())["x-invocation-id"]
        assert call.is_active()
        let_go.set()
        response = next(call)

    assert value_of(response.result) == announced == response.invocation_id


def test_the_entrypoint_knows_whom_it_runs_for() -> None:
    def who() -> list[Any]:
        current = current_invocation()
        return [current.agent_id, current.entrypoint_tag, current.user_id, current.persistent_memory]

    with serving({"who": who}) as server, connected(server) as stub:
        request = run_request("who", fields={"user_id": "ada", "persistent_memory": True})
        assert value_of(stub.Run(request).result) == ["test-agent", "who", "ada", True]


@pytest.mark.parametrize("agent_id", ["", "test-agent"])
def test_the_only_agent_needs_no_name(agent_id: str) -> None:
    with serving({"one": one}) as server, connected(server) as stub:
        assert value_of(stub.Run(run_request("one", 1, fields={"agent_id": agent_id})).result) == 1


def test_an_unknown_agent_is_not_found_whatever_else_is_wrong() -> None:
    with serving({"one": one}) as server, connected(server) as stub:
        failure = failing(stub.Run, run_request("nothing", fields={"agent_id": "other"}))
        assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "AGENT_NOT_FOUND")
        assert failure.text == "Agent not found"
        assert failing(stub.GetAgent, pb.GetAgentRequest(agent_id="other")).reason == "AGENT_NOT_FOUND"


@pytest.mark.parametrize("tag", ["nothing", "nothing_stream", ""])
def test_an_unknown_tag_is_not_found_and_the_known_ones_are_told(tag: str) -> None:
    with serving({"one": one, "two": one}) as server, connected(server) as stub:
        failure = failing(stub.Run, run_request(tag))

    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "ENTRYPOINT_NOT_FOUND")
    assert failure.text == f"Entrypoint {tag} not found"
    assert "one, two" in failure.suggestion


def test_a_streaming_entrypoint_is_not_run_for_one_value() -> None:
    with serving({"one_stream": one}) as server, connected(server) as stub:
        failure = failing(stub.Run, run_request("one_stream", unknown=1))

    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "STREAM_ENTRYPOINT")
    assert failure.text == "Can't use Streaming Entrypoint `one_stream` through non-streaming endpoint."


@pytest.mark.parametrize(
    ("kwargs", "field"),
    [({}, "count"), ({"count": "many"}, "count"), ({"count": 1, "nmae": "x"}, "nmae"), ({"count": [1]}, "count")],
)
def test_an_argument_that_does_not_fit_is_named_before_any_code_runs(kwargs: dict[str, Any], field: str) -> None:
    ran = []

    def typed_and_told(count: int, name: str = "") -> None:
        ran.append(count)

    with serving({"typed": typed_and_told}) as server, connected(server) as stub:
        failure = failing(stub.Run, run_request("typed", **kwargs))

    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_ERROR")
    assert list(failure.violations) == [field]
    assert f"`{field}`" in failure.text
    assert not ran


def test_every_argument_that_does_not_fit_is_named_at_once() -> None:
    with serving({"typed": typed}) as server, connected(server) as stub:
        failure = failing(stub.Run, run_request("typed", extra=1, count="many"))

    assert set(failure.violations) == {"extra", "count"}


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        ("[" * 101 + "]" * 101, "VALIDATION_ERROR", "deeper than 100 levels"),
        ("[" * 100_000, "VALIDATION_ERROR", "deeper than 100 levels"),
        ('{"a":1,"a":2}', "VALIDATION_ERROR", "'a' stands twice"),
        ('"\\ud800"', "VALIDATION_ERROR", "lone surrogate"),
        ("9" * 4301, "VALIDATION_ERROR", "more than 4,300 digits"),
        ("NaN", "MALFORMED_REQUEST", "NaN is not allowed"),
        ("[-Infinity]", "MALFORMED_REQUEST", "-Infinity is not allowed"),
        ("1e400", "MALFORMED_REQUEST", "out of range"),
        ("{'a': 1}", "MALFORMED_REQUEST", "line 1, column 2"),
        ("1 2", "MALFORMED_REQUEST", "Extra data"),
        ("", "MALFORMED_REQUEST", "line 1, column 1"),
    ],
    ids=lambda value: value[:20],
)
@pytest.mark.parametrize("position", ["args[0]", "value"])
def test_json_that_cannot_be_passed_on_exactly_is_refused_by_name(
    text: str, reason: str, words: str, position: str
) -> None:
    payload = payload_pb2.Payload(json=text)
    call = call_pb2.Call(entrypoint_tag="one", **({"kwargs": {"value": payload}} if position == "value" else {}))
    if position != "value":
        call.args.append(payload)

    with serving({"one": one}) as server, connected(server) as stub:
        failure = failing(stub.Run, pb.RunRequest(call=call))
        # And the server is none the worse for it.
        assert value_of(stub.Run(run_request("one", 1)).result) == 1

    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert list(failure.violations) == [position]
    assert words in failure.text


def test_a_payload_of_no_kind_is_refused_by_name() -> None:
    with serving({"one": one}) as server, connected(server) as stub:
        by_position = pb.RunRequest(call=call_pb2.Call(entrypoint_tag="one", args=[payload_pb2.Payload()]))
        by_name = pb.RunRequest(call=call_pb2.Call(entrypoint_tag="one", kwargs={"value": payload_pb2.Payload()}))
        assert list(failing(stub.Run, by_position).violations) == ["args[0]"]
        failure = failing(stub.Run, by_name)

    assert (failure.reason, list(failure.violations)) == ("VALIDATION_ERROR", ["value"])
    assert "no kind set" in failure.text


def test_an_empty_request_is_refused_in_words() -> None:
    with serving({"one": one}) as server, connected(server) as stub:
        assert failing(stub.Run, pb.RunRequest()).reason == "ENTRYPOINT_NOT_FOUND"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"on_disconnect": 99}, "on_disconnect"),
        ({"on_disconnect": -1}, "on_disconnect"),
        ({"run_timeout": {"seconds": 0}}, "run_timeout"),
        ({"run_timeout": {"seconds": -1}}, "run_timeout"),
        ({"run_timeout": {"nanos": -1}}, "run_timeout"),
        ({"resume_window": {"seconds": 0}}, "resume_window"),
        ({"resume_window": {"seconds": -5}}, "resume_window"),
    ],
    ids=str,
)
def test_a_condition_that_cannot_be_is_refused_by_name(fields: dict[str, Any], field: str) -> None:
    with serving({"one": one}) as server, connected(server) as stub:
        failure = failing(stub.Run, run_request("one", 1, fields=fields))

    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_ERROR")
    assert list(failure.violations) == [field]


@pytest.mark.parametrize("seconds", [1, 315_576_000_000])
def test_a_run_timeout_may_be_as_long_as_a_duration_can_tell(seconds: int) -> None:
    with serving({"one": one}) as server, connected(server) as stub:
        request = run_request("one", 1, fields={"run_timeout": {"seconds": seconds}})
        assert value_of(stub.Run(request).result) == 1


@pytest.mark.parametrize("mode", list(call_pb2.OnDisconnect.values()))
def test_every_way_to_leave_is_taken(mode: call_pb2.OnDisconnect.ValueType) -> None:
    with serving({"one": one}) as server, connected(server) as stub:
        request = run_request("one", 1, fields={"on_disconnect": mode, "resume_window": {"seconds": 5}})
        assert value_of(stub.Run(request).result) == 1


@pytest.mark.parametrize(
    "text", ["It broke.", "two\nlines\r\n\x1b[31mred", "ünï 😀", "100% {wrong} \\", "x" * 1024, "😀" * 256]
)
def test_the_text_of_an_exception_arrives_alone_and_as_it_is(text: str) -> None:
    def fail() -> None:
        raise LookupError(text)

    with serving({"fail": fail}) as server, connected(server) as stub:
        failure = failing(stub.Run, run_request("fail"))

    assert (failure.code, failure.reason, failure.text) == (grpc.StatusCode.UNKNOWN, "EXECUTION_FAILED", text)
    assert not failure.violations


@pytest.mark.parametrize("character", ["x", "é", "😀"])
def test_a_huge_exception_is_cut_for_its_status_and_kept_whole_for_its_record(character: str) -> None:
    text = character * 100_000

    def fail() -> None:
        raise RuntimeError(text)

    with serving({"fail": fail}) as server, connected(server) as stub:
        call = stub.Run.future(run_request("fail"))
        failure = failure_of(call.exception())
        invocation_id = dict(call.initial_metadata())["x-invocation-id"]
        record = stub.CancelInvocation(pb.CancelInvocationRequest(invocation_id=invocation_id)).invocation

    assert 1000 < len(failure.text.encode()) <= 1024
    assert failure.text.endswith("...")
    assert text.startswith(failure.text.removesuffix("..."))
    assert record.state == invocation_pb2.INVOCATION_STATE_FAILED
    assert (record.failure.reason, record.failure.message) == ("EXECUTION_FAILED", text)


def test_a_status_with_everything_in_it_still_fits_its_trailers() -> None:
    def fussy(**numbers: int) -> None:
        """Takes numbers alone."""

    # Text that takes the most room there is, wherever it turns up. gRPC refuses metadata beyond 8 KiB by the throw
    # of a die, so that one call would not tell.
    names = {f"{'é' * 100}{number}": "😀" * 1000 for number in range(20)}
    with serving({"fussy": fussy, "é" * 300: fussy, **{"é" * 100 + str(n): fussy for n in range(9)}}) as server:
        with connected(server) as stub:
            for _ in range(50):
                failure = failing(stub.Run, run_request("fussy", **names))
                assert failure.reason == "VALIDATION_ERROR"
                assert failure.violations
                assert failing(stub.Run, run_request("é" * 1000)).reason == "ENTRYPOINT_NOT_FOUND"


def test_no_traceback_and_no_path_reaches_the_caller() -> None:
    def fail() -> None:
        raise KeyError("missing")

    with serving({"fail": fail}) as server, connected(server) as stub:
        call = stub.Run.future(run_request("fail"))
        failure_of(call.exception())
        sent = str(call.trailing_metadata()) + str(call.details()) + str(call.initial_metadata())

    assert "Traceback" not in sent
    assert ".py" not in sent


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()])
@pytest.mark.parametrize("asynchronous", [True, False])
def test_an_entrypoint_that_raises_an_exit_ends_itself_alone(error: BaseException, asynchronous: bool) -> None:
    def leave() -> None:
        raise error

    async def leave_soon() -> None:
        raise error

    with serving({"leave": leave_soon if asynchronous else leave, "one": one}) as server, connected(server) as stub:
        failure = failing(stub.Run, run_request("leave"))
        assert value_of(stub.Run(run_request("one", 1)).result) == 1

    assert (failure.code, failure.reason) == (grpc.StatusCode.UNKNOWN, "EXECUTION_FAILED")


def test_an_exception_that_cannot_tell_its_text_gives_its_name() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise ValueError("no text")

    def fail() -> None:
        raise MuteError

    with serving({"fail": fail}) as server, connected(server) as stub:
        assert failing(stub.Run, run_request("fail")).text == "MuteError"


def test_a_result_that_no_message_can_carry_says_so() -> None:
    nested: list[Any] = []
    nested.append(nested)

    with serving({"endless": lambda: nested, "one": one}) as server, connected(server) as stub:
        failure = failing(stub.Run, run_request("endless"))

    assert (failure.code, failure.reason) == (grpc.StatusCode.UNKNOWN, "EXECUTION_FAILED")


@pytest.mark.parametrize("asynchronous", [True, False])
def test_the_deadline_of_a_call_ends_it_on_both_sides(asynchronous: bool) -> None:
    finished = threading.Event()

    def sleep() -> None:
        while not current_invocation().cancelled:
            finished.wait(0.01)
        finished.set()

    async def sleep_soon() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            finished.set()

    with serving({"sleep": sleep_soon if asynchronous else sleep}) as server, connected(server) as stub:
        with pytest.raises(grpc.RpcError) as caught:
            stub.Run(run_request("sleep"), timeout=0.3)
        assert isinstance(caught.value, grpc.Call)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        eventually(lambda: server.engine.active == 0)

    assert finished.is_set()


@pytest.mark.parametrize("bound", ["run_timeout", "max_run_timeout"])
def test_a_run_that_is_out_of_time_says_timed_out_and_is_recorded_so(bound: str) -> None:
    async def sleep() -> None:
        await asyncio.sleep(60)

    settings = EngineSettings(max_run_timeout=0.05 if bound == "max_run_timeout" else None)
    fields = {"run_timeout": {"nanos": 50_000_000}} if bound == "run_timeout" else {}
    with serving({"sleep": sleep}, engine=settings) as server, connected(server) as stub:
        call = stub.Run.future(run_request("sleep", fields=fields))
        failure = failure_of(call.exception())
        invocation_id = dict(call.initial_metadata())["x-invocation-id"]
        record = stub.CancelInvocation(pb.CancelInvocationRequest(invocation_id=invocation_id)).invocation

    assert (failure.code, failure.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "TIMEOUT")
    assert "timed out" in failure.text
    assert record.state == invocation_pb2.INVOCATION_STATE_TIMED_OUT
    assert record.failure.reason == "TIMEOUT"
    assert record.cause == failure.text
    assert record.end_time.ToDatetime() >= record.start_time.ToDatetime()


def test_a_deadline_that_has_passed_already_harms_nobody() -> None:
    with serving({"one": one}) as server, connected(server) as stub:
        for timeout in (0.0, -1.0, 0.000_001):
            with pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED"):
                stub.Run(run_request("one", 1), timeout=timeout)
        assert value_of(stub.Run(run_request("one", 1)).result) == 1
        eventually(lambda: server.engine.active == 0)


def test_two_callers_do_not_wait_for_each_other() -> None:
    meeting = threading.Barrier(3)

    def meet() -> int:
        return meeting.wait(10)

    async def answer() -> str:
        return "at once"

    with serving({"meet": meet, "answer": answer}) as server, connected(server) as stub:
        callers = [stub.Run.future(run_request("meet")) for _ in range(2)]
        # Both block, and a third caller is answered all the same.
        assert value_of(stub.Run(run_request("answer")).result) == "at once"
        meeting.wait(10)
        assert sorted(value_of(caller.result().result) for caller in callers) != []


def test_a_burst_of_calls_loses_none() -> None:
    async def burst(count: int) -> list[int]:
        with serving({"one": one}) as server:
            async with connected_async(server) as stub:
                answers = await asyncio.gather(*(stub.Run(run_request("one", number)) for number in range(count)))
                return [value_of(answer.result) for answer in answers]

    assert asyncio.run(burst(500)) == list(range(500))


def test_more_calls_than_the_engine_runs_are_refused_at_once_and_told_when_to_come_back() -> None:
    let_go = threading.Event()

    def wait() -> None:
        let_go.wait(10)

    with serving({"wait": wait}, engine=EngineSettings(max_invocations=2)) as server, connected(server) as stub:
        running = [stub.Run.future(run_request("wait")) for _ in range(2)]
        eventually(lambda: server.engine.active == 2)
        failure = failing(stub.Run, run_request("wait"))
        let_go.set()
        for call in running:
            call.result()
        stub.Run(run_request("wait"))

    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert failure.retry_after is not None
    assert failure.retry_after > 0


def test_the_same_call_can_be_made_with_the_asyncio_stub() -> None:
    async def call() -> Any:
        with serving({"echo": echo}) as server:
            async with connected_async(server) as stub:
                return value_of((await stub.Run(pb.RunRequest(call=call_of("echo", 1)))).result)

    assert asyncio.run(call()) == [[1], {}]


def test_a_payload_that_is_written_by_hand_is_read_like_any_other() -> None:
    assert value_of(payload_of([1.0])) == [1.0]
    with serving({"one": one}) as server, connected(server) as stub:
        request = pb.RunRequest(
            call=call_pb2.Call(entrypoint_tag="one", args=[payload_pb2.Payload(json=' {"b" : 1e2} ')])
        )
        assert stub.Run(request).result == payload_pb2.Payload(json='{"b":100.0}')
