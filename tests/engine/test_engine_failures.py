from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from runagent_grpc import errors
from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.errors import ExecutionFailedError, Reason, RunAgentError
from tests.engine.gates import Gate
from tests.engine.probe_entrypoints import LogNotes
from tests.engine.running import Recording, begin, engine_of, read_all, result_of
from tests.waiting import on_a_loop, soon


class Unspeakable(Exception):  # noqa: N818 - named for what it does
    def __init__(self, trouble: BaseException) -> None:
        self.trouble = trouble

    def __str__(self) -> str:
        raise self.trouble


class Mute(Exception):  # noqa: N818 - as above
    def __str__(self) -> str:
        return 1  # type: ignore[return-value]  # on purpose


class Own(BaseException): ...  # as above


FAILURES: list[BaseException] = [
    ValueError("no good"),
    ValueError(),
    ValueError(""),
    KeyError("a"),
    OSError(2, "No such file"),
    TimeoutError("too slow"),
    MemoryError(),
    RecursionError("deep"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    ExceptionGroup("many", [ValueError("one")]),
    Own("mine"),
    SystemExit(3),
    SystemExit(),
    KeyboardInterrupt(),
    GeneratorExit("ge"),
    asyncio.CancelledError(),
    asyncio.CancelledError("mine"),
    StopIteration("si"),
    StopAsyncIteration("sai"),
    Unspeakable(ValueError()),
    Unspeakable(SystemExit(1)),
    Unspeakable(KeyboardInterrupt()),
    Mute(),
    errors.InvalidRequestError("an error of ours"),
    errors.InvocationCancelledError("an error of ours"),
    errors.DeadlineExceededError("an error of ours"),
    errors.NotFoundError("an error of ours", reason=Reason.INVOCATION_NOT_FOUND),
    errors.ExecutionFailedError("an error of ours"),
    RunAgentError("an error of ours"),
]


def text_of(error: BaseException) -> str:
    if isinstance(error, Unspeakable | Mute):
        return type(error).__name__
    if isinstance(error, SystemExit):
        return f"The entrypoint called sys.exit({'' if error.code is None else error.code})."
    if isinstance(error, ExceptionGroup):
        return "many (1 sub-exception): ValueError: one"
    return "KeyError: 'a'" if isinstance(error, KeyError) else str(error) or type(error).__name__


def name_of(error: BaseException) -> str:
    return f"{type(error).__name__}({getattr(error, 'trouble', '')!r})"


def raising(error: BaseException) -> dict[str, Callable[[], Any]]:
    """An entrypoint for each place that it can be raised in; the streams give two chunks before."""

    def plain() -> None:
        raise error

    async def coroutine() -> None:
        raise error

    async def after_a_while() -> None:
        await asyncio.sleep(0)
        raise error

    def generator() -> Iterator[int]:
        yield 1
        yield 2
        raise error

    async def async_generator() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise error

    class Iterates:
        def __init__(self) -> None:
            self.count = 0

        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            self.count += 1
            if self.count > 2:
                raise error
            return self.count

    class Result:
        def to_dict(self) -> None:
            raise error

    return {
        "plain": plain,
        "coroutine": coroutine,
        "after_a_while": after_a_while,
        "listed": generator,
        "listed_later": async_generator,
        "encoded": Result,
        "plain_stream": plain,
        "coroutine_stream": coroutine,
        "generator_stream": generator,
        "async_generator_stream": async_generator,
        "iterator_stream": Iterates,
        "encoded_stream": lambda: [1, 2, Result()],
    }


@pytest.mark.parametrize("error", FAILURES, ids=name_of)
@on_a_loop
async def test_whatever_the_authors_code_raises_fails_its_own_invocation_alone(error: BaseException) -> None:
    functions = raising(error)
    async with engine_of(functions | {"fine": lambda: "fine"}) as engine:
        for tag in functions:
            ends_it = isinstance(error, StopIteration) and tag == "iterator_stream"
            chunks: list[Any] = []
            with await begin(engine, tag) as reader:
                if ends_it:
                    await read_all(reader, chunks)
                else:
                    with pytest.raises(ExecutionFailedError) as caught:
                        await (read_all(reader, chunks) if tag.endswith("_stream") else reader.result())
                    # Python itself turns some of them into a RuntimeError that speaks of them.
                    said = [text_of(error), f"raised {type(error).__name__}"]
                    assert any(caught.value.message.endswith(text) for text in said), caught.value.message
                    assert caught.value.reason is Reason.EXECUTION_FAILED
                    assert reader.invocation.state is InvocationState.FAILED
                    assert reader.invocation.cause == caught.value.message
            assert chunks == ([1, 2] if tag in TWO_CHUNKS else [])
            assert await result_of(engine, "fine") == "fine"
        await soon(lambda: engine.active == 0)


TWO_CHUNKS = {"generator_stream", "async_generator_stream", "iterator_stream", "encoded_stream"}


@on_a_loop
async def test_an_error_carries_nothing_of_what_the_author_raised_but_its_text_and_its_type() -> None:
    raised = errors.InvalidRequestError(
        "text", suggestion="s", details="d", retry_after=1.0, violations=(errors.Violation(field="a", description="b"),)
    )

    def fail() -> None:
        raise raised

    async with engine_of({"fail": fail}) as engine:
        with pytest.raises(ExecutionFailedError) as caught:
            await result_of(engine, "fail")

    assert vars(caught.value) == vars(ExecutionFailedError("text", details="InvalidRequestError"))
    assert caught.value.__cause__ is caught.value.__context__ is None


@on_a_loop
async def test_the_authors_traceback_is_logged_from_the_authors_code_on() -> None:
    def fail(secret: str) -> None:
        raise ValueError("no good")

    async def fail_later(secret: str) -> None:
        raise ValueError("no good")

    def failing_items(secret: str) -> Iterator[int]:
        yield 1
        raise ValueError("no good")

    functions = {"fail": fail, "fail_later": fail_later, "failing_items_stream": failing_items}
    log = LogNotes()
    async with engine_of(functions | log.functions()) as engine:
        await result_of(engine, "listen")
        for tag, function in functions.items():
            with await begin(engine, tag, "a-payload") as reader, pytest.raises(ExecutionFailedError):
                await (read_all(reader, []) if tag.endswith("_stream") else reader.result())

            record = log.records[-1]
            assert record["level"] == "WARNING"
            assert record["invocation_id"] == reader.invocation.invocation_id
            assert record["function"] == function.__name__
            assert "a-payload" not in record["text"]
        await result_of(engine, "hush")
    assert len(log.records) == len(functions)


@on_a_loop
async def test_a_broken_logging_filter_does_not_keep_the_caller_waiting() -> None:
    reached = Gate()

    def broken(_: logging.LogRecord) -> bool:
        reached.set()
        raise LookupError

    def fail() -> None:
        # What reports the failure, where entrypoints run.
        logging.getLogger("runagent_grpc.worker.worker").addFilter(broken)
        raise ValueError("no good")

    def mend() -> None:
        logging.getLogger("runagent_grpc.worker.worker").filters.clear()

    async with engine_of({"fail": fail, "mend": mend}) as engine:
        try:
            with await begin(engine, "fail") as reader, pytest.raises(ExecutionFailedError, match="no good"):
                await reader.result()
        finally:
            await result_of(engine, "mend")
        await soon(lambda: engine.active == 0)
    assert reached.is_set()


@pytest.mark.parametrize("tag", ["plain", "coroutine", "generator_stream", "async_generator_stream"])
@on_a_loop
async def test_a_failure_is_recorded_once(tag: str) -> None:
    recording = Recording()
    async with engine_of(raising(ValueError("no good")), recorder=recording) as engine:
        with await begin(engine, tag) as reader, pytest.raises(ExecutionFailedError):
            await (read_all(reader, []) if tag.endswith("_stream") else reader.result())

    assert recording.events == [("started", "RUNNING"), ("ended", "FAILED")]
    assert [record.error for record in recording.ended_records] == [reader.invocation.error]
    assert recording.results == [None]


@on_a_loop
async def test_a_stop_iteration_is_told_in_its_own_words() -> None:
    def stop() -> None:
        raise StopIteration("nothing left")

    async with engine_of({"stop": stop}) as engine:
        with pytest.raises(ExecutionFailedError, match=r"^nothing left$"):
            await result_of(engine, "stop")
