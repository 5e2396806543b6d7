"""The logging of a server: on stderr, one readable line an event, with the fields it came with."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from runagent_cli.output import printable
from runagent_grpc.worker.log_records import hearing_records

__all__ = ["log_to_stderr"]

_SERVER = "runagent_grpc"
"""The logger above those of the server's own modules."""

_OF_EVERY_RECORD = frozenset({*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"})

_CHATTY = {"asyncio": logging.INFO, "grpc": logging.INFO, "watchfiles": logging.WARNING}
"""Loggers whose lines below a level tell nothing about an agent. watchfiles counts every file that changes."""


class _Formatter(logging.Formatter):
    """`12:00:00 WARNING An entrypoint raised. invocation_id=...`, and a traceback below where there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - named by the base class
        fields = (f" {name}={value}" for name, value in record.__dict__.items() if name not in _OF_EVERY_RECORD)
        return super().formatMessage(record) + "".join(fields)

    def format(self, record: logging.LogRecord) -> str:
        # Callers choose what exceptions and log lines say. They shall not write lines that look like ours.
        return printable(super().format(record)).replace("\n", "\n  ")


class _ServerLogger(logging.Logger):
    """A logger of the server's own. `dictConfig` disables loggers that it does not name; this one cannot be."""

    @property
    def disabled(self) -> bool:
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None: ...

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - named by the base class
        # Without `logging.disable`, which the agent's code may have called.
        return level >= self.getEffectiveLevel()


@contextmanager
def log_to_stderr(*, debug: bool) -> Iterator[None]:
    """Shows what the server, and the agent's own code, log: INFO and above, with `debug` everything.

    What the agent configures holds for its own log lines: they are shown here as long as it has no handlers for them.
    The server's lines are shown here in any case. For the length of the block, in a process that only serves.
    """
    shown = logging.StreamHandler(sys.stderr)
    shown.setFormatter(_Formatter())
    level = logging.DEBUG if debug else logging.INFO
    root, server = logging.getLogger(), logging.getLogger(_SERVER)
    for logger in (root, server):
        logger.setLevel(level)
    # Handlers of the agent's may lead to standard error, too.
    server.propagate = False
    for name, least in _CHATTY.items():
        logging.getLogger(name).setLevel(least)
    _protect_loggers()

    def show(logger: logging.Logger, record: logging.LogRecord, handle: Callable[[], None]) -> None:
        # Not where there is none: Python would write it to standard error by itself.
        if logger.hasHandlers():
            handle()
        if _is_servers(logger.name) or not _is_handled(logger):
            shown.handle(record)

    with hearing_records(show):
        yield


def _protect_loggers() -> None:
    # All modules that log in a server are imported with this one.
    import runagent_grpc.server.process  # noqa: F401 - for its loggers

    for name, logger in logging.Logger.manager.loggerDict.items():
        if _is_servers(name) and type(logger) is logging.Logger:
            logger.__class__ = _ServerLogger


def _is_servers(name: str) -> bool:
    return f"{name}.".startswith(f"{_SERVER}.")


def _is_handled(logger: logging.Logger | None) -> bool:
    """Whether a handler takes its lines that somebody sees; libraries bring some that do nothing."""
    while logger is not None:
        if any(not isinstance(handler, logging.NullHandler) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False
