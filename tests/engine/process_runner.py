"""Hands calls to a worker in another interpreter, by bytes alone."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import cloudpickle

from runagent_grpc.core.manifest import AgentManifest
from runagent_grpc.core.recorder import OutputLine
from runagent_grpc.core.runner import ChunkSink, Work
from runagent_grpc.errors import AbortedError
from runagent_grpc.values.payload import Payload
from tests.engine.agent_source import AgentSource
from tests.engine.frames import ENDS, Frame, error_fields, error_from, frames_from

__all__ = ["ProcessRunner", "WorkerProcess"]

T = TypeVar("T")


class WorkerProcess:
    """An interpreter that serves an agent on each connection. A context manager, at whose end it ends."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        # As strict as pytest is about warnings in its own process.
        command = [sys.executable, "-W", "error", "-m", "tests.engine.worker_process", str(theirs.fileno())]
        with theirs:
            path = os.pathsep.join(filter(None, sys.path))
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], env={**os.environ, "PYTHONPATH": path}, stdin=subprocess.DEVNULL
            )

    def connect(self) -> socket.socket:
        """Returns one end of a new connection, whose other end is the worker's."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._control, [b"."], [theirs.fileno()])
        return ours

    def close(self) -> None:
        self._control.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class ProcessRunner:
    """Hands the calls of one agent to a worker over one connection."""

    def __init__(
        self, manifest: AgentManifest, writer: asyncio.StreamWriter, *, logged: Callable[[OutputLine], None]
    ) -> None:
        """`manifest` is the worker's. `logged` hears of what entrypoints print and log."""
        self.manifest = manifest
        self._writer = writer
        self._logged = logged
        self._numbers = itertools.count(1)
        self._calls: dict[int, asyncio.Queue[Frame]] = {}
        """What came of each call that has not ended there, and was not looked at yet."""
        self._idle = asyncio.Event()
        """There is no such call."""
        self._idle.set()
        self._left: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()

    @classmethod
    @asynccontextmanager
    async def serving(
        cls, source: AgentSource, process: WorkerProcess, *, logged: Callable[[OutputLine], None] = lambda _: None
    ) -> AsyncIterator[ProcessRunner]:
        """Has an agent loaded in `process`, and run there until the block ends."""
        load = Frame("load", payloads=[cloudpickle.dumps(source)])
        reader, writer = await asyncio.open_unix_connection(sock=process.connect())
        frames = frames_from(reader)
        writer.write(load.to_bytes())
        loaded = await anext(frames)
        if loaded.kind == "unloadable":
            writer.close()
            raise RuntimeError(f"The agent was not loaded there:\n{loaded.fields['trace']}")
        runner = cls(AgentManifest.from_json(loaded.fields["manifest"]), writer, logged=logged)
        receiving = asyncio.create_task(runner._receive(frames))
        try:
            yield runner
            writer.write(Frame("leave").to_bytes())
            complaints = await runner._left
            assert not complaints, complaints
        finally:
            writer.close()
            await receiving

    async def all_ended(self) -> None:
        """Waits until no call is there that has not ended."""
        await self._idle.wait()

    async def start(self, work: Work) -> _RemoteWork:
        """Has a call bound.

        Raises InvalidRequestError for arguments that do not fit, and AbortedError once the process has ended.
        """
        if self._left.done():
            raise _lost()
        number = next(self._numbers)
        remote = _RemoteWork(number, work, self)
        self._calls[number] = remote.inbox
        self._idle.clear()
        names = [*work.kwargs]
        fields = {
            "invocation_id": work.invocation_id,
            "agent_id": work.agent_id,
            "entrypoint_tag": work.entrypoint_tag,
            "user_id": work.user_id,
            "persistent_memory": work.persistent_memory,
            "seconds_remaining": work.seconds_remaining(),
            "names": names,
        }
        self.send(Frame("bind", number, fields, [*work.args, *(work.kwargs[name] for name in names)]))
        await remote.bound()
        return remote

    def send(self, frame: Frame) -> None:
        """Writes a frame."""
        self._writer.write(frame.to_bytes())

    async def _receive(self, frames: AsyncIterator[Frame]) -> None:
        async for frame in frames:
            if frame.kind == "log":
                time = datetime.fromisoformat(frame.fields["time"])
                self._logged(OutputLine(**{**frame.fields, "time": time}))
            elif frame.kind == "left":
                self._left.set_result(frame.fields["complaints"])
            else:
                self._dispatch(frame)
        if not self._left.done():
            self._left.set_result([])
        for number in [*self._calls]:
            self._dispatch(Frame("failed", number, error_fields(_lost())))

    def _dispatch(self, frame: Frame) -> None:
        inbox = self._calls[frame.call]
        if frame.kind in ENDS:
            del self._calls[frame.call]
        if not self._calls:
            self._idle.set()
        inbox.put_nowait(frame)


def _lost() -> AbortedError:
    return AbortedError("The worker's process ended.")


class _RemoteWork:
    """A call whose arguments fit, as the other process says."""

    def __init__(self, number: int, work: Work, runner: ProcessRunner) -> None:
        self._number = number
        self._work = work
        self._runner = runner
        self.inbox: asyncio.Queue[Frame] = asyncio.Queue()

    async def bound(self) -> None:
        """Waits until the arguments are bound, or raises what is wrong with them."""
        await self._stopping(self._next())

    async def result(self) -> Payload:
        """Returns what the function returns."""
        self._send("run")
        return (await self._stopping(self._next())).payloads[0]

    async def stream(self, sink: ChunkSink) -> None:
        """Puts what the function yields into `sink`."""
        self._send("stream")
        await self._stopping(self._pass_on(sink))

    def discard(self) -> None:
        """Gives the call up."""
        self._send("cancel")

    async def _pass_on(self, sink: ChunkSink) -> None:
        while (frame := await self._next()).kind == "chunk":
            wanted = await sink.put_async(frame.payloads[0])
            self._runner.send(Frame("acknowledge" if wanted else "close", self._number))

    async def _next(self) -> Frame:
        frame = await self.inbox.get()
        if frame.kind == "failed":
            raise error_from(frame.fields)
        return frame

    async def _stopping(self, waiting: Coroutine[Any, Any, T]) -> T:
        """Has the work stopped where it is cancelled, and waits for its end; a second cancellation gives it up."""
        try:
            return await waiting
        except asyncio.CancelledError:
            self._send("cancel")
            while (await self.inbox.get()).kind not in ENDS:
                pass
            raise

    def _send(self, kind: str) -> None:
        self._runner.send(Frame(kind, self._number, {"seconds_remaining": self._work.seconds_remaining()}))
