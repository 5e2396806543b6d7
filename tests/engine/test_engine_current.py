from __future__ import annotations

import asyncio
import functools
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from runagent_grpc import current_invocation
from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.current import entered_invocation
from runagent_grpc.errors import ExecutionFailedError
from runagent_grpc.values.payload import decode
from tests.engine.gates import Gate, Notes
from tests.engine.running import begin, chunks_of, engine_of, read_all, result_of
from tests.waiting import on_a_loop, soon


def about_me() -> dict[str, Any]:
    current = current_invocation()
    return {
        "invocation_id": current.invocation_id,
        "agent_id": current.agent_id,
        "entrypoint_tag": current.entrypoint_tag,
        "user_id": current.user_id,
        "persistent_memory": current.persistent_memory,
        "cancelled": current.cancelled,
        "has_time": current.time_remaining is not None and 0 < current.time_remaining <= 60,
    }


async def about_me_later() -> dict[str, Any]:
    await asyncio.sleep(0)
    return about_me()


def about_me_twice() -> Iterator[dict[str, Any]]:
    yield about_me()
    yield about_me()


async def about_me_twice_later() -> AsyncIterator[dict[str, Any]]:
    yield about_me()
    await asyncio.sleep(0)
    yield about_me()


class AboutMe:
    def __call__(self) -> Any:
        return map(lambda _: about_me(), range(2))  # noqa: C417 - an iterator that is no generator

    def to_dict(self) -> dict[str, Any]:
        return about_me()


ASKING: dict[str, Callable[[], Any]] = {
    "def": about_me,
    "async_def": about_me_later,
    "listed": about_me_twice,
    "listed_later": about_me_twice_later,
    "encoded": AboutMe,
    "generator_stream": about_me_twice,
    "async_generator_stream": about_me_twice_later,
    "iterator_stream": AboutMe(),
    "encoded_stream": lambda: [AboutMe()],
    "value_stream": about_me,
    "coroutine_stream": about_me_later,
}


@pytest.mark.parametrize("tag", ASKING)
@on_a_loop
async def test_the_authors_code_can_ask_for_its_invocation(tag: str) -> None:
    fields = {"user_id": "a-user", "persistent_memory": True, "run_timeout": 60.0}
    answers: list[Any] = []
    async with engine_of(ASKING) as engine:
        with await begin(engine, tag, fields=fields) as reader:
            if tag.endswith("_stream"):
                await read_all(reader, answers)
            else:
                answer = decode(await reader.result())
                answers += answer if isinstance(answer, list) else [answer]

    assert answers == [
        {
            "invocation_id": reader.invocation.invocation_id,
            "agent_id": "test-agent",
            "entrypoint_tag": tag,
            "user_id": "a-user",
            "persistent_memory": True,
            "cancelled": False,
            "has_time": True,
        }
    ] * len(answers)
    assert answers


@on_a_loop
async def test_a_call_that_says_little_leaves_little_to_ask() -> None:
    async with engine_of(ASKING) as engine:
        answer = await result_of(engine, "def")

    assert (answer["user_id"], answer["persistent_memory"], answer["has_time"]) == ("", False, False)


def test_outside_of_an_invocation_there_is_none_to_ask_for() -> None:
    with pytest.raises(RuntimeError, match=r"from within an entrypoint; .* by contextvars\.copy_context\(\)\.run\.$"):
        current_invocation()


def user() -> str:
    return current_invocation().user_id


async def user_soon() -> str:
    await asyncio.sleep(0)
    return user()


def on_a_thread() -> str:
    answers: list[str] = []
    thread = threading.Thread(target=copy_context().run, args=(lambda: answers.append(user()),))
    thread.start()
    thread.join()
    return answers[0]


def on_a_timer() -> str:
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Timer(0, copy_context().run, args=(lambda: answers.put(user()),)).start()
    return answers.get(timeout=10)


def in_a_pool() -> list[str]:
    with ThreadPoolExecutor(2) as pool:
        # A context is entered once at a time: a copy for each piece of work.
        return [work.result() for work in [pool.submit(copy_context().run, user) for _ in range(4)]]


def in_a_pool_that_starts_in_the_context() -> str:
    """As where the pool is made within the entrypoint, whose threads then serve it alone."""
    invocation = entered_invocation.get()
    with ThreadPoolExecutor(1, initializer=entered_invocation.set, initargs=(invocation,)) as pool:
        return pool.submit(user).result()


async def in_to_thread() -> str:
    return await asyncio.to_thread(user)


async def in_a_loops_executor() -> str:
    return await asyncio.get_running_loop().run_in_executor(None, copy_context().run, user)


async def in_tasks() -> list[str]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(user_soon()) for _ in range(3)]
    return [task.result() for task in tasks]


async def in_a_task_with_a_copy_of_a_copy() -> str:
    """As frameworks run their nodes: each in a context of its own, made from that of the graph."""
    node = copy_context().run(copy_context)
    return await asyncio.create_task(user_soon(), context=node)


def in_a_loop_of_its_own() -> str:
    return asyncio.run(user_soon())


def in_a_generator_that_threads_fill() -> Iterator[str]:
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    context = copy_context()
    for _ in range(3):
        threading.Thread(target=context.copy().run, args=(lambda: answers.put(user()),)).start()
        yield answers.get(timeout=10)


