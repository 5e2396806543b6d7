from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable

import pytest

from runagent_grpc.core.event_loop import post
from runagent_grpc.worker.threads import Threads
from tests.waiting import eventually


def alive() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("runagent-entrypoint-")}


@pytest.fixture(autouse=True)
def no_other_threads() -> None:
    """Lets the threads of earlier tests go, for these tests count."""
    eventually(lambda: not alive())


def waiting_for(what: threading.Barrier | threading.Event) -> Callable[[], None]:
    def job() -> None:
        what.wait()

    return job


def test_jobs_run_at_once_however_many_block() -> None:
    threads = Threads(idle_seconds=0)
    all_there = threading.Barrier(101, timeout=10)

    for _ in range(100):
        threads.start(waiting_for(all_there))
    all_there.wait()

    eventually(lambda: not alive())


def test_a_thread_is_kept_for_the_next_job() -> None:
    threads = Threads(idle_seconds=30)
    seen: list[int] = []

    for count in range(1, 6):
        threads.start(lambda: seen.append(threading.get_ident()))
        # Only a thread that says it is idle can be taken again.
        eventually(lambda: len(threads._idle) == 1)
        assert len(seen) == count

    assert len(set(seen)) == 1
    release(threads)


def release(threads: Threads) -> None:
    """Ends an idle thread without waiting for its time."""
    threads._idle_seconds = 0
    threads.start(lambda: None)
    eventually(lambda: not alive())


def test_an_idle_thread_ends_after_its_time() -> None:
    threads = Threads(idle_seconds=0.01)

    for _ in range(3):
        threads.start(lambda: None)
        eventually(lambda: not alive())

    assert threads._idle == []


def test_no_job_is_lost_when_a_thread_is_about_to_end() -> None:
    # With no time to idle, every thread that is found idle is about to end.
    threads = Threads(idle_seconds=0)
    done = threading.Semaphore(0)

    for _ in range(2000):
        threads.start(lambda: done.release())

    assert all(done.acquire(timeout=10) for _ in range(2000))
    eventually(lambda: not alive())
    assert threads._idle == []


def test_threads_do_not_hold_up_the_end_of_the_process() -> None:
    threads = Threads(idle_seconds=0)
    go = threading.Event()
    threads.start(waiting_for(go))

    assert all(thread.daemon for thread in alive())
    go.set()


class Held:
    def __call__(self) -> None: ...


def test_what_a_job_held_is_let_go_when_it_ends() -> None:
    threads = Threads(idle_seconds=30)
    held: list[weakref.ref[Callable[[], None]]] = []

    for _ in range(2):
        job = Held()
        held.append(weakref.ref(job))
        threads.start(job)
        del job
        eventually(lambda: len(threads._idle) == 1)

    gc.collect()
    assert [reference() for reference in held] == [None, None]
    release(threads)


def test_posting_to_a_loop_that_has_closed_does_nothing() -> None:
    loop = asyncio.new_event_loop()
    loop.close()

    post(loop, pytest.fail, "Nobody is there.")


def test_posting_from_any_thread_runs_on_the_loop() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ran: asyncio.Future[tuple[int, str]] = loop.create_future()
        Threads(idle_seconds=0).start(
            lambda: post(loop, lambda text: ran.set_result((threading.get_ident(), text)), "text")
        )
        assert await ran == (threading.get_ident(), "text")

    asyncio.run(main())
