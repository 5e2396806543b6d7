"""Payloads as the tables hold them: exactly as they were, or their beginning where they are too large."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import NamedTuple

from runagent_grpc.store.masking import masked_beginning, masked_json
from runagent_grpc.values.payload import Json, Payload, TruncatedPayload, size_of

__all__ = ["Kept", "Packed", "pack", "pack_all", "unpack", "unpack_all"]

Kept = Payload | TruncatedPayload
"""A payload, or the beginning of one."""

_EXCERPT_LENGTH = 1024


class Packed(NamedTuple):
    """The text that holds a payload."""

    text: str
    whole: bool
    """Whether the payload is in it as it was, neither cut nor masked."""


def pack(payload: Payload, *, limit: int) -> Packed:
    """Packs a result; only its beginning where it takes more than `limit` bytes."""
    kept = _fitting(payload, limit)
    return Packed(_packed(kept), whole=kept is payload)


def pack_all(payloads: Iterable[Kept], *, limit: int) -> str | None:
    """Returns the text that holds chunks, of which those that are kept whole take at most `limit` bytes together."""
    packed = []
    for payload in payloads:
        kept = _fitting(payload, limit)
        if not isinstance(kept, TruncatedPayload):
            limit -= size_of(kept)
        packed.append(_packed(kept))
    return json.dumps(packed) if packed else None


def unpack(text: str | None) -> Kept | None:
    """Returns what `pack` has packed."""
    return None if text is None else _unpacked(text)


def unpack_all(text: str | None) -> tuple[Kept, ...]:
    """Returns what `pack_all` has packed."""
    return () if text is None else tuple(map(_unpacked, json.loads(text)))


def _fitting(payload: Kept, limit: int) -> Kept:
    if isinstance(payload, TruncatedPayload):
        return payload
    # The length first: what is far too large is neither parsed nor measured as a whole without need.
    if len(payload) > limit or size_of(payload) > limit:
        return TruncatedPayload.of(payload, min(limit, _EXCERPT_LENGTH))
    return masked_json(payload) if isinstance(payload, Json) else payload


def _packed(kept: Kept) -> str:
    """Returns a value behind a word that says what it is, for it is written down once and seldom read."""
    if isinstance(kept, TruncatedPayload):
        beginning = kept.beginning
        if isinstance(beginning, bytes):
            return f"bytes:{kept.size}:{_base64(beginning)}"
        return f"begins:{kept.size}:{masked_beginning(beginning)}"
    if isinstance(kept, bytes):
        return f"binary:{_base64(kept)}"
    return f"json:{kept}" if isinstance(kept, Json) else f"text:{kept}"


def _unpacked(packed: str) -> Kept:
    kind, _, text = packed.partition(":")
    match kind:
        case "text":
            return text
        case "json":
            return Json(text)
        case "binary":
            return base64.b64decode(text)
    size, _, text = text.partition(":")
    return TruncatedPayload(beginning=base64.b64decode(text) if kind == "bytes" else text, size=int(size))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
