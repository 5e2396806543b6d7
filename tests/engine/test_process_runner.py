"""The runner of the tests that hands each call to another interpreter."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runagent_grpc.errors import (
    AbortedError,
    ExecutionFailedError,
    InvalidRequestError,
    NotFoundError,
    Reason,
    RunAgentError,
    Violation,
)
from runagent_grpc.values.payload import Json, Payload
from tests.engine.frames import Frame, error_fields, error_from, frames_from
from tests.engine.gates import Notes
from tests.engine.probe_entrypoints import ALL, Witness
from tests.engine.process_runner import WorkerProcess
from tests.engine.running import Recording, begin, chunks_of, engine_of, read_all, result_of, worker_process
from tests.waiting import on_a_loop, soon


@pytest.fixture(scope="module", autouse=True)
def in_another_process() -> Iterator[WorkerProcess]:
    """An interpreter for these tests, whatever the others run on."""
    with WorkerProcess() as process:
        token = worker_process.set(process)
        yield process
        worker_process.reset(token)


def processes() -> Iterator[int]:
    yield os.getpid()


@on_a_loop
async def test_calls_run_in_another_process() -> None:
    async with engine_of({"process": os.getpid, "process_stream": processes}) as engine:
        process = await result_of(engine, "process")
        assert [process] == await chunks_of(engine, "process_stream")
    assert process != os.getpid()


@on_a_loop
async def test_a_worker_imports_nothing_of_the_engine_or_of_a_transport() -> None:
    def modules() -> list[str]:
        return [*sys.modules]

    with WorkerProcess() as process:
        token = worker_process.set(process)
        async with engine_of({"modules": modules}) as engine:
            worker_process.reset(token)
            imported = {*await result_of(engine, "modules")}
    assert "runagent_grpc.worker.worker" in imported
    parts = {name.split(".")[1] for name in imported if name.startswith("runagent_grpc.")}
    assert parts <= {"core", "current", "errors", "modules", "values", "version", "worker"}
    assert imported.isdisjoint({"grpc", "uvicorn", "starlette", "sqlite3"})


@on_a_loop
async def test_every_kind_of_argument_and_of_result_arrives_as_it_was() -> None:
    values: list[Any] = ["text \u00e9\u4e2d", "", b"\x00\xff", b"", 1, 1.0, True, None, {"a": [1, {}]}, 2**80, "1"]
    async with engine_of({"echo": lambda value, named: value, "echo_stream": lambda value: [value]}) as engine:
        for value in values:
            result = await result_of(engine, "echo", value, named=value)
            assert (result, type(result)) == (value, type(value))
            assert await chunks_of(engine, "echo_stream", value) == [value]


@on_a_loop
async def test_errors_arrive_with_their_reason_and_field() -> None:
    def whole(number: int) -> int:
        return 1 // number

    async with engine_of({"whole": whole}) as engine:
        with pytest.raises(InvalidRequestError) as refused:
            await result_of(engine, "whole", "no")
        assert refused.value.field == "number"
        with pytest.raises(ExecutionFailedError, match="division"):
            await result_of(engine, "whole", 0)


@pytest.mark.parametrize("tag", ALL)
@on_a_loop
async def test_a_call_that_is_left_at_any_moment_ends_there(tag: str) -> None:
    witness = Witness()
    async with engine_of(witness.functions()) as engine:
        for turns in (0, 0, 1, 2, 3, 5, 8, 13):
            with await begin(engine, tag):
                for _ in range(turns):
                    await asyncio.sleep(0.0002)
        witness.release.set()
        await soon(lambda: engine.active == 0)
    # That nothing is left of it there is what `engine_of` waits for.


@on_a_loop
async def test_calls_that_are_cancelled_while_they_are_bound_end_there() -> None:
    async with engine_of({"echo": lambda value: value}) as engine:
        for turns in range(12):
            calling = asyncio.create_task(begin(engine, "echo", "x" * 100_000))
            for _ in range(turns):
                await asyncio.sleep(0)
            calling.cancel()
            await asyncio.wait([calling])
            if not calling.cancelled():
                calling.result().leave()
        await soon(lambda: engine.active == 0)


@on_a_loop
async def test_an_agent_that_cannot_be_loaded_there_says_why() -> None:
    with pytest.raises(RuntimeError, match="An agent needs at least one entrypoint"):
        async with engine_of({}):
            pass


@on_a_loop
async def test_a_process_that_ends_fails_its_calls_and_no_others() -> None:
    before = Notes()

    def end_all() -> Iterator[int]:
        yield 1
        before.append("ends")
        os._exit(3)

    recording = Recording()
    functions: dict[str, Callable[..., Any]] = {"process": os.getpid, "end_stream": end_all}
    with WorkerProcess() as doomed:
        async with engine_of(functions) as healthy:
            token = worker_process.set(doomed)
            async with engine_of(functions, recorder=recording) as engine:
                worker_process.reset(token)
                chunks: list[Any] = []
                with await begin(engine, "end_stream") as reader, pytest.raises(AbortedError) as caught:
                    await read_all(reader, chunks)
                assert (chunks, before.values) == ([1], ["ends"])
                assert caught.value.reason is Reason.INVOCATION_LOST
                await soon(lambda: engine.active == 0)
                with pytest.raises(AbortedError):
                    await result_of(engine, "process")
            assert await result_of(healthy, "process") != os.getpid()
    assert recording.events == [("started", "RUNNING"), ("ended", "FAILED")]


@pytest.mark.parametrize(
    "payloads", [[], ["text \u00e9", b"\x00\xff", Json('{"a":1}')], ["", b"", Json('""')]], ids=str
)
@on_a_loop
async def test_a_frame_is_read_as_it_was_written(payloads: list[Payload]) -> None:
    frames = [Frame("a-kind", 7, {"text": "\udc80", "none": None}, payloads), Frame("another", payloads=[])]
    reader = asyncio.StreamReader()
    reader.feed_data(b"".join(frame.to_bytes() for frame in frames))
    # The last one breaks off.
    reader.feed_data(Frame("whole").to_bytes()[:-1])
    reader.feed_eof()
    read = [frame async for frame in frames_from(reader)]
    assert read == frames
    assert [type(payload) for payload in read[0].payloads] == [type(payload) for payload in payloads]


@pytest.mark.parametrize(
    "error",
    [
        ExecutionFailedError("text"),
        NotFoundError("text", reason=Reason.ENTRYPOINT_NOT_FOUND, suggestion="s", details="d"),
        InvalidRequestError("text", violations=(Violation(field="a", description="b"),), retry_after=1.5),
    ],
    ids=lambda error: error.reason.value,
)
def test_an_error_is_the_same_on_the_other_side(error: RunAgentError) -> None:
    same = error_from(error_fields(error))
    assert (type(same), vars(same)) == (type(error), vars(error))
