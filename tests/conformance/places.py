"""The servers that cases need, each on free ports of loopback: right ones, limited ones, and none at all."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runagent_grpc.engine import EngineSettings
from runagent_grpc.testing import serving
from tests.conformance.scripted import Script, scripted_grpc, scripted_http
from tests.proxies.cutting import Cut, Cuts, Way, cutting

__all__ = ["AGENT", "AGENT_ID", "KEY", "Place", "given_place", "place_of", "served_once"]

AGENT = Path(__file__).parent / "agent"
AGENT_ID = "conformance"

KEY = "the-key-of-the-kit"
"""The key that the keyed server knows; cases name it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a server is, or where none is."""

    host: str = "127.0.0.1"
    grpc_port: int
    http_port: int
    discoverable: bool = True
    """Whether what is found out by asking leads there, rather than past it."""
    stop: Callable[[], None] = lambda: None
    """Tells the server to stop, and returns when it has."""
    play: Callable[[Sequence[Any]], None] = lambda script: None
    """Gives a scripted server its script."""

    def address_for(self, transport: str) -> dict[str, Any]:
        """Returns the part of a call that says where to go."""
        if transport == "auto" and not self.discoverable:
            transport = "grpc"
        port = self.grpc_port if transport == "grpc" else self.http_port
        return {"host": self.host, "port": port, "transport": transport}


def served_once(server: str) -> bool:
    """Whether each case needs a server of this kind for itself, because it changes what the server does."""
    return server not in ("shared", "keyed", "scripted")


def given_place(host: str, port: int) -> Place:
    """Returns a server that somebody else runs: at one port, whatever it speaks there."""
    return Place(host=host, grpc_port=port, http_port=port)


def place_of(server: str) -> AbstractContextManager[Place]:
    """Serves what a case asks for, for the length of the block."""
    match server:
        case "nobody":
            return _nobody()
        case "scripted":
            return _scripted()
        case "cut":
            return _cut()
    return _served(**_KINDS[server]())


_KINDS: dict[str, Callable[[], dict[str, Any]]] = {
    "shared": dict,
    "own": dict,
    "keyed": lambda: {"api_keys": (KEY,)},
    "patient": lambda: {"drain_grace": 20.0},
    "full": lambda: {"engine": EngineSettings(max_invocations=1, max_queued=0)},
    "hurried": lambda: {"engine": EngineSettings(rate_limit=1.0)},
    "attentive": lambda: {"engine": EngineSettings(heartbeat_interval=0.2)},
}


@contextmanager
def _served(**settings: Any) -> Iterator[Place]:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving(AGENT, **settings))
        yield Place(grpc_port=server.grpc_port, http_port=server.http_port, stop=stack.close)


@contextmanager
def _nobody() -> Iterator[Place]:
    # Held, though nothing is taken there, so that nobody else gets it.
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        yield Place(grpc_port=port, http_port=port)


@contextmanager
def _scripted() -> Iterator[Place]:
    script = Script()
    with scripted_grpc(script) as grpc_port, scripted_http(script) as http_port:
        yield Place(grpc_port=grpc_port, http_port=http_port, discoverable=False, play=script.play)
        # Ends whatever is silent.
        script.play(())


@contextmanager
def _cut() -> Iterator[Place]:
    """Cuts a few connections within the chunks; the first is left alone until it carries some."""
    cuts = Cuts([Cut(after_bytes=most, way=way) for most in (600, 900, 1500) for way in (Way.RESET, Way.CLOSE)])
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving(AGENT))
        grpc_port, http_port = stack.enter_context(cutting(cuts, server.grpc_port, server.http_port))
        yield Place(grpc_port=grpc_port, http_port=http_port, discoverable=False)
