"""Lines, and server-sent events, from text that arrives in pieces. Knows no connection, and nothing of what they mean.

The format of events is the HTML standard's, section 9.2. `id` and `retry` are for browsers that connect again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["EventReader", "LineReader", "ServerSentEvent", "TooLongError"]

_END_OF_LINE = re.compile(r"\r\n|\n|\r")


class TooLongError(Exception):
    """A line or an event goes on beyond its limit."""


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event: its `event` field, and its lines of data, joined."""

    name: str
    data: str


class LineReader:
    """Splits text at line ends, whichever of the three there are."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[str] = []
        self._size = 0
        self._after_cr = False

    def feed(self, text: str) -> Iterator[str]:
        """Yields the lines that are complete with this text, without their ends."""
        if self._after_cr and text:
            # The second half of an end that was cut in two.
            text = text.removeprefix("\n")
            self._after_cr = False
        if not text:
            return
        self._after_cr = text.endswith("\r")
        first, *others = _END_OF_LINE.split(text)
        self._parts.append(first)
        self._size += len(first)
        if self._size > self._limit:
            raise TooLongError
        if others:
            yield self._taken()
            *lines, unfinished = others
            yield from lines
            self._parts.append(unfinished)
            self._size = len(unfinished)

    def rest(self) -> str:
        """Returns what came after the last end of a line."""
        return self._taken()

    def _taken(self) -> str:
        line = "".join(self._parts)
        self._parts.clear()
        self._size = 0
        return line


class EventReader:
    """Reads server-sent events from text."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lines = LineReader(limit)
        self._name = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, text: str) -> Iterator[ServerSentEvent]:
        """Yields the events that are complete with this text."""
        for line in self._lines.feed(text):
            if line:
                self._take(line)
            elif event := self._event():
                yield event

    def rest(self) -> ServerSentEvent | None:
        """Returns the event that no empty line has ended."""
        if line := self._lines.rest():
            self._take(line)
        return self._event()

    def _take(self, line: str) -> None:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
            self._size += len(value) + 1
            if self._size > self._limit:
                raise TooLongError

    def _event(self) -> ServerSentEvent | None:
        # An event without data is none; that is how servers show that they are alive.
        event = ServerSentEvent(self._name, "\n".join(self._data)) if self._data else None
        self._name, self._size = "", 0
        self._data.clear()
        return event
