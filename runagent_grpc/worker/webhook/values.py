"""What the body of a webhook's answer means: one value, or chunks as they come (docs/agents.md, webhooks)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

from runagent_grpc.worker.webhook.answer import UTF_8, Answer, too_large
from runagent_grpc.worker.webhook.chunks import (
    ByteChunks,
    ChunkDecoder,
    EventChunks,
    JsonChunks,
    LineChunks,
    TextChunks,
)
from runagent_grpc.worker.webhook.documents import parsed
from runagent_grpc.worker.webhook.errors import WebhookError
from runagent_grpc.worker.webhook.events import TooLongError

__all__ = ["chunks_of", "value_of"]

_EVENTS = "text/event-stream"
_LINES = frozenset(
    f"application/{name}" for name in ("jsonl", "x-jsonl", "jsonlines", "x-jsonlines", "ndjson", "x-ndjson")
)


async def value_of(answer: Answer) -> Any:
    """Reads an answer as the one value of a plain entrypoint. What was made for streaming becomes a list."""
    if answer.media_type == _EVENTS or answer.media_type in _LINES:
        return await _list_of(answer)
    body = await answer.read()
    if not body:
        return None
    if _is_json(answer.media_type):
        # UTF-8 that is none is no JSON; elsewhere a character may be lost.
        return parsed(body if answer.charset in {None, UTF_8} else body.decode(answer.charset, "replace"))
    if _is_text(answer):
        return body.decode(answer.charset or UTF_8, "replace")
    return body if answer.media_type else _guessed(body)


async def chunks_of(answer: Answer) -> AsyncGenerator[Any, None]:
    """Yields what a streaming entrypoint's answer holds, as it comes."""
    reader = _decoder_of(answer)
    with _unreadable_chunks_are_told():
        async with aclosing(answer.pieces()) as pieces:
            async for piece in pieces:
                for chunk in reader.feed(piece):
                    yield chunk
                if reader.is_done:
                    return
        for chunk in reader.end():
            yield chunk


async def _list_of(answer: Answer) -> list[Any]:
    # Piece by piece, for what little was sent may be millions of chunks, and others wait on the event loop.
    reader = _decoder_of(answer)
    chunks: list[Any] = []
    with _unreadable_chunks_are_told():
        async with aclosing(answer.pieces_of_one_value()) as pieces:
            async for piece in pieces:
                if not reader.is_done:
                    chunks += reader.feed(piece)
                    await asyncio.sleep(0)
        if not reader.is_done:
            chunks += reader.end()
    return chunks


@contextmanager
def _unreadable_chunks_are_told() -> Iterator[None]:
    try:
        yield
    except TooLongError:
        raise too_large() from None
    except UnicodeError:
        # Such as UTF-16 of neither byte order. What else is wrong with a text is replaced.
        raise WebhookError(
            "The webhook's answer is not in the charset that it says. See what answers at `webhook_url`."
        ) from None


def _decoder_of(answer: Answer) -> ChunkDecoder:
    if answer.media_type == _EVENTS:
        return EventChunks(tells_its_end=answer.tells_its_end)
    if answer.media_type in _LINES:
        return LineChunks(answer.charset)
    if _is_json(answer.media_type):
        return JsonChunks(answer.charset)
    return TextChunks(answer.charset) if _is_text(answer) or not answer.media_type else ByteChunks()


def _is_json(media_type: str) -> bool:
    return media_type in {"application/json", "text/json"} or media_type.endswith("+json")


def _is_text(answer: Answer) -> bool:
    return answer.media_type.startswith("text/") or answer.media_type.endswith("xml") or answer.charset is not None


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