TAKING_ALONG: list[Callable[[], Any]] = [
    on_a_thread,
    on_a_timer,
    in_a_pool,
    in_a_pool_that_starts_in_the_context,
    in_to_thread,
    in_a_loops_executor,
    in_tasks,
    in_a_task_with_a_copy_of_a_copy,
    in_a_loop_of_its_own,
    in_a_generator_that_threads_fill,
]


@pytest.mark.parametrize("work", TAKING_ALONG, ids=lambda work: work.__name__)
@on_a_loop
async def test_an_invocation_goes_along_to_where_its_context_is_taken(work: Callable[[], Any]) -> None:
    async with engine_of({"work": work}) as engine:
        answers = await asyncio.gather(
            *(result_of(engine, "work", fields={"user_id": f"user-{number}"}) for number in range(5))
        )

    for number, answer in enumerate(answers):
        assert set(answer if isinstance(answer, list) else [answer]) == {f"user-{number}"}


@on_a_loop
async def test_a_pool_that_was_not_told_is_in_no_invocation() -> None:
    def work() -> str:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(user).result()

    async with engine_of({"work": work}) as engine:
        with pytest.raises(ExecutionFailedError, match="No invocation is running here"):
            await result_of(engine, "work")


@on_a_loop
async def test_a_thread_that_outlives_its_invocation_knows_that_it_has_ended() -> None:
    ended, known = Gate(), Notes()

    def outlive() -> None:
        current = current_invocation()
        known.append(current.cancelled)
        ended.wait()
        known.append(current.cancelled)

    def work() -> None:
        threading.Thread(target=copy_context().run, args=(outlive,), daemon=True).start()

    async with engine_of({"work": work}) as engine:
        await result_of(engine, "work")
        await soon(lambda: engine.active == 0)
        ended.set()
        await soon(lambda: len(known) == 2)

    assert known.values[-1] is True


@on_a_loop
async def test_the_loop_itself_is_in_no_invocation() -> None:
    async with engine_of(ASKING) as engine:
        await result_of(engine, "async_def")
        await chunks_of(engine, "async_generator_stream")
        assert entered_invocation.get() is None


@pytest.mark.parametrize("how", ["cancel", "leave", "deadline"])
@on_a_loop
async def test_a_function_sees_that_nobody_waits_any_more(how: str) -> None:
    began, seen = Gate(), Notes()

    def patient() -> None:
        current = current_invocation()
        seen.append(current.cancelled)
        began.set()
        tick = threading.Event()
        while not current.cancelled:
            tick.wait(0.001)
        seen.append(current.cancelled)
        seen.append(current.time_remaining)

    async with engine_of({"patient": patient}) as engine:
        with await begin(engine, "patient", fields={"run_timeout": 0.05 if how == "deadline" else None}) as reader:
            await soon(began.is_set)
            if how == "cancel":
                engine.cancel(reader.invocation.invocation_id)
            elif how == "deadline":
                await soon(lambda: reader.invocation.state is InvocationState.TIMED_OUT)
        await soon(lambda: engine.active == 0)

    assert seen.values == [False, True, 0.0 if how == "deadline" else None]


flavour: ContextVar[str] = ContextVar("flavour", default="none")


TOGETHER = 20
"""How many of each run at once."""

at_once = threading.Barrier(TOGETHER, timeout=10)


@functools.cache
def barrier_on_the_loop(what: str) -> asyncio.Barrier:
    return asyncio.Barrier(TOGETHER)


def tastes(name: str) -> Iterator[str]:
    before = flavour.get()
    flavour.set(name)
    for _ in range(3):
        at_once.wait()
        yield before + flavour.get()


async def tastes_later(name: str) -> AsyncIterator[str]:
    before = flavour.get()
    flavour.set(name)
    for _ in range(3):
        await barrier_on_the_loop("stream").wait()
        yield before + flavour.get()


async def taste_later(name: str) -> str:
    before = flavour.get()
    flavour.set(name)
    await barrier_on_the_loop("coroutine").wait()
    return before + flavour.get()


@on_a_loop
async def test_concurrent_invocations_share_no_context() -> None:
    count = TOGETHER
    functions = {"sync_stream": tastes, "async_stream": tastes_later, "coroutine": taste_later}
    async with engine_of(functions) as engine:
        streams = [
            chunks_of(engine, tag, str(number)) for tag in ("sync_stream", "async_stream") for number in range(count)
        ]
        results = [result_of(engine, "coroutine", str(number)) for number in range(count)]

        assert await asyncio.gather(*streams) == [[f"none{number}"] * 3 for number in range(count)] * 2
        assert await asyncio.gather(*results) == [f"none{number}" for number in range(count)]
        assert flavour.get() == "none"


@pytest.mark.in_process("context variables of the caller's task do not reach another process")
@on_a_loop
async def test_an_invocation_sees_what_its_caller_had_set() -> None:
    flavour.set("sweet")
    async with engine_of({"sync": flavour.get, "sync_stream": lambda: map(ContextVar.get, [flavour])}) as engine:
        assert await result_of(engine, "sync") == "sweet"
        assert await chunks_of(engine, "sync_stream") == ["sweet"]
