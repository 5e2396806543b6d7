"""An agent that does what its arguments say, for the tests of the command line."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Literal

from runagent_grpc import current_invocation


def greet(name: str) -> str:
    """Greets somebody."""
    return f"Hello, {name}!"


def kinds(count: int, ratio: float = 0.5, loud: bool = False, tags: list[str] | None = None) -> dict[str, Any]:
    """Returns what it was given, so that a caller sees what became of it.

    The second paragraph is long enough to need a second line in any terminal that has eighty columns or fewer of them.
    """
    return {"count": count, "ratio": ratio, "loud": loud, "tags": tags}


def label(tag: str, timeout: str = "", input: str = "") -> str:  # noqa: A002 - an option's name is the point
    """Takes parameters named as options of the command line are."""
    return f"{tag},{timeout},{input}"


def anything(**kwargs: Any) -> dict[str, Any]:
    return kwargs


def value_of(kind: Literal["none", "text", "bytes", "integer", "list", "unicode"]) -> Any:
    """Returns one value of a kind."""
    return {
        "none": None,
        "text": "two\nlines",
        "bytes": b"\x00\xff\n\x80",
        "integer": 10**30,
        "list": [1, 1.0, "é", {"a": None}],
        "unicode": "grüße 🌊",
    }[kind]


def whose() -> list[Any]:
    """Returns on whose behalf it is called."""
    current = current_invocation()
    return [current.user_id, current.persistent_memory]


def fail(text: str) -> None:
    raise ValueError(text)


async def wait(folder: str) -> None:
    """Runs until it is cancelled, and leaves `started` and `finished` in the folder."""
    _mark(folder, "started")
    try:
        await asyncio.Event().wait()
    finally:
        _mark(folder, "finished")


def chatty() -> str:
    print("printed by the entrypoint")  # noqa: T201 - as entrypoints do
    return "returned"


def text_stream() -> Iterator[str]:
    """Yields text that a careless printer would change."""
    yield from ["no newline", " [bold]markup[/bold] ", "\x1b[1m", "", "grüße 🌊\r\n", "100%"]


def bytes_stream() -> Iterator[bytes]:
    yield from [b"\x00\xff", b"", b"\n\x80"]


def mixed_stream() -> Iterator[Any]:
    yield from ["text", {"a": 1, "ü": [1.0, None]}, None, 7, 10**30, True, b"raw", [], "text"]


def fail_stream(count: int) -> Iterator[str]:
    for number in range(count):
        yield f"{number} "
    raise ValueError("The tokens ran out.")


def ticks_stream(folder: str) -> Iterator[str]:
    """Ticks until it is closed, and leaves `finished` in the folder."""
    try:
        while True:
            yield "tick\n"
            time.sleep(0.001)
    finally:
        _mark(folder, "finished")


async def hush_stream(folder: str) -> AsyncIterator[str]:
    """Says one thing, and then nothing more until it is cancelled; leaves `finished` in the folder."""
    try:
        yield "hush\n"
        await asyncio.Event().wait()
    finally:
        _mark(folder, "finished")


def gated_stream(folder: str) -> Iterator[str]:
    """Says one thing, and another once there is a file `gate` in the folder."""
    yield "before\n"
    while not (Path(folder) / "gate").exists():
        time.sleep(0.005)
    yield "after\n"


def _mark(folder: str, name: str) -> None:
    (Path(folder) / name).touch()
