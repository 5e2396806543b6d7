from __future__ import annotations

from typing import Any

import grpc
import pytest

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import call_pb2, payload_pb2
from runagent_grpc.testing import serving
from tests.rpc.calls import (
    call_of,
    connected,
    failing,
    run_request,
    value_of,
)


def one(value: Any) -> Any:
    return value


def typed(count: int, name: str = "") -> str:
    return name * count


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


def test_a_wrong_tag_is_told_before_its_arguments_are_looked_at() -> None:
    request = run_request("nothing")
    request.call.args.add(json="{")
    with serving({"one": one}) as server, connected(server) as stub:
        assert failing(stub.Run, request).reason == "ENTRYPOINT_NOT_FOUND"


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
    call = call_pb2.Call(entrypoint_tag="one")
    if position == "value":
        call.kwargs["value"].CopyFrom(payload)
    else:
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


def test_a_keyword_without_a_value_is_refused_by_name() -> None:
    call = call_pb2.Call(entrypoint_tag="one", keywords=[call_pb2.KeywordArgument(name="value")])
    with serving({"one": one}) as server, connected(server) as stub:
        failure = failing(stub.Run, pb.RunRequest(call=call))

    assert (failure.reason, list(failure.violations)) == ("VALIDATION_ERROR", ["value"])


@pytest.mark.parametrize("elsewhere", ["kwargs", "keywords"])
def test_a_name_that_is_given_twice_is_refused_by_name(elsewhere: str) -> None:
    call = call_of("one", value=1) if elsewhere == "kwargs" else call_of("one")
    for _ in range(1 if elsewhere == "kwargs" else 2):
        call.keywords.add(name="value", value=payload_pb2.Payload(json="1"))
    with serving({"one": one, "one_stream": one}) as server, connected(server) as stub:
        of_run = failing(stub.Run, pb.RunRequest(call=call))
        call.entrypoint_tag = "one_stream"
        of_stream = failing(lambda request: list(stub.RunStream(request)), pb.RunStreamRequest(call=call))

    for failure in (of_run, of_stream):
        assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_ERROR")
        assert list(failure.violations) == ["value"]
        assert failure.text == "Argument `value`: Given twice by name."


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


def test_a_status_with_everything_in_it_still_fits_its_trailers() -> None:
    def fussy(**numbers: int) -> None:
        """Takes numbers alone."""

    # Text that takes the most room there is, wherever it turns up. gRPC refuses metadata beyond 8 KiB by the throw
    # of a die, so that one call would not tell.
    names = {f"{'é' * 100}{number}": "😀" * 1000 for number in range(20)}
    entrypoints = {"fussy": fussy, "é" * 300: fussy, **{"é" * 100 + str(number): fussy for number in range(9)}}
    with serving(entrypoints) as server, connected(server) as stub:
        for _ in range(50):
            failure = failing(stub.Run, run_request("fussy", **names))
            assert failure.reason == "VALIDATION_ERROR"
            assert failure.violations
            assert failing(stub.Run, run_request("é" * 1000)).reason == "ENTRYPOINT_NOT_FOUND"
