"""A TCP proxy that cuts connections where a seed says: within a message, within a frame, within the handshake."""

from __future__ import annotations

import asyncio
import enum
import random
import socket
import struct
import threading
from collections import deque
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["Cut", "Cuts", "Way", "cutting"]

# Linger on, for no time: what closing such a socket sends is a reset.
_RESET = struct.pack("ii", 1, 0)
_PIECE_BYTES = 64 * 1024


class Way(enum.Enum):
    """How a connection ends."""

    RESET = enum.auto()
    """At once, as when a machine or its router is gone: what was on its way is lost."""
    CLOSE = enum.auto()
    """In order, as when a process ends."""
    STALL = enum.auto()
    """Without a word: it stays open, and nothing comes any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The end of one connection."""

    after_bytes: int
    """How many bytes from the server reach the client first."""
    way: Way


class Cuts:
    """The cuts to make, in order. Proxies that share them cut in turns; when all are made, everything goes through."""

    def __init__(self, cuts: Sequence[Cut]) -> None:
        self._ahead = deque(cuts)
        self.made: list[Cut] = []
        """Those that have been made."""

    @classmethod
    def seeded(cls, seed: int, count: int, *, most_bytes: int, ways: Sequence[Way] = (Way.RESET, Way.CLOSE)) -> Cuts:
        """Returns `count` cuts after at most `most_bytes` each, the same for the same seed."""
        chance = random.Random(seed)  # noqa: S311 - has to be the same again
        return cls([Cut(after_bytes=chance.randint(1, most_bytes), way=chance.choice(ways)) for _ in range(count)])

    @property
    def ahead(self) -> int:
        """How many are still to be made by connections to come."""
        return len(self._ahead)

    def take(self) -> Cut | None:
        """Returns the cut for a new connection, or None for one that may live."""
        return self._ahead.popleft() if self._ahead else None

    def give_back(self, cut: Cut) -> None:
        """Keeps the cut of a connection that ended before it for the next one."""
        self._ahead.appendleft(cut)


@contextmanager
def cutting(cuts: Cuts, *ports: int) -> Iterator[tuple[int, ...]]:
    """Passes connections on to `ports` for the length of the block; yields the ports that it listens on instead."""
    # Taken here, so that nothing can be refused while the loop starts.
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in ports]
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(_serve(cuts, list(zip(listeners, ports, strict=True)), stop))

    thread = threading.Thread(target=run, name="cutting", daemon=True)
    thread.start()
    try:
        yield tuple(listener.getsockname()[1] for listener in listeners)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


async def _serve(cuts: Cuts, listeners: Sequence[tuple[socket.socket, int]], stop: asyncio.Event) -> None:
    connections: set[asyncio.Task[None]] = set()

    async def accept(listener: socket.socket, port: int) -> None:
        listener.setblocking(False)
        while True:
            client, _ = await asyncio.get_running_loop().sock_accept(listener)
            task = asyncio.create_task(_pass_on(client, port, cuts))
            connections.add(task)
            task.add_done_callback(connections.discard)

    accepting = [asyncio.create_task(accept(*listener)) for listener in listeners]
    await stop.wait()
    ending = [*accepting, *connections]
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
    for listener, _ in listeners:
        listener.close()


async def _pass_on(client: socket.socket, port: int, cuts: Cuts) -> None:
    """Lets a client and the server talk until the connection is cut, or one of them ends it."""
    loop = asyncio.get_running_loop()
    cut = cuts.take()
    made = False
    with client, socket.socket() as server:
        try:
            for end in (client, server):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(server, ("127.0.0.1", port))
            made = await _first(_copy(client, server), _copy(server, client, cut.after_bytes if cut else None))
        finally:
            if cut is not None and not made:
                cuts.give_back(cut)
        if cut is None or not made:
            return
        cuts.made.append(cut)
        if cut.way is Way.STALL:
            while await loop.sock_recv(client, _PIECE_BYTES):
                pass
        if cut.way is Way.RESET:
            for end in (client, server):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


async def _copy(source: socket.socket, target: socket.socket, most_bytes: int | None = None) -> bool:
    """Passes bytes on. Returns False when there are no more, and True once it has passed on as many as it may."""
    loop = asyncio.get_running_loop()
    left = most_bytes
    while left is None or left > 0:
        piece = await loop.sock_recv(source, _PIECE_BYTES if left is None else min(left, _PIECE_BYTES))
        if not piece:
            return False
        await loop.sock_sendall(target, piece)
        left = None if left is None else left - len(piece)
    return True


async def _first(*copying: Coroutine[Any, Any, bool]) -> bool:
    """Returns what the first of these does; False where that is that its connection broke. Ends the others."""
    tasks = [asyncio.create_task(one) for one in copying]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return any(task.exception() is None and task.result() for task in done)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
