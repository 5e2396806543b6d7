"""Payloads as the tables hold them: exactly as they were, or their beginning where they are too large."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

from runagent_grpc.engine.recorder import Excerpt
from runagent_grpc.payload import Json, Payload, size_of
from runagent_grpc.store.masking import masked_beginning, masked_json

__all__ = ["Kept", "json_of", "pack", "pack_all", "unpack", "unpack_all"]

Kept = Payload | Excerpt
"""A payload, or the beginning of one."""

_EXCERPT_LENGTH = 1024


def pack(payload: Payload, *, limit: int) -> str:
    """Returns the text that holds a result; only its beginning where it takes more than `limit` bytes."""
    return json.dumps(_packed(_fitting(payload, limit)))


def pack_all(payloads: Iterable[Kept], *, limit: int) -> str:
    """Returns the text that holds chunks, of which those that are kept whole take at most `limit` bytes together."""
    packed = []
    for payload in payloads:
        kept = _fitting(payload, limit)
        if not isinstance(kept, Excerpt):
            limit -= size_of(kept)
        packed.append(_packed(kept))
    return json.dumps(packed)


def unpack(text: str | None) -> Kept | None:
    """Returns what `pack` has packed."""
    return None if text is None else _unpacked(json.loads(text))


def unpack_all(text: str | None) -> tuple[Kept, ...]:
    """Returns what `pack_all` has packed."""
    return () if text is None else tuple(map(_unpacked, json.loads(text)))


def json_of(kept: Kept) -> str:
    """Returns the JSON text of a value: bytes as base64, and a beginning as an object with `excerpt` and `size`."""
    if isinstance(kept, Excerpt):
        return f'{{"excerpt":{json_of(kept.beginning)},"size":{kept.size}}}'
    if isinstance(kept, Json):
        return kept
    return json.dumps(_base64(kept) if isinstance(kept, bytes) else kept, ensure_ascii=False)


def _fitting(payload: Kept, limit: int) -> Kept:
    if isinstance(payload, Excerpt):
        return payload
    if isinstance(payload, Json):
        payload = masked_json(payload)
    return payload if size_of(payload) <= limit else Excerpt.of(payload, min(limit, _EXCERPT_LENGTH))


def _packed(kept: Kept) -> dict[str, Any]:
    if isinstance(kept, Excerpt):
        beginning = kept.beginning
        begins = _base64(beginning) if isinstance(beginning, bytes) else masked_beginning(beginning)
        return {"bytes" if isinstance(beginning, bytes) else "begins": begins, "size": kept.size}
    if isinstance(kept, bytes):
        return {"binary": _base64(kept)}
    return {"json" if isinstance(kept, Json) else "text": kept}


def _unpacked(packed: dict[str, Any]) -> Kept:
    match packed:
        case {"text": str(text)}:
            return text
        case {"json": str(text)}:
            return Json(text)
        case {"binary": str(text)}:
            return base64.b64decode(text)
        case {"begins": str(text), "size": int(size)}:
            return Excerpt(beginning=text, size=size)
        case {"bytes": str(text), "size": int(size)}:
            return Excerpt(beginning=base64.b64decode(text), size=size)
    raise ValueError(f"A recorded value has no known form, but the members {sorted(packed)}.")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
