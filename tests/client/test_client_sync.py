from __future__ import annotations

import gc
import itertools
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from runagent_grpc.client import ChunkStream, RunAgentClient, RunAgentError
from runagent_grpc.errors import InvocationCancelledError, Reason
from runagent_grpc.testing import RunningServer, serving
from tests.client.fakes import INVOCATION_ID, chunks, scripted, started
from tests.waiting import eventually


class Endless:
    """A stream without end, and how often its `finally` ran."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.cleaned_up = 0

    def endless_stream(self) -> Iterator[int]:
        try:
            self.begun.set()
            for number in itertools.count():
                yield number
                threading.Event().wait(0.005)
        finally:
            self.cleaned_up += 1

    @contextmanager
    def served(self) -> Iterator[tuple[RunningServer, RunAgentClient]]:
        """Serves it. Behind the block, which must end the work, nothing may be left."""
        with (
            serving({"endless_stream": self.endless_stream, "one": lambda value: value}) as server,
            server.client("endless_stream") as client,
        ):
            yield server, client
            eventually(lambda: server.engine.active == 0)
        assert self.cleaned_up == 1


class StoppedError(BaseException):
    """What a signal handler raises, as Ctrl-C raises KeyboardInterrupt: no Exception."""


def main_thread_is_in_grpc() -> bool:
    frame = sys._current_frames()[threading.main_thread().ident or 0]
    return any(caller.f_globals["__name__"].startswith("grpc.") for caller, _ in traceback.walk_stack(frame))


@contextmanager
def interrupting(on: Callable[[], object]) -> Iterator[None]:
    """Interrupts the main thread with StoppedError once `on` holds."""

    def interrupt(*_: object) -> None:
        raise StoppedError

    def watch() -> None:
        eventually(on)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)


def test_a_stream_is_an_iterator_and_a_run_is_a_value() -> None:
    with Endless().served() as (server, client):
        stream = client.run()
        assert isinstance(stream, ChunkStream)
        assert iter(stream) is stream
        assert [next(stream) for _ in range(3)] == [0, 1, 2]
        stream.close()
        assert server.client("one").run(1) == 1


def test_leaving_the_block_of_a_stream_cancels_it() -> None:
    with Endless().served() as (_, client):
        with client.run_stream() as stream:
            for chunk in stream:
                if chunk == 2:
                    break
        assert list(stream) == []


def test_an_error_in_the_block_of_a_stream_cancels_it_and_comes_through() -> None:
    def use(stream: ChunkStream) -> None:
        with stream:
            next(stream)
            raise LookupError("The caller's own.")

    with Endless().served() as (_, client), pytest.raises(LookupError, match="The caller's own"):
        use(client.run_stream())


def test_closing_a_stream_cancels_it_once() -> None:
    with Endless().served() as (_, client):
        stream = client.run()
        next(stream)
        stream.close()
        stream.close()
        assert next(stream, "end") == "end"


def test_a_stream_may_be_closed_before_its_first_chunk() -> None:
    work = Endless()
    with work.served() as (_, client):
        stream = client.run()
        assert work.begun.wait(10)
        stream.close()


def test_dropping_a_stream_cancels_it() -> None:
    with Endless().served() as (_, client):
        stream = client.run()
        next(stream)
        del stream
        gc.collect()


def test_breaking_out_of_a_loop_cancels_the_stream() -> None:
    with Endless().served() as (_, client):
        for chunk in client.run():
            if chunk == 1:
                break


def test_closing_the_client_ends_its_streams() -> None:
    with Endless().served() as (_, client):
        stream = client.run()
        next(stream)
        client.close()
        with pytest.raises(RunAgentError):
            for _ in stream:
                pass


def close_it(stream: ChunkStream) -> None:
    stream.close()


def leave_its_block(stream: ChunkStream) -> None:
    with stream:
        pass


@pytest.mark.parametrize("leave", [close_it, leave_its_block])
def test_a_caller_who_leaves_tells_the_server_that_it_was_on_purpose(leave: Callable[[ChunkStream], None]) -> None:
    with (
        scripted(started(), chunks(1, "a"), then_silent=True) as server,
        RunAgentClient(None, "any_stream", base_url=server.base_url) as client,
    ):
        stream = client.run()
        assert next(stream) == "a"
        leave(stream)
        assert server.cancelled == [INVOCATION_ID]
        assert server.left.wait(10)


def test_a_caller_who_drops_a_stream_tells_the_server_without_waiting_for_it() -> None:
    with (
        scripted(started(), chunks(1, "a"), then_silent=True) as server,
        RunAgentClient(None, "any_stream", base_url=server.base_url) as client,
    ):
        assert next(client.run()) == "a"
        gc.collect()
        eventually(lambda: server.cancelled == [INVOCATION_ID])


def test_an_interruption_of_a_stream_cancels_it() -> None:
    with (
        scripted(started(), chunks(1, "a"), then_silent=True) as server,
        RunAgentClient(None, "any_stream", base_url=server.base_url) as client,
    ):
        stream = client.run()
        assert next(stream) == "a"
        with interrupting(main_thread_is_in_grpc), pytest.raises(StoppedError):
            next(stream)
        assert server.cancelled == [INVOCATION_ID]
        assert server.left.wait(10)


def test_an_interruption_of_a_run_drops_the_call() -> None:
    with (
        scripted() as server,
        RunAgentClient(None, "any", base_url=server.base_url) as client,
    ):
        with interrupting(lambda: server.calls and main_thread_is_in_grpc()), pytest.raises(StoppedError):
            client.run()
        assert server.left.wait(10)


def test_threads_may_share_a_client() -> None:
    def work(number: int) -> tuple[Any, Any]:
        return client.run(number), list(streaming.run(number, number + 1))

    entrypoints = {"one": lambda value: value, "each_stream": lambda *values: iter(values)}
    with (
        serving(entrypoints) as server,
        server.client("one") as client,
        server.client("each_stream") as streaming,
        ThreadPoolExecutor(20) as pool,
    ):
        answers = list(pool.map(work, range(100)))

    assert answers == [(number, [number, number + 1]) for number in range(100)]


def test_streams_of_one_client_do_not_wait_for_each_other() -> None:
    meeting = threading.Barrier(5)

    def meet_stream() -> Iterator[str]:
        yield "here"
        meeting.wait(10)
        yield "all here"

    with serving({"meet_stream": meet_stream}) as server, server.client("meet_stream") as client:
        streams = [client.run() for _ in range(5)]
        assert [next(stream) for stream in streams] == ["here"] * 5
        assert [next(stream) for stream in streams] == ["all here"] * 5
        assert all(list(stream) == [] for stream in streams)


def test_a_stream_can_be_closed_by_another_thread_than_its_readers() -> None:
    with (
        scripted(started(), chunks(1, "a"), then_silent=True) as server,
        RunAgentClient(None, "any_stream", base_url=server.base_url) as client,
    ):
        stream = client.run()
        assert next(stream) == "a"

        def close_soon() -> None:
            eventually(main_thread_is_in_grpc)
            stream.close()

        closing = threading.Thread(target=close_soon)
        closing.start()
        with pytest.raises(RunAgentError) as caught:
            next(stream)
        closing.join()

    assert caught.value.reason == "CANCELLED"


def test_no_thread_is_left_behind_by_streams_that_were_dropped() -> None:
    def endless_stream() -> Iterator[int]:
        yield from itertools.repeat(1)

    with serving({"endless_stream": endless_stream}) as server:
        before = threading.active_count()
        with server.client("endless_stream") as client:
            for _ in range(20):
                assert next(client.run()) == 1
            eventually(lambda: server.engine.active == 0)
        gc.collect()
        eventually(lambda: threading.active_count() <= before + 1)


def test_a_client_that_is_closed_while_others_use_it_raises_nothing_of_grpcs() -> None:
    done = threading.Event()

    def use(client: RunAgentClient) -> set[Reason]:
        reasons = set()
        while not done.is_set():
            try:
                client.run(1)
                client.list_agents()
            except RunAgentError as error:
                reasons.add(error.reason)
        return reasons

    with serving({"one": lambda value: value}) as server, server.client("one") as client, ThreadPoolExecutor(4) as pool:
        users = [pool.submit(use, client) for _ in range(4)]
        for _ in range(300):
            client.close()
        done.set()
        reasons = set().union(*(user.result(timeout=30) for user in users))
        assert reasons <= {Reason.CANCELLED, Reason.CONNECTION_ERROR}
        assert client.run(2) == 2


def test_a_stream_that_another_thread_closes_does_not_end_as_if_it_were_complete() -> None:
    endless = Endless()
    with endless.served() as (_, client), ThreadPoolExecutor(1) as pool:
        stream = client.run_stream()
        next(stream)
        reading = pool.submit(list, stream)
        stream.close()
        with pytest.raises(InvocationCancelledError, match=r"^The stream was closed\.$"):
            reading.result(timeout=30)


def test_a_stream_that_its_reader_closes_just_ends() -> None:
    endless = Endless()
    with endless.served() as (_, client):
        stream = client.run_stream()
        seen = []
        for chunk in stream:
            seen.append(chunk)
            if chunk == 2:
                stream.close()
        assert seen[:3] == [0, 1, 2]


def test_a_stream_dropped_behind_its_client_connects_to_nothing() -> None:
    endless = Endless()
    with endless.served() as (_, client):
        stream = client.run_stream()
        next(stream)
        client.close()
        del stream
        gc.collect()
        assert client._connection._transport is None


def test_streams_that_are_collected_while_they_are_watched_hold_nobody_up() -> None:
    endless = Endless()
    with endless.served() as (server, client):
        stream = client.run_stream()
        next(stream)
        watch = stream._watchdog
        cycle: list[Any] = [stream]
        cycle.append(cycle)
        del cycle, stream
        # As the collector may at any allocation under the lock.
        with watch._lock:
            gc.collect()
        eventually(lambda: server.engine.active == 0)
        assert client.list_agents()
