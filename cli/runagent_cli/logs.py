"""The logging of a server: on stderr, one readable line an event, with the fields it came with."""

from __future__ import annotations

import logging
import sys

from runagent_cli.output import printable

__all__ = ["log_to_stderr"]

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


def log_to_stderr(*, debug: bool) -> None:
    """Shows what the server, and the agent's own code, log: INFO and above, with `debug` everything."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler])
    for name, level in _CHATTY.items():
        logging.getLogger(name).setLevel(level)
