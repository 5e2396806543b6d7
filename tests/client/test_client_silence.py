from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest

from runagent_grpc.client import AsyncRunAgentClient, RunAgentClient
from runagent_grpc.client.idle_watchdog import IdleWatchdog
from runagent_grpc.errors import UnavailableError
from tests.client.fakes import INVOCATION_ID, chunks, completed, heartbeat, scripted, started
from tests.waiting import eventually, on_a_loop


class Stream:
    """A stream that counts as silent from a moment on."""

    def __init__(self, silent_after: float | None) -> None:
        self.silent_after = silent_after
        self.ends = 0

    def on_silence(self) -> None:
        self.ends += 1
        self.silent_after = None

    def on_client_closed(self) -> None: ...


class Left:
    """The events of a stream that nobody reads any more."""

    def __init__(self) -> None:
        self.farewells: list[Any] = []

    def receive(self) -> None: ...

    def finish(self) -> None: ...

    def abort(self) -> None: ...

    def leave(self, cancel_request: Any) -> None:
        raise AssertionError("The watchdog's thread must not wait.")

    def drop(self, cancel_request: Any) -> None:
        self.farewells.append(cancel_request)


def watch_at(now: list[float]) -> IdleWatchdog:
    return IdleWatchdog(clock=lambda: now[0], interval=0.001)


def test_a_silent_stream_is_ended_once() -> None:
    now = [0.0]
    watch, stream = watch_at(now), Stream(5.0)
    watch.add(stream)
    now[0] = 5.0
    eventually(lambda: stream.ends)

    other = Stream(6.0)
    watch.add(other)
    now[0] = 6.0
    eventually(lambda: other.ends)
    assert stream.ends == 1
    for each in (stream, other):
        watch.remove(each)


def test_a_stream_that_is_not_silent_is_left_alone() -> None:
    now = [0.0]
    watch, silent = watch_at(now), Stream(5.0)
    live, idle, removed = Stream(100.0), Stream(None), Stream(5.0)
    for stream in (live, idle, removed, silent):
        watch.add(stream)
    watch.remove(removed)
    now[0] = 5.0
    eventually(lambda: silent.ends)
    assert (live.ends, idle.ends, removed.ends) == (0, 0, 0)
    for stream in (live, idle, silent):
        watch.remove(stream)


def test_a_watch_with_nothing_to_watch_holds_no_thread() -> None:
    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "runagent-silence"]

    # The streams of earlier tests, which an exception's traceback may hold in a circle.
    gc.collect()
    eventually(lambda: not threads())
    watch, stream = watch_at([0.0]), Stream(None)
    watch.add(stream)
    assert len(threads()) == 1
    other = Stream(None)
    watch.add(other)
    assert len(threads()) == 1
    watch.remove(stream)
    watch.remove(stream)
    watch.remove(other)
    eventually(lambda: not threads())


def test_a_watch_keeps_no_stream_alive() -> None:
    class Dropped(Stream):
        def __del__(self) -> None:
            watch.drop(events, None)

    watch, events, stream = watch_at([0.0]), Left(), Dropped(None)
    watch.add(stream)
    gone = weakref.ref(stream)
    del stream
    eventually(lambda: gone() is None)
    eventually(lambda: events.farewells == [None])


def impatient(base_url: str) -> RunAgentClient:
    """A client that looks every millisecond whether a stream is silent, and gives up then."""
    client = RunAgentClient(None, "any_stream", base_url=base_url, retry_seconds=0)
    client._connection.watchdog = IdleWatchdog(interval=0.001)
    return client


def test_a_server_that_falls_silent_is_noticed() -> None:
    with scripted(started(0.02), chunks(1, "a"), heartbeat(), then_silent=True) as server:
        with impatient(server.base_url) as client:
            stream = client.run()
            assert next(stream) == "a"
            with pytest.raises(UnavailableError) as caught:
                next(stream)
        assert server.left.wait(10)

    assert (caught.value.reason, caught.value.message) == ("STREAM_INTERRUPTED", "The server fell silent for 0.06 s.")
    assert caught.value.invocation_id == INVOCATION_ID


@on_a_loop
async def test_a_server_that_falls_silent_is_noticed_on_a_loop() -> None:
    with scripted(started(0.02), chunks(1, "a"), heartbeat(), then_silent=True) as server:
        async with AsyncRunAgentClient(None, "any_stream", base_url=server.base_url, retry_seconds=0) as client:
            stream = client.run_stream()
            assert await anext(stream) == "a"
            with pytest.raises(UnavailableError) as caught:
                await anext(stream)

    assert (caught.value.reason, caught.value.message) == ("STREAM_INTERRUPTED", "The server fell silent for 0.06 s.")
    assert caught.value.invocation_id == INVOCATION_ID


def test_a_caller_who_takes_their_time_is_not_a_server_that_fell_silent() -> None:
    with (
        scripted(started(0.001), chunks(1, "a"), chunks(2, "b"), completed(2)) as server,
        impatient(server.base_url) as client,
    ):
        stream = client.run()
        came = [next(stream)]
        # For as long as many silences, and until the watch has looked many times.
        threading.Event().wait(0.1)
        came += stream

    assert came == ["a", "b"]


def test_signs_of_life_keep_a_stream_alive() -> None:
    with (
        scripted(started(0.05), *[heartbeat()] * 50, chunks(1, "a"), completed(1)) as server,
        impatient(server.base_url) as client,
    ):
        assert list(client.run()) == ["a"]
