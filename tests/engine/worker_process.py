"""The main of an interpreter that runs calls: a worker for each connection that it is handed.

The same worker as in the server's process, with frames around it. Nothing of the engine or of a transport is here.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import pickle
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC

from runagent_grpc.core.event_loop import post
from runagent_grpc.core.recorder import OutputLine
from runagent_grpc.core.runner import Work
from runagent_grpc.errors import InternalError, RunAgentError
from runagent_grpc.values.payload import Payload
from runagent_grpc.worker.output import OutputCapture
from runagent_grpc.worker.worker import Worker
from tests.engine.agent_source import AgentSource
from tests.engine.frames import Frame, error_fields, frames_from

__all__ = ["main"]


class _Connection:
    """Writes frames, from any thread."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._loop = asyncio.get_running_loop()
        self._writer = writer

    def send(self, frame: Frame) -> None:
        """Writes a frame. Called on the event loop."""
        if not self._writer.is_closing():
            self._writer.write(frame.to_bytes())

    def send_soon(self, frame: Frame) -> None:
        """Writes a frame in its turn, from any thread."""
        post(self._loop, self.send, frame)

    def logged(self, line: OutputLine) -> None:
        """Sends on what was printed or logged."""
        fields = {"invocation_id": line.invocation_id, "level": line.level, "text": line.text}
        self.send_soon(Frame("log", fields=fields | {"time": line.time.astimezone(UTC).isoformat()}))


class _Sink:
    """Sends chunks, and holds the producer back until the other side has taken them."""

    def __init__(self, connection: _Connection, call: int, *, ahead: int = 1) -> None:
        """`ahead` is how many chunks may be on their way; at 1 the engine's own window is exact."""
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._call = call
        self._ahead = ahead
        self._on_their_way = 0
        self._closed = False
        self._changed = threading.Condition()
        self._writer: asyncio.Future[None] | None = None

    def put(self, payload: Payload) -> bool:
        """Sends a chunk from a thread, and waits for room for the next. False: nobody wants any more."""
        if self._take_place():
            self._connection.send_soon(Frame("chunk", self._call, payloads=[payload]))
            with self._changed:
                self._changed.wait_for(self._may_go_on)
        return not self._closed

    async def put_async(self, payload: Payload) -> bool:
        """Sends a chunk from the event loop, and waits for room for the next. False: nobody wants any more."""
        if self._take_place():
            self._connection.send(Frame("chunk", self._call, payloads=[payload]))
            while not self._may_go_on():
                self._writer = self._loop.create_future()
                await self._writer
        return not self._closed

    def acknowledge(self) -> None:
        """Says that the other side has taken a chunk. Called on the event loop."""
        self._change(taken=1)

    def close(self) -> None:
        """Wants no more chunks, and lets a waiting producer go. Called on the event loop."""
        self._change(closes=True)

    def _take_place(self) -> bool:
        with self._changed:
            self._on_their_way += not self._closed
            return not self._closed

    def _may_go_on(self) -> bool:
        return self._closed or self._on_their_way < self._ahead

    def _change(self, *, taken: int = 0, closes: bool = False) -> None:
        with self._changed:
            self._on_their_way -= taken
            self._closed = self._closed or closes
            self._changed.notify_all()
        if self._writer is not None and not self._writer.done() and self._may_go_on():
            self._writer.set_result(None)


