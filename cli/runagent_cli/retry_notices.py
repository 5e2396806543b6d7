"""What a person is told while a command waits for a server that does not answer."""

from __future__ import annotations

import logging

from runagent_cli import output

__all__ = ["tell_outages"]

_LOGGER = "runagent_grpc.client.retry"


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        output.note(record.getMessage())


def tell_outages() -> None:
    """Passes on, from now on, what the client logs of its tries."""
    logger = logging.getLogger(_LOGGER)
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _Notes) for handler in logger.handlers):
        logger.addHandler(_Notes())
