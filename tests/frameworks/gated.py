"""Lets a test speak for a template's model. Copied into the agent's folder, so it imports nothing of this project.

A template's `stand_in.py` has a generator, `words(prompt)`. Wrapped in `gated`, it takes its words from a socket of the
test's where the prompt names one (tests/frameworks/gate.py), and is as it was otherwise.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

__all__ = ["gated"]


def gated(words: Callable[[str], Any]) -> Callable[[str], Any]:
    """Returns the words of the template, or of the test."""

    def said(prompt: str) -> Iterator[str]:
        if (port := _port_in(prompt)) is None:
            yield from words(prompt)
            return
        with socket.create_connection(("127.0.0.1", port)) as line, line.makefile() as heard:
            yield from map(_word_in, heard)

    async def said_later(prompt: str) -> AsyncIterator[str]:
        if (port := _port_in(prompt)) is None:
            async for word in words(prompt):
                yield word
            return
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async for heard in reader:
                yield _word_in(heard)
        finally:
            writer.close()

    return said_later if inspect.isasyncgenfunction(words) else said


def _port_in(prompt: str) -> int | None:
    found = re.search(r"gate:(\d+)", prompt)
    return int(found[1]) if found else None


def _word_in(heard: str | bytes) -> str:
    said: dict[str, str] = json.loads(heard)
    if "failure" in said:
        raise RuntimeError(said["failure"])
    return said["word"]
