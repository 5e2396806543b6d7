"""What a test and the entrypoints that it calls tell each other, in whichever process these run.

A server in the test's process keeps values by name. Gates and notes are names in it: they can be pickled, and every use
of them goes over its socket, in the test's own process, too.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import socket
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Gate", "GateServer", "Notes", "close_connections", "server"]


class GateServer:
    """Keeps values by name, on a thread of its own."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="gates-")
        self.path = str(Path(self._folder.name, "socket"))
        """Where it listens."""
        self._values: dict[str, Any] = {}
        self._changes: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)
        """Who waits for which value to change."""
        self._names = map(str, itertools.count(1))
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), name="gates", daemon=True)
        self._thread.start()
        ready.wait()

    def new_name(self) -> str:
        """Returns a name that nobody has."""
        return next(self._names)

    def close(self) -> None:
        """Ends the server. What waits for a gate gets a ConnectionError."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._folder.cleanup()

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with await asyncio.start_unix_server(self._answer, self.path):
            ready.set()
            await self._stop.wait()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer_to(*json.loads(line))).encode() + b"\n")
        except (asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer_to(self, what: str, name: str, value: Any = None) -> Any:
        match what:
            case "put":
                self._change(name, value)
            case "note":
                self._change(name, [*self._values.get(name, ()), value])
            case "wait":
                while self._values.get(name) == value:
                    change = asyncio.get_running_loop().create_future()
                    self._changes[name].add(change)
                    await change
        return self._values.get(name) if what in ("get", "wait") else None

    def _change(self, name: str, value: Any) -> None:
        self._values[name] = value
        for change in self._changes.pop(name, ()):
            if not change.done():
                change.set_result(None)


@functools.cache
def server() -> GateServer:
    """Returns the server of this process, which starts it."""
    return GateServer()


@dataclass(frozen=True, slots=True)
class _Value:
    """A value of the server's. All of it blocks for the moment that an answer takes, unless it says otherwise."""

    path: str = field(default_factory=lambda: server().path)
    name: str = field(default_factory=lambda: server().new_name())

    def ask(self, what: str, value: Any = None, *, timeout: float | None = None) -> Any:
        """Asks on a connection that nobody uses. Raises TimeoutError for an answer that does not come in time."""
        connection = _connection_to(self.path)
        try:
            connection.settimeout(timeout)
            connection.sendall(self._question(what, value))
            answer = b""
            while not answer.endswith(b"\n"):
                answer += _received(connection.recv(1 << 16))
        except BaseException:
            connection.close()
            raise
        _idle.append((self.path, connection))
        return json.loads(answer)

    async def ask_async(self, what: str, value: Any = None) -> Any:
        """Is `ask` for an event loop, which goes on in the meantime."""
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.setblocking(False)
            await loop.sock_connect(connection, self.path)
            await loop.sock_sendall(connection, self._question(what, value))
            answer = b""
            while not answer.endswith(b"\n"):
                answer += _received(await loop.sock_recv(connection, 1 << 16))
        return json.loads(answer)

    def _question(self, what: str, value: Any) -> bytes:
        return json.dumps([what, self.name, value]).encode() + b"\n"


class Gate(_Value):
    """A `threading.Event` and an `asyncio.Event` in one. What it is set to is true in JSON; what is not set is None."""

    __slots__ = ()

    def set(self, value: Any = True) -> None:
        self.ask("put", value)

    def clear(self) -> None:
        self.ask("put", None)

    def is_set(self) -> bool:
        return self.ask("get") is not None

    @property
    def value(self) -> Any:
        return self.ask("get")

    def wait(self) -> bool:
        """Waits until it is set."""
        self.ask("wait")
        return True

    async def wait_async(self) -> bool:
        """Waits until it is set, on an event loop."""
        await self.ask_async("wait")
        return True

    def changed_from(self, value: Any, *, timeout: float | None = None) -> Any:
        """Waits until the value is another one, and returns that. Raises TimeoutError."""
        return self.ask("wait", value, timeout=timeout)

    async def changed_from_async(self, value: Any) -> Any:
        """Waits until the value is another one, on an event loop, and returns that."""
        return await self.ask_async("wait", value)


class Notes(_Value):
    """A list that entrypoints append to, and a test reads. Its items are values of JSON."""

    __slots__ = ()

    def append(self, value: Any) -> None:
        """Returns when it is written down."""
        self.ask("note", value)

    @property
    def values(self) -> list[Any]:
        return self.ask("get") or []

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Any:
        return self.values[index]


_idle: list[tuple[str, socket.socket]] = []
"""Connections of this process that nobody uses, each with where it leads."""


def close_connections() -> None:
    """Closes the connections that nobody uses."""
    while _idle:
        _idle.pop()[1].close()


def _connection_to(path: str) -> socket.socket:
    while _idle:
        # Popped in one step: another thread, or a `__del__` in the middle of this, may want one, too.
        leads_to, connection = _idle.pop()
        if leads_to == path:
            return connection
        connection.close()
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    return connection


def _received(data: bytes) -> bytes:
    if not data:
        raise ConnectionError("The gates are gone.")
    return data
