"""Bodies of answers as chunks: for each kind a reader, which takes pieces and gives chunks, and knows no connection."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any, Protocol

from runagent_grpc.worker.webhook.answer import MAX_ANSWER_BYTES, UTF_8
from runagent_grpc.worker.webhook.documents import parsed
from runagent_grpc.worker.webhook.events import EventReader, LineReader, ServerSentEvent, TooLongError
from runagent_grpc.worker.webhook.wording import broken_off, reported_error

__all__ = ["ByteChunks", "ChunkDecoder", "EventChunks", "JsonChunks", "LineChunks", "TextChunks"]

_LAST_EVENT = "[DONE]"
"""What the OpenAI API, and whoever follows it, sends when there is no more to come."""
_JSON_HAS_NO_WORD_FOR = frozenset({"NaN", "Infinity", "-Infinity"})


class ChunkDecoder(Protocol):
    """Turns one body into chunks."""

    @property
    def is_done(self) -> bool:
        """Whether the target has said that no more chunks come, whatever else it may send."""

    def feed(self, piece: bytes) -> Iterator[Any]:
        """Yields the chunks that are complete with this piece. Raises TooLongError."""

    def end(self) -> Iterator[Any]:
        """Yields what is left when the body has ended. Raises WebhookError where it ended too soon."""


class EventChunks:
    """Server-sent events, a chunk each: the value of its data where that is JSON, otherwise its text."""

    def __init__(self, *, tells_its_end: bool) -> None:
        self.is_done = False
        self._tells_its_end = tells_its_end
        # By their standard, whatever the charset says.
        self._text = codecs.getincrementaldecoder(UTF_8)("replace")
        self._events = EventReader(MAX_ANSWER_BYTES)

    def feed(self, piece: bytes) -> Iterator[Any]:
        for event in self._events.feed(self._text.decode(piece)):
            if event.data == _LAST_EVENT:
                self.is_done = True
                return
            yield _chunk_of(event)

    def end(self) -> Iterator[Any]:
        event = self._events.rest()
        if event is None or event.data == _LAST_EVENT:
            return
        if not self._tells_its_end:
            raise broken_off()
        yield _chunk_of(event)


class LineChunks:
    """JSON documents, one a line, a chunk each."""

    is_done = False

    def __init__(self, charset: str | None) -> None:
        self._text = codecs.getincrementaldecoder(charset or UTF_8)("replace")
        self._lines = LineReader(MAX_ANSWER_BYTES)

    def feed(self, piece: bytes) -> Iterator[Any]:
        for line in self._lines.feed(self._text.decode(piece)):
            if not line.isspace() and line:
                yield parsed(line)

    def end(self) -> Iterator[Any]:
        if line := self._lines.rest().strip():
            yield parsed(line)


class JsonChunks:
    """One JSON document, the items of which are the chunks where it is an array; or several, one a line.

    Several are what n8n streams, as `application/json`. A document that fills the first line is the first of several
    until the end shows otherwise, so that each leaves as it comes.
    """

    is_done = False

    def __init__(self, charset: str | None) -> None:
        self._text = codecs.getincrementaldecoder(charset or UTF_8)("replace")
        self._lines = LineReader(MAX_ANSWER_BYTES)
        self._parts: list[str] = []
        """The lines of a document that has more than one."""
        self._size = 0
        self._has_first = False
        self._held: list[Any] | None = None
        """An array on the first line: the first chunk if another line follows, all of them if none does."""

    def feed(self, piece: bytes) -> Iterator[Any]:
        for line in self._lines.feed(self._text.decode(piece)):
            if self._parts:
                self._keep(line)
            elif not line or line.isspace():
                continue
            elif self._has_first:
                yield from self._next(line)
            else:
                yield from self._first(line)

    def end(self) -> Iterator[Any]:
        rest = self._lines.rest()
        if self._has_first:
            if rest.strip():
                yield from self._next(rest)
            elif self._held is not None:
                yield from self._held
        elif self._parts or rest.strip():
            value = parsed("\n".join([*self._parts, rest]))
            yield from value if isinstance(value, list) else [value]

    def _first(self, line: str) -> Iterator[Any]:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            self._keep(line)
            return
        self._has_first = True
        if isinstance(value, list):
            self._held = value
        else:
            yield value

    def _next(self, line: str) -> Iterator[Any]:
        if self._held is not None:
            yield self._held
            self._held = None
        yield parsed(line)

    def _keep(self, line: str) -> None:
        self._parts.append(line)
        self._size += len(line) + 1
        if self._size > MAX_ANSWER_BYTES:
            raise TooLongError


class TextChunks:
    """Text as it arrives, without a character in two halves."""

    is_done = False

    def __init__(self, charset: str | None) -> None:
        self._text = codecs.getincrementaldecoder(charset or UTF_8)("replace")

    def feed(self, piece: bytes) -> Iterator[str]:
        if text := self._text.decode(piece):
            yield text

    def end(self) -> Iterator[str]:
        if text := self._text.decode(b"", final=True):
            yield text


class ByteChunks:
    """Bytes as they arrive."""

    is_done = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        yield piece

    def end(self) -> Iterator[bytes]:
        yield from ()


def _chunk_of(event: ServerSentEvent) -> Any:
    if event.name == "error":
        raise reported_error(event.data)
    if event.data in _JSON_HAS_NO_WORD_FOR:
        return event.data
    try:
        return json.loads(event.data)
    except (ValueError, RecursionError):
        return event.data
