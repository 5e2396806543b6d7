"""An event loop whose time passes when a test says so, for what lies minutes apart."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

__all__ = ["Clockwork", "on_clockwork", "passes", "turns", "until"]

P = ParamSpec("P")


class Clockwork(asyncio.SelectorEventLoop):
    """Its timers go off when `advance` has come to them, and never by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 1000.0

    def time(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


def on_clockwork(test: Callable[P, Coroutine[Any, Any, None]], *, seconds: float = 30.0) -> Callable[P, None]:
    """Makes a test of a coroutine function: runs it on such a loop, for at most `seconds` of real time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=Clockwork) as runner:

            async def bounded() -> None:
                task = asyncio.current_task()
                assert task is not None
                # The loop's own timers stand still.
                alarm = threading.Timer(seconds, runner.get_loop().call_soon_threadsafe, [task.cancel])
                alarm.daemon = True
                alarm.start()
                try:
                    await test(*args, **kwargs)
                finally:
                    alarm.cancel()

            runner.run(bounded())

    return run


async def turns(count: int = 20) -> None:
    """Lets everything on the loop run that can."""
    for _ in range(count):
        await asyncio.sleep(0)


async def passes(seconds: float) -> None:
    """Lets time pass, and then everything run whose time has come."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Clockwork)
    loop.advance(seconds)
    await turns()


async def until(predicate: Callable[[], object], *, seconds: float = 10.0) -> None:
    """Is `soon` for this loop: returns once `predicate` holds, which another thread may bring about."""
    deadline = time.monotonic() + seconds
    while not predicate():
        assert time.monotonic() < deadline, f"It did not come true within {seconds:g} s."
        await turns()
        time.sleep(0.0005)  # noqa: ASYNC251 - the loop's own timers stand still
