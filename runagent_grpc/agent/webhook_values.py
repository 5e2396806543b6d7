"""What the body of a webhook's answer means: one value, or chunks as they come.

Each kind of body has a reader, which takes pieces and gives chunks, and knows no connection.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any, Protocol

from runagent_grpc.agent.webhook_answer import MAX_ANSWER_BYTES, UTF_8, Answer, too_large
from runagent_grpc.agent.webhook_errors import WebhookError, broken_off, reported_error
from runagent_grpc.agent.webhook_events import Event, EventReader, LineReader, TooLongError

__all__ = ["chunks_of", "value_of"]

_EVENTS = "text/event-stream"
_LINES = frozenset(
    f"application/{name}" for name in ("jsonl", "x-jsonl", "jsonlines", "x-jsonlines", "ndjson", "x-ndjson")
)
_LAST_EVENT = "[DONE]"
"""What the OpenAI API, and whoever follows it, sends when there is no more to come."""
_JSON_HAS_NO_WORD_FOR = frozenset({"NaN", "Infinity", "-Infinity"})


async def value_of(answer: Answer) -> Any:
    """Reads an answer as the one value of a plain entrypoint. What was made for streaming becomes a list."""
    body = await answer.read()
    if answer.media_type == _EVENTS or answer.media_type in _LINES:
        reader = _reader_of(answer)
        return [*reader.feed(body), *([] if reader.is_done else reader.end())]
    if not body:
        return None
    if _is_json(answer.media_type):
        # UTF-8 that is none is no JSON; elsewhere a character may be lost.
        return _parsed(body if answer.charset in {None, UTF_8} else body.decode(answer.charset, "replace"))
    if _is_text(answer):
        return body.decode(answer.charset or UTF_8, "replace")
    return body if answer.media_type else _guessed(body)


async def chunks_of(answer: Answer) -> AsyncGenerator[Any, None]:
    """Yields what a streaming entrypoint's answer holds, as it comes."""
    reader = _reader_of(answer)
    async with aclosing(answer.pieces()) as pieces:
        async for piece in pieces:
            try:
                for chunk in reader.feed(piece):
                    yield chunk
            except TooLongError:
                raise too_large() from None
            if reader.is_done:
                return
    for chunk in reader.end():
        yield chunk


class _Reader(Protocol):
    """Turns one body into chunks."""

    @property
    def is_done(self) -> bool:
        """Whether the target has said that no more chunks come, whatever else it may send."""

    def feed(self, piece: bytes) -> Iterator[Any]:
        """Yields the chunks that are complete with this piece. Raises TooLongError."""

    def end(self) -> Iterator[Any]:
        """Yields what is left when the body has ended. Raises WebhookError where it ended too soon."""


def _reader_of(answer: Answer) -> _Reader:
    if answer.media_type == _EVENTS:
        return _EventChunks(answer)
    if answer.media_type in _LINES:
        return _LineChunks(answer)
    if _is_json(answer.media_type):
        return _JsonChunks(answer)
    return _TextChunks(answer) if _is_text(answer) or not answer.media_type else _ByteChunks()


def _is_json(media_type: str) -> bool:
    return media_type in {"application/json", "text/json"} or media_type.endswith("+json")


def _is_text(answer: Answer) -> bool:
    return answer.media_type.startswith("text/") or answer.media_type.endswith("xml") or answer.charset is not None


class _EventChunks:
    """Server-sent events, a chunk each: the value of its data where that is JSON, otherwise its text."""

    def __init__(self, answer: Answer) -> None:
        self.is_done = False
        self._answer = answer
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
        if not self._answer.tells_its_end:
            raise broken_off()
        yield _chunk_of(event)


class _LineChunks:
    """JSON documents, one a line, a chunk each."""

    is_done = False

    def __init__(self, answer: Answer) -> None:
        self._text = codecs.getincrementaldecoder(answer.charset or UTF_8)("replace")
        self._lines = LineReader(MAX_ANSWER_BYTES)

    def feed(self, piece: bytes) -> Iterator[Any]:
        for line in self._lines.feed(self._text.decode(piece)):
            if not line.isspace() and line:
                yield _parsed(line)

    def end(self) -> Iterator[Any]:
        if line := self._lines.rest().strip():
            yield _parsed(line)


class _JsonChunks:
    """One JSON document, the items of which are the chunks where it is an array; or several, one a line.

    Several are what n8n streams, as `application/json`. A document that fills the first line is the first of several
    until the end shows otherwise, so that each leaves as it comes.
    """

    is_done = False

    def __init__(self, answer: Answer) -> None:
        self._text = codecs.getincrementaldecoder(answer.charset or UTF_8)("replace")
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
            value = _parsed("\n".join([*self._parts, rest]))
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
        yield _parsed(line)

    def _keep(self, line: str) -> None:
        self._parts.append(line)
        self._size += len(line) + 1
        if self._size > MAX_ANSWER_BYTES:
            raise TooLongError


class _TextChunks:
    """Text as it arrives, without a character in two halves."""

    is_done = False

    def __init__(self, answer: Answer) -> None:
        self._text = codecs.getincrementaldecoder(answer.charset or UTF_8)("replace")

    def feed(self, piece: bytes) -> Iterator[str]:
        if text := self._text.decode(piece):
            yield text

    def end(self) -> Iterator[str]:
        if text := self._text.decode(b"", final=True):
            yield text


class _ByteChunks:
    """Bytes as they arrive."""

    is_done = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        yield piece

    def end(self) -> Iterator[bytes]:
        yield from ()


def _chunk_of(event: Event) -> Any:
    if event.name == "error":
        raise reported_error(event.data)
    if event.data in _JSON_HAS_NO_WORD_FOR:
        return event.data
    try:
        return json.loads(event.data)
    except (ValueError, RecursionError):
        return event.data


def _parsed(document: str | bytes) -> Any:
    """Parses JSON as targets write it: NaN and a name that stands twice are let through, as Python does."""
    try:
        return json.loads(document)
    except RecursionError:
        raise WebhookError("The webhook's answer nests too deep. Let it answer with a flatter value.") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise WebhookError(
            "The webhook's answer says that it is JSON, and is not. See what answers at `webhook_url`."
        ) from None
    except ValueError:
        # Python's own limit (CVE-2020-10735), and ours (docs/wire.md, values).
        raise WebhookError(
            "The webhook's answer holds an integer of more than 4,300 digits. Let it answer with a string."
        ) from None


def _guessed(body: bytes) -> Any:
    """Returns what a body is that nothing is said about: JSON, if not that text, and if not that bytes."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        pass
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body
