"""A server as a process: what it keeps on disk, what it takes from its folder, and the signals that end it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from runagent_grpc.core.principal import Authenticator
from runagent_grpc.core.recorder import NullRecorder
from runagent_grpc.local.registry import Registry
from runagent_grpc.server.config import ServerConfig
from runagent_grpc.server.event_loop import ServerLoop
from runagent_grpc.server.forking import keeping_from_children
from runagent_grpc.server.history import open_history, positional_names
from runagent_grpc.server.reload import Reloader, ReloadListener
from runagent_grpc.server.server import Server
from runagent_grpc.server.stop_signals import StopSignals
from runagent_grpc.worker import Agent
from runagent_grpc.worker.output import OutputCapture
from runagent_grpc.worker.started_threads import following_threads
from runagent_grpc.worker.worker import failure_of

__all__ = ["NoJournalError", "serve_until_signalled"]

_logger = logging.getLogger(__name__)


class NoJournalError(Exception):
    """A journal is asked for, and there is nowhere to keep it."""


def serve_until_signalled(
    agent: Agent,
    *,
    config: ServerConfig,
    authenticator: Authenticator,
    registry: Registry,
    on_ready: Callable[[Server], None],
    on_stop: Callable[[Server], None],
    reload_listener: ReloadListener | None = None,
) -> None:
    """Serves an agent as this process's one task, until SIGINT, SIGTERM or SIGHUP; then drains.

    What entrypoints print and log is tied to their invocations, and goes to standard error. History and logs are kept
    in the file of the registry. Where there is a `reload_listener`, the agent is loaded anew when its files change. A
    second signal ends the process at once, with 128 and its number. The process ends with 0 within the drain's grace
    and two seconds of the first one, whatever does not end. Raises what `Server` raises, and NoJournalError.
    """
    manifest = agent.manifest
    config.check(manifest, asks_for_key=authenticator.required)
    with _closed_once() as (stack, close):
        names = positional_names(manifest)
        store = open_history(manifest, registry, config.history, names=names)
        if store is not None:
            stack.enter_context(store)
        elif config.history.journal:
            raise NoJournalError(
                "There is nowhere to keep a journal, for there is no history. Mend that, or go without."
            )
        recorder = store or NullRecorder()
        output = OutputCapture(recorder.logged)
        server = Server(
            agent,
            config=config,
            authenticator=authenticator,
            recorder=recorder,
            registry=registry,
            history=store.served_history if store else None,
            store=store.invocations if store else None,
            journal=store.journal if store and config.history.journal else None,
            output=output,
        )
        reloader = None
        if reload_listener is not None:
            reloader = Reloader(server, agent, _also_renaming(names, reload_listener))
        stack.enter_context(output.installed())
        stack.enter_context(following_threads())
        progress = _Progress(server)
        signals = StopSignals(grace=config.shutdown.drain_grace, left_behind=progress.left_behind, close=close)
        loop_factory = partial(ServerLoop, partial(_end_call_of_exit, server), take_wakeups=signals.take_wakeups)
        with signals.installed(), asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(_run(progress, reloader, signals, on_ready=on_ready, on_stop=on_stop))


def _end_call_of_exit(server: Server, error: BaseException, invocation_id: str | None) -> None:
    """Fails the call that an exit was asked for in, as far as it still runs."""
    if invocation_id is None or not server.engine.fail(invocation_id, partial(failure_of, error, invocation_id)):
        _logger.warning(
            "A task or a callback outside of any call asked for an exit, and the server stays.", exc_info=error
        )


def _also_renaming(names: dict[str, Sequence[str]], listener: ReloadListener) -> ReloadListener:
    """Lets history know the parameters of a new agent, by whose names it tells which values are secrets."""

    def reloaded(agent: Agent, files: tuple[str, ...]) -> None:
        names.update(positional_names(agent.manifest))
        listener.on_reloaded(agent, files)

    return replace(listener, on_reloaded=reloaded)


class _Progress:
    """How far the server has come with its end."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._stopping = False
        self._tasks: set[asyncio.Task[Any]] = set()

    def stopping(self) -> None:
        """The loop knows of a signal."""
        self._stopping = True

    def stopped(self, tasks: set[asyncio.Task[Any]]) -> None:
        """The server has closed; these tasks had not ended."""
        self._tasks = tasks

    def left_behind(self) -> list[str]:
        """Says what of the server's has not ended. Called on any thread."""
        if not self._stopping:
            return ["the event loop, which something blocks"]
        if calls := self.server.engine.active:
            return ["1 call" if calls == 1 else f"{calls:,} calls"]
        tasks = sum(not task.done() for task in self._tasks)
        return [] if not tasks else ["1 task" if tasks == 1 else f"{tasks:,} tasks"]


@contextlib.contextmanager
def _closed_once() -> Iterator[tuple[contextlib.ExitStack, Callable[[], None]]]:
    """Closes a stack at the end of the block, or when it is asked to before; whoever asks meanwhile waits."""
    stack, lock = contextlib.ExitStack(), threading.Lock()

    def close() -> None:
        with lock:
            stack.close()

    try:
        yield stack, close
    finally:
        close()


async def _run(
    progress: _Progress,
    reloader: Reloader | None,
    signals: StopSignals,
    *,
    on_ready: Callable[[Server], None],
    on_stop: Callable[[Server], None],
) -> None:
    server, stop, loop = progress.server, asyncio.Event(), asyncio.get_running_loop()

    def handle() -> None:
        progress.stopping()
        stop.set()
        # The terminal may be gone, which is what SIGHUP says.
        with contextlib.suppress(OSError):
            on_stop(server)

    def handle_soon() -> None:
        # The loop has ended where the server did not start.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(handle)

    signals.on_stop(handle_soon)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(keeping_from_children(lambda: frozenset(server.ports.values())))
        if reloader is not None:
            stack.callback(reloader.unload)
        await stack.enter_async_context(server)
        if reloader is not None:
            await stack.enter_async_context(reloader)
        on_ready(server)
        await stop.wait()
    # grpc.aio's own tasks end a moment after it has stopped. Cancelled before that, they print tracebacks.
    leftover = asyncio.all_tasks() - {asyncio.current_task()}
    if leftover:
        await asyncio.wait(leftover, timeout=1.0)
    progress.stopped(leftover)
    if server.engine.active:
        # asyncio would wait for a coroutine that swallows its cancellation, and that for ever.
        signals.leave()
