from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import invocation_pb2
from runagent_grpc.testing import serving
from tests.rpc.calls import (
    announced_id,
    connected,
    failing,
    failure_of,
    run_request,
    value_of,
)


def one(value: Any) -> Any:
    return value


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
        invocation_id = announced_id(call)
        record = stub.CancelInvocation(pb.CancelInvocationRequest(invocation_id=invocation_id)).invocation

    assert 1000 < len(failure.text.encode()) <= 1024
    assert failure.text.endswith("...")
    assert text.startswith(failure.text.removesuffix("..."))
    assert record.state == invocation_pb2.INVOCATION_STATE_FAILED
    assert (record.failure.reason, record.failure.message) == ("EXECUTION_FAILED", text)


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
