"""Hearing log records where no configuration of logging ends it.

`dictConfig`, `fileConfig` and `basicConfig(force=True)` remove handlers, wherever they are attached. What all records
pass on their way to handlers is `Logger.callHandlers`, which error trackers stand in for in the same way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Hear", "hearing_records"]

Hear = Callable[[logging.Logger, logging.LogRecord, Callable[[], None]], None]
"""Takes a logger, a record that it lets pass, and what hands the record to the logger's handlers."""


@contextmanager
def hearing_records(hear: Hear) -> Iterator[None]:
    """Calls `hear` in place of the handlers, until the block ends. It may be entered several times."""
    hears = True
    beneath = logging.Logger.callHandlers

    def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
        if hears:
            hear(logger, record, lambda: beneath(logger, record))
        else:
            beneath(logger, record)

    # Assigned by name, for type checkers take a method for something that cannot be assigned.
    setattr(logging.Logger, "callHandlers", call_handlers)  # noqa: B010 - as said
    try:
        yield
    finally:
        hears = False
        # Where somebody stands in on top of this, it stays, and passes on.
        if logging.Logger.callHandlers is call_handlers:
            setattr(logging.Logger, "callHandlers", beneath)  # noqa: B010 - as said
