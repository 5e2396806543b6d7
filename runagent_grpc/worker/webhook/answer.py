"""One answer of a webhook: its status, what it says it is, and its body, inflated and bounded on the way.

What the body means as values is `values.py`'s.
"""

from __future__ import annotations

import asyncio
import codecs
import re
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from functools import cached_property
from typing import cast

import httpcore
import httpx

from runagent_grpc.worker.webhook.errors import WebhookError
from runagent_grpc.worker.webhook.wording import failures_become_webhook_errors

__all__ = ["MAX_ANSWER_BYTES", "UTF_8", "Answer", "too_large"]

MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""How many bytes an answer, or one chunk of a streamed one, may have; what the engine lets through, and a little."""

UTF_8 = "utf-8-sig"
"""The codec of text that does not say what it is in: UTF-8, with a byte order mark or without."""

_PIECE = 64 * 1024
_CHARSET = re.compile(r';\s*charset\s*=\s*"?([\w.:+-]+)', re.IGNORECASE)
# Python knows codecs that inflate, and some whose time grows with the square of the text, as that of UTF-7.
_TEXT_CODECS = ("ascii", "big5", "cp", "euc_", "gb", "hz", "iso", "johab", "koi8", "mac", "shift_jis", "tis", "utf-")


class Answer:
    """An answer whose headers have come. Its body is read once, or not at all, and closed in any case."""

    def __init__(
        self, response: httpcore.Response, *, host: str, seconds: float, let_go: Callable[[], Awaitable[None]]
    ) -> None:
        self.status = response.status
        self.headers = httpx.Headers(response.headers)
        self._response = response
        self._host = host
        self._seconds = seconds
        self._let_go = let_go

    @cached_property
    def media_type(self) -> str:
        """Such as "application/json"; empty where the target does not say."""
        return str(self.headers.get("content-type", "")).partition(";")[0].strip().lower()

    @cached_property
    def charset(self) -> str | None:
        """The codec of the text, where the target names one that there is."""
        named = _CHARSET.search(self.headers.get("content-type", ""))
        try:
            codec = codecs.lookup(named[1]).name if named else ""
        except LookupError:
            codec = ""
        if codec == "utf-8":
            return UTF_8
        return codec if codec.startswith(_TEXT_CODECS) and codec != "utf-7" else None

    @property
    def tells_its_end(self) -> bool:
        """Whether a body that was cut off looks different from one that is complete."""
        return "transfer-encoding" in self.headers or "content-length" in self.headers

    async def read(self) -> bytes:
        """Returns the whole body. Raises WebhookError as soon as it is too large, or broken."""
        body = bytearray()
        async with aclosing(self.pieces_of_one_value()) as pieces:
            async for piece in pieces:
                body += piece
        return bytes(body)

    async def pieces_of_one_value(self) -> AsyncGenerator[bytes, None]:
        """Yields what `pieces` does, until it is more than one value may have. Raises WebhookError then."""
        length = self.headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > MAX_ANSWER_BYTES:
            raise too_large()
        size = 0
        async with aclosing(self.pieces()) as pieces:
            async for piece in pieces:
                size += len(piece)
                if size > MAX_ANSWER_BYTES:
                    raise too_large()
                yield piece

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yields the body as it comes, in pieces of at most 64 KiB. No more is read than is asked for."""
        inflater = self._inflater()
        # An async generator, which httpcore declares as less.
        body = cast(AsyncGenerator[bytes, None], self._response.aiter_stream())
        async with aclosing(body):
            while True:
                with failures_become_webhook_errors(self._host, self._seconds):
                    raw = await anext(body, None)
                if raw is None:
                    break
                for index, piece in enumerate(inflater.feed(raw) if inflater else (raw,)):
                    if index:
                        # A little that was sent may be much to look at.
                        await asyncio.sleep(0)
                    yield piece
        if inflater and not inflater.is_complete:
            raise WebhookError("The webhook's answer is compressed, and cut off. See the webhook's own log.")

    async def aclose(self) -> None:
        """Lets go of the connection: it is used again if the answer was read to its end, and closed if not."""
        try:
            await self._response.aclose()
        finally:
            await self._let_go()

    def _inflater(self) -> _Inflater | None:
        encoding = self.headers.get("content-encoding", "").strip().lower()
        if encoding in {"", "identity"}:
            return None
        if encoding in {"gzip", "x-gzip"}:
            return _Inflater()
        raise WebhookError(
            "The webhook's answer is compressed in a way that was not asked for. "
            "Let it answer with gzip, or uncompressed."
        )


class _Inflater:
    """Inflates gzip, never more than a piece at a time, however little stands for how much."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)
        self.is_complete = True
        """Whether the answer may end here."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            self.is_complete = False
            try:
                piece = self._stream.decompress(data, _PIECE)
            except zlib.error:
                raise WebhookError(
                    "The webhook's answer says that it is gzip, and is not. See what answers at `webhook_url`."
                ) from None
            data = self._stream.unconsumed_tail
            if piece:
                yield piece
            if self._stream.eof:
                # Another member may follow (RFC 1952, section 2.2).
                data = self._stream.unused_data
                self._stream = zlib.decompressobj(wbits=31)
                self.is_complete = True
            elif not data and len(piece) == _PIECE:
                # There may be more within it that no further input is needed for.
                while piece := self._stream.decompress(b"", _PIECE):
                    yield piece


def too_large() -> WebhookError:
    return WebhookError(
        f"The webhook's answer is larger than {MAX_ANSWER_BYTES // 1024 // 1024} MiB. "
        "Let it answer with less, or stream it in smaller chunks."
    )
