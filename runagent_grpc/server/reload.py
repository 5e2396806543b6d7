"""Reloads an agent when its files change, and hands it to the server.

Calls that run end on the code that they began with (docs/design.md, reloading). What an edit may change is everything
that is read when an agent is loaded, but for who it is and whom it lets in.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from watchfiles import watch

from runagent_grpc.core.event_loop import post
from runagent_grpc.server.server import Server
from runagent_grpc.worker import Agent, InvalidAgentError, load_agent
from runagent_grpc.worker.config.file import CONFIG_FILES

__all__ = ["ReloadListener", "Reloader"]

_logger = logging.getLogger(__name__)

_FILES = (".env", *CONFIG_FILES)
_OTHER_PEOPLES_FOLDERS = frozenset({"__pycache__", "node_modules", "site-packages"})

# Milliseconds. Changes are taken together until none has followed for a step, but no longer than that.
_STEP = 50
_LONGEST_TOGETHER = 400
_TICK = 250

_KEPT_SECONDS = 10.0
"""How long an agent that was replaced stays loaded at least: a call's arguments may be checked all that time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadListener:
    """Who hears of what comes of a change; on the event loop."""

    on_reloaded: Callable[[Agent, tuple[str, ...]], None]
    """Hears of a new agent that is served, and of the files that have changed."""
    on_refused: Callable[[str], None]
    """Hears, once for a change, why the agent from before is still the one that is served."""


class Reloader:
    """Watches the folder of a server's agent within its `async with`, which is to end before the server drains.

    Loads on a thread of its own, one change after the other; tells its listener.
    """

    def __init__(
        self,
        server: Server,
        agent: Agent,
        listener: ReloadListener,
    ) -> None:
        """Watches nothing yet. `agent` is what the server serves; it must have been loaded from a folder."""
        if agent.folder is None:
            raise ValueError("This agent was not loaded from a folder. Load it with `load_agent`.")
        self._server = server
        self._folder = agent.folder
        self._listener = listener
        self._newest = agent
        self._replaced: list[tuple[Agent, float]] = []
        """The agents that were served before, with when they were replaced."""
        self._watching = threading.Event()
        self._stopped = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wrote_bytecode = True

    async def __aenter__(self) -> Self:
        # Python knows compiled code by its source's size and by the second of its last change: it would miss the
        # second of two quick edits.
        self._wrote_bytecode = not sys.dont_write_bytecode
        sys.dont_write_bytecode = True
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._watch, name="runagent-reload", daemon=True).start()
        await asyncio.to_thread(self._watching.wait)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Nobody waits for the thread, which may be within an import of the author's.
        self._stopped.set()
        sys.dont_write_bytecode = not self._wrote_bytecode

    def unload(self) -> None:
        """Unloads all that was loaded; to be called when nothing runs any more."""
        for agent, _ in self._replaced:
            agent.unload()
        self._newest.unload()

    def _watch(self) -> None:
        try:
            for changes in watch(
                self._folder,
                watch_filter=None,
                step=_STEP,
                debounce=_LONGEST_TOGETHER,
                rust_timeout=_TICK,
                yield_on_timeout=True,
                stop_event=self._stopped,
                raise_interrupt=False,
                ignore_permission_denied=True,
            ):
                # It has watched from before the first tick on.
                self._watching.set()
                if names := self._names_of(path for _, path in changes):
                    self._load(names)
                self._unload_replaced()
        except Exception as error:  # noqa: BLE001 - watchfiles raises its own, and OSErrors without a number
            self._call(
                self._listener.on_refused, f"Changes cannot be watched ({error}). Start the server again to take them."
            )
        finally:
            self._watching.set()

    def _names_of(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Returns the names, within the folder, of the files that make a difference to the agent."""
        names = []
        for path in map(Path, paths):
            with suppress(ValueError):
                name = path.relative_to(self._folder)
                if (name.suffix == ".py" or str(name) in _FILES) and not self._is_other_peoples(name):
                    names.append(name.as_posix())
        return tuple(sorted(names))

    def _is_other_peoples(self, name: Path) -> bool:
        return any(part.startswith(".") or part in _OTHER_PEOPLES_FOLDERS for part in name.parts[:-1]) or any(
            (self._folder / parent / "pyvenv.cfg").exists() for parent in name.parents[:-1]
        )

    def _load(self, names: tuple[str, ...]) -> None:
        try:
            agent = load_agent(self._folder)
        except InvalidAgentError as error:
            self._call(self._listener.on_refused, str(error))
            return
        except Exception:
            _logger.exception("A changed agent cannot be loaded.")
            self._call(
                self._listener.on_refused, "It cannot be loaded, and the fault is not the agent's own. See the log."
            )
            return
        if reason := _needs_restart(self._newest, agent):
            agent.unload()
            self._call(self._listener.on_refused, reason)
            return
        self._call(self._take, agent, names)

    def _take(self, agent: Agent, names: tuple[str, ...]) -> None:
        if self._stopped.is_set():
            agent.unload()
            return
        self._server.replace_agent(agent)
        self._replaced.append((self._newest, time.monotonic()))
        self._newest = agent
        self._listener.on_reloaded(agent, names)

    def _unload_replaced(self) -> None:
        """Unloads agents from before once nothing runs: which call runs on which is the engine's own affair."""
        if not self._replaced or self._server.engine.running or self._server.engine.active:
            return
        long_ago = time.monotonic() - _KEPT_SECONDS
        while self._replaced and self._replaced[0][1] < long_ago:
            self._replaced.pop(0)[0].unload()

    def _call(self, function: Callable[..., None], *args: object) -> None:
        if self._loop is not None:
            post(self._loop, function, *args)


def _needs_restart(before: Agent, after: Agent) -> str | None:
    """Says which of the things has changed that a server cannot change while it serves."""
    changed = [
        name
        for name, old, new in (
            ("agent_id", before.agent_id, after.agent_id),
            ("auth_settings", before.auth_type, after.auth_type),
        )
        if old != new
    ]
    return f"`{'` and `'.join(changed)}` changed. Start the server again to take that." if changed else None
