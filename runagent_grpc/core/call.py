"""What a caller asks for, in the engine's own words."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Call", "OnDisconnect"]


class OnDisconnect(enum.Enum):
    """What becomes of an invocation when its last caller is gone."""

    CANCEL = enum.auto()
    """It is cancelled at once."""
    LINGER = enum.auto()
    """It goes on for the resume window, then it is cancelled."""
    DETACH = enum.auto()
    """It runs to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of an entrypoint. Times are seconds."""

    entrypoint_tag: str
    agent_id: str = ""
    """Empty means the only agent."""
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
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
    """How long the caller waits; bounds the run, too, unless it says otherwise or detaches."""
    transport: str = ""
    """The wire that the call came over: "grpc", "http", "websocket" or "legacy"."""
    owner: str = ""
    """Whoever's key the call came with. Only they may cancel it or look at it."""