class _Call:
    """A call from its binding to its end, in a task of its own."""

    def __init__(
        self, worker: Worker, connection: _Connection, frame: Frame, *, on_ended: Callable[[int], object]
    ) -> None:
        self._on_ended = on_ended
        self._connection = connection
        self._number = frame.call
        self._sink = _Sink(connection, frame.call)
        self._is_over = False
        self._deadline: float | None = None
        self._set_time(frame.fields["seconds_remaining"])
        self._begun: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._serve(worker, self._work(frame)))
        # Not the task's own `finally`: a task that is cancelled before its first step never gets there.
        self._task.add_done_callback(self._ended)

    def take(self, frame: Frame) -> None:
        """Does what the other side says."""
        match frame.kind:
            case "run" | "stream":
                self._set_time(frame.fields["seconds_remaining"])
                self._begun.set_result(frame.kind)
            case "acknowledge":
                self._sink.acknowledge()
            case "close":
                self._sink.close()
            case "cancel":
                self._set_time(frame.fields["seconds_remaining"])
                self.cancel()

    def cancel(self) -> None:
        self._is_over = True
        self._sink.close()
        self._task.cancel()

    async def _serve(self, worker: Worker, work: Work) -> Frame:
        """Returns the last frame."""
        try:
            bound = await worker.bind(work)
            self._connection.send(Frame("bound", self._number))
            if await self._begun == "run":
                return Frame("result", self._number, payloads=[await bound.result()])
            await bound.stream(self._sink)
            return Frame("completed", self._number)
        except RunAgentError as error:
            return Frame("failed", self._number, error_fields(error))

    def _ended(self, task: asyncio.Task[Frame]) -> None:
        self._is_over = True
        self._on_ended(self._number)
        if task.cancelled():
            end = Frame("cancelled", self._number)
        elif (fault := task.exception()) is not None:
            end = Frame("failed", self._number, error_fields(InternalError(f"The worker failed: {fault!r}")))
        else:
            end = task.result()
        self._connection.send(end)

    def _work(self, frame: Frame) -> Work:
        fields = dict(frame.fields)
        names = fields.pop("names")
        count = len(frame.payloads) - len(names)
        return Work(
            **fields
            | {
                "args": frame.payloads[:count],
                "kwargs": dict(zip(names, frame.payloads[count:], strict=True)),
                "is_cancelled": lambda: self._is_over,
                "seconds_remaining": self._seconds_remaining,
            },
        )

    def _set_time(self, seconds: float | None) -> None:
        # What is left, not when it ends: the clocks of two processes need not agree.
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def _seconds_remaining(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())


async def _serve(connected: socket.socket, complaints: list[str]) -> None:
    """Serves an agent, which the first frame holds, to the other side's end of the connection."""
    reader, writer = await asyncio.open_unix_connection(sock=connected)
    connection = _Connection(writer)
    frames = frames_from(reader)
    output = OutputCapture(connection.logged)
    load = await anext(frames)
    try:
        worker = _loaded(load.payloads[0], output)
    except Exception:  # noqa: BLE001 - an author's code may raise anything
        connection.send(Frame("unloadable", fields={"trace": traceback.format_exc()}))
        writer.close()
        return
    connection.send(Frame("loaded", fields={"manifest": worker.manifest.to_json()}))
    calls: dict[int, _Call] = {}
    with output.installed():
        async for frame in frames:
            if frame.kind == "bind":
                calls[frame.call] = _Call(worker, connection, frame, on_ended=calls.pop)
            elif frame.kind == "leave":
                gc.collect()
                connection.send(Frame("left", fields={"complaints": complaints}))
                complaints.clear()
            elif (known := calls.get(frame.call)) is not None:
                known.take(frame)
        for call in [*calls.values()]:
            call.cancel()
    writer.close()


def _loaded(code: Payload, output: OutputCapture) -> Worker:
    # Code, and no call: in its place a product names the agent's folder.
    source: AgentSource = pickle.loads(code)  # type: ignore[arg-type]  # noqa: S301 - as above
    return Worker(source.agent(), max_payload_bytes=source.max_payload_bytes, threads=source.threads(), output=output)


class _Complaints(logging.Handler):
    """Takes note of what Python and asyncio complain of, for the test that is to blame."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))

    def hear(self) -> None:
        logging.getLogger("asyncio").addHandler(self)
        # Where nobody listens, Python writes warnings to the standard error.
        logging.getLogger().addHandler(logging.NullHandler())
        sys.unraisablehook = lambda raised: self.texts.append(f"{raised.exc_value!r} in {raised.object!r}")
        threading.excepthook = lambda raised: self.texts.append(f"{raised.exc_value!r} in {raised.thread!r}")


async def _accept(control: socket.socket) -> None:
    """Serves each connection that comes over `control`, until that is closed."""
    loop, over, tasks = asyncio.get_running_loop(), asyncio.Event(), set[asyncio.Task[None]]()
    complaints = _Complaints()
    complaints.hear()
    gc.freeze()

    def accept() -> None:
        data, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not data:
            over.set()
        for descriptor in descriptors:
            task = asyncio.create_task(_serve(socket.socket(fileno=descriptor), complaints.texts))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    loop.add_reader(control, accept)
    await over.wait()
    # At once: a function that never returns must not keep us.
    os._exit(0)


def main() -> None:
    """Runs until the descriptor that the command line names is closed."""
    asyncio.run(_accept(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
