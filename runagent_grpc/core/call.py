"""What a caller asks for, the same on every wire."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import field

from runagent_grpc.core.principal import ANYONE, Principal
from runagent_grpc.core.records import record
from runagent_grpc.values.payload import Payload

__all__ = ["Call", "OnDisconnect"]


class OnDisconnect(enum.Enum):
    """What becomes of an invocation when its last caller is gone."""

    CANCEL = enum.auto()
    """It is cancelled at once."""
    LINGER = enum.auto()
    """It runs on for the resume window, then it is cancelled."""
    DETACH = enum.auto()
    """It runs to its end."""


@record
class Call:
    """One call of an entrypoint. Times are seconds.

    Arguments are payloads: only the worker that runs the call turns them into values.
    """

    entrypoint_tag: str
    agent_id: str = ""
    """Empty means the only agent."""
    args: Sequence[Payload] = ()
    kwargs: Mapping[str, Payload] = field(default_factory=dict)
    request_id: str = ""
    """The caller's own id for this call: a repeated one joins the first one's invocation. Empty: every call is new."""
    user_id: str = ""
    persistent_memory: bool = False
    on_disconnect: OnDisconnect = OnDisconnect.CANCEL
    resume_window: float | None = None
    """How long it lingers. None: 10 seconds."""
    run_timeout: float | None = None
    """How long the invocation may run."""
    deadline: float | None = None
    """How long the caller waits; bounds the run, too, unless the call says otherwise or detaches."""
    transport: str = ""
    """The wire that the call came over: "grpc", "http", "websocket" or "legacy"."""
    principal: Principal = ANYONE
    """Who calls. Only they may cancel the invocation or look at it."""
