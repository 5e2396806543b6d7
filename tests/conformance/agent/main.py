"""The reference agent: every function does what its arguments say, so that a case is nothing but a call.

Conformance of a server of another kind can be tested as well: it has to serve these entrypoints.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from runagent_grpc import current_invocation

_PATIENCE_SECONDS = 10.0

_arrived: dict[str, threading.Event] = defaultdict(threading.Event)
_left: dict[str, threading.Event] = defaultdict(threading.Event)
_runs: dict[str, int] = defaultdict(int)


def echo(value: Any = None) -> Any:
    """Returns its argument."""
    return value


def echo_stream(*values: Any) -> Iterator[Any]:
    """Yields each of its arguments."""
    yield from values


def arguments(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """Returns what it was called with."""
    return {"args": list(args), "kwargs": kwargs}


def names(**kwargs: Any) -> list[str]:
    """Returns the names that it was called with, in their order."""
    return list(kwargs)


def names_stream(**kwargs: Any) -> Iterator[str]:
    """Yields the names that it was called with, in their order."""
    yield from kwargs


def describe(value: Any) -> dict[str, str]:
    """Returns what Python sees in a value, which shows what an echo hides."""
    return {"type": type(value).__name__, "repr": repr(value)}


def measure(value: Any) -> int:
    """Returns how long a text, some bytes or a list is, and how deep anything else nests."""
    return len(value) if isinstance(value, str | bytes) else _depth_of(value)


def typed(count: int, names: list[str], ratio: float = 1.0, loud: bool = False) -> dict[str, Any]:
    """Returns its arguments as their annotations made them."""
    return {"count": count, "names": names, "ratio": ratio, "loud": loud}


def context() -> dict[str, Any]:
    """Returns on whose behalf it runs."""
    invocation = current_invocation()
    return {
        "agent_id": invocation.agent_id,
        "entrypoint_tag": invocation.entrypoint_tag,
        "user_id": invocation.user_id,
        "persistent_memory": invocation.persistent_memory,
    }


def special(name: str) -> Any:
    """Returns a value that not everything can carry."""
    return _SPECIAL[name]


def special_stream(name: str) -> Iterator[Any]:
    """Yields a value that not everything can carry."""
    yield _SPECIAL[name]


def big(size: int, text: str = "x") -> str:
    """Returns a text of so many repetitions."""
    return text * size


def big_stream(size: int, count: int = 1) -> Iterator[str]:
    """Yields texts of so many characters."""
    for _ in range(count):
        yield "x" * size


def deep(levels: int) -> Any:
    """Returns lists within lists."""
    return _nested(levels)


def fail(message: str = "It failed.") -> None:
    """Raises."""
    raise RuntimeError(message)


async def fail_softly(message: str = "It failed.") -> None:
    """Raises in a coroutine."""
    await asyncio.sleep(0)
    raise RuntimeError(message)


def fail_stream(after: int = 0, message: str = "It failed.") -> Iterator[int]:
    """Yields 1, 2 and so on, then raises."""
    yield from range(1, after + 1)
    raise RuntimeError(message)


async def sleep(seconds: float, value: Any = "awake") -> Any:
    """Returns after a while."""
    await asyncio.sleep(seconds)
    return value


def count_stream(count: int, pause: float = 0.0) -> Iterator[int]:
    """Yields 1 to `count`, with a pause before each but the first."""
    for number in range(1, count + 1):
        if number > 1 and pause:
            time.sleep(pause)
        yield number


async def linger_stream(count: int = 0, seconds: float = 60.0, mark: str = "") -> AsyncIterator[int]:
    """Yields 1 to `count` at once, and ends after so many seconds."""
    with _marked(mark) as arrived:
        for number in range(1, count + 1):
            yield number
        arrived()
        await asyncio.sleep(seconds)


async def linger(seconds: float = 60.0, mark: str = "") -> str:
    """Returns after so many seconds."""
    with _marked(mark) as arrived:
        arrived()
        await asyncio.sleep(seconds)
    return "stayed"


def arrived(mark: str) -> bool:
    """Waits, ten seconds at most, for a lingering run of this mark to have yielded all. Returns whether it has."""
    return _arrived[mark].wait(_PATIENCE_SECONDS)


def left(mark: str) -> bool:
    """Waits, ten seconds at most, for a lingering run of this mark to be over. Returns whether it is."""
    return _left[mark].wait(_PATIENCE_SECONDS)


def runs(mark: str) -> int:
    """Returns how often it ran with this mark."""
    _runs[mark] += 1
    return _runs[mark]


def runs_stream(mark: str, count: int = 3) -> Iterator[str]:
    """Yields so many chunks that tell how often it ran with this mark."""
    run = runs(mark)
    yield from (f"run {run}, chunk {number}" for number in range(1, count + 1))


@contextmanager
def _marked(mark: str) -> Iterator[Callable[[], None]]:
    try:
        yield _arrived[mark].set
    finally:
        _left[mark].set()


def _nested(levels: int) -> Any:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def _depth_of(value: Any) -> int:
    depth = 0
    while isinstance(value, list):
        depth, value = depth + 1, value[0] if value else None
    return depth


_SPECIAL: dict[str, Any] = {
    "nan": float("nan"),
    "infinity": float("inf"),
    "minus-infinity": float("-inf"),
    "nan-inside": {"value": [float("nan"), float("inf")]},
    "bytes": bytes(range(256)),
    "bytes-inside": {"value": b"\x00\xff"},
    "no-bytes": b"",
    "surrogate": "a\ud800b",
    "surrogate-inside": ["a\udfffb"],
    "nul": "a\x00b",
    "tuple": (1, "a", None),
    "number-keys": {1: "one", None: "none", 2.5: "two and a half"},
    "nothing": None,
    "empty": "",
}
