"""By what a repeated call is known: the caller's own id for it, and what it asks for."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from runagent_grpc.core.call import Call
from runagent_grpc.core.store import RequestKey
from runagent_grpc.errors import ConflictError, InvalidRequestError

__all__ = ["check_same", "fingerprint_of", "key_of"]

_LONGEST_ID = 200


def key_of(call: Call, agent_id: str) -> RequestKey | None:
    """Returns what a call with a request_id is known by. Raises InvalidRequestError for an id that is too long."""
    if not call.request_id:
        return None
    if len(call.request_id) > _LONGEST_ID:
        raise InvalidRequestError.of_field("request_id", f"It is longer than {_LONGEST_ID} characters.")
    return RequestKey(call.owner, agent_id, call.request_id)


def fingerprint_of(call: Call) -> str:
    """Returns a short text that differs where calls ask for different things; empty without a request_id.

    How long the caller waits, and over which wire, is not part of what it asks for.
    """
    if not call.request_id:
        return ""
    args = [*map(_marked, call.args)]
    kwargs = {name: _marked(value) for name, value in call.kwargs.items()}
    text = json.dumps([call.entrypoint_tag, args, kwargs, call.user_id, call.persistent_memory], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def check_same(fingerprint: str, earlier: str) -> None:
    """Raises ConflictError unless a request asks for what the earlier one of its id did."""
    if fingerprint != earlier:
        raise ConflictError(
            "The request_id belongs to another call: its entrypoint or its arguments differ.",
            suggestion="Take a new request_id for each call, and the same one only to repeat it.",
        )


def _marked(value: Any) -> Any:
    """Tells bytes, which only an argument as a whole can be, from everything that JSON knows."""
    return {"binary": value.hex()} if isinstance(value, bytes) else [value]
