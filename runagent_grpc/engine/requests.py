"""By what a repeated call is known: the caller's own id for it, and what it asks for."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

from runagent_grpc.core.call import Call
from runagent_grpc.core.store import RequestKey
from runagent_grpc.errors import ConflictError, InvalidRequestError
from runagent_grpc.values.payload import argument_value

__all__ = ["RequestClaims", "check_same", "fingerprint_of", "key_of"]

_LONGEST_ID = 200

_QUICKLY_READ_LENGTH = 64 * 1024
"""How long arguments may be to be read on the event loop: less than a millisecond's work."""


def key_of(call: Call, agent_id: str) -> RequestKey | None:
    """Returns what a call with a request_id is known by. Raises InvalidRequestError for an id that is too long."""
    if not call.request_id:
        return None
    if len(call.request_id) > _LONGEST_ID:
        raise InvalidRequestError.of_field("request_id", f"It is longer than {_LONGEST_ID} characters.")
    return RequestKey(call.principal.subject, agent_id, call.request_id)


async def fingerprint_of(call: Call) -> str:
    """Returns a short text that differs where calls ask for different things.

    How long the caller waits, over which wire, and in which order an object's keys come, is not part of what it asks
    for. Raises InvalidRequestError for an argument that is no JSON document.
    """
    if sum(map(len, (*call.args, *call.kwargs.values()))) > _QUICKLY_READ_LENGTH:
        return await asyncio.to_thread(_fingerprint_of, call)
    return _fingerprint_of(call)


def check_same(fingerprint: str, earlier: str) -> None:
    """Raises ConflictError unless a request asks for what the earlier one of its id did."""
    if fingerprint != earlier:
        raise ConflictError(
            "The request_id belongs to another call: its entrypoint or its arguments differ.",
            suggestion="Take a new request_id for each call, and the same one only to repeat it.",
        )


class RequestClaims:
    """Lets one call of a request at a time find out whether the request was made before."""

    def __init__(self) -> None:
        self._held: dict[RequestKey, asyncio.Future[None]] = {}

    def of(self, key: RequestKey) -> _Claim:
        """Returns an asynchronous context manager that holds the request."""
        return _Claim(self._held, key)


class _Claim:
    """A class, not a generator: half the overhead per call."""

    __slots__ = ("_held", "_key")

    def __init__(self, held: dict[RequestKey, asyncio.Future[None]], key: RequestKey) -> None:
        self._held = held
        self._key = key

    async def __aenter__(self) -> None:
        while (other := self._held.get(self._key)) is not None:
            await asyncio.wait([other])
        self._held[self._key] = asyncio.get_running_loop().create_future()

    async def __aexit__(self, *_: object) -> None:
        self._held.pop(self._key).set_result(None)


def _fingerprint_of(call: Call) -> str:
    args = [_marked(argument_value(payload, f"args[{index}]")) for index, payload in enumerate(call.args)]
    kwargs = {name: _marked(argument_value(payload, name)) for name, payload in call.kwargs.items()}
    text = json.dumps([call.entrypoint_tag, args, kwargs, call.user_id, call.persistent_memory], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _marked(value: Any) -> Any:
    """Tells bytes, which only an argument as a whole can be, from everything that JSON knows."""
    return {"binary": value.hex()} if isinstance(value, bytes) else [value]
