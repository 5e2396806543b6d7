"""Whether a call that failed is made again, and when: backoff, and the end of all patience. No I/O, and no sleep.

Only what the want of a server made fail is made again. The call's `request_id`, or its place in a stream, keeps the
server from doing anything twice (docs/design.md, clients that come back).
"""

from __future__ import annotations

import enum
import logging
import random
import time
from collections.abc import Callable

from runagent_grpc.client.deadline import Deadline
from runagent_grpc.errors import Reason, RunAgentError

__all__ = ["DEFAULT_RETRY_SECONDS", "PeerStatus", "Retry"]

DEFAULT_RETRY_SECONDS = 60.0
"""Longer than a server's default drain (20 s) and the start of the next one."""

_logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0

# Enough for a connection that breaks before it is one; a port of something else is told soon, all the same.
_STRANGER_SECONDS = 5.0

# The first try, at once, mends a connection that was cut. From this failure on it is an outage, and told.
_OUTAGE = 2

_WANT_OF_A_SERVER = frozenset({Reason.CONNECTION_ERROR, Reason.STREAM_INTERRUPTED, Reason.SHUTTING_DOWN})


class PeerStatus(enum.IntEnum):
    """What a client has ever had of a server, which says what it means that none answers."""

    NONE = 0
    """Nothing: the address is wrong, or no server runs. Also of a server that would run a repeated call twice."""
    CONNECTION = 1
    """Somebody took a connection, and it broke."""
    ANSWER = 2
    """It has answered: one that does not now is being restarted, or cannot be reached for a moment."""


class Retry:
    """The tries of one call."""

    def __init__(
        self,
        seconds: float,
        deadline: Deadline,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`seconds` is how long to go on after a failure; `chance` gives numbers from 0 to 1, which spread callers."""
        self.deadline = deadline
        self.failures = 0
        """How many there were since the server last gave something."""
        self._seconds = seconds
        self._clock = clock
        self._chance = chance
        self._failing_since = 0.0

    def progressed(self) -> None:
        """Says that the server gave something that was not there before: patience and backoff start anew."""
        if self.failures >= _OUTAGE:
            _logger.info("The server answers again.")
        self.failures = 0

    def pause_after(self, error: RunAgentError, contact: PeerStatus) -> float:
        """Returns how many seconds to wait before the next try.

        Raises the error where there is to be none: as it is, or one like it that says for how long it was tried.
        """
        now = self._clock()
        if not self.failures:
            self._failing_since = now
        tried = now - self._failing_since
        self.failures += 1
        pause = max(self._backoff(), error.retry_after or 0.0)
        if error.reason not in _WANT_OF_A_SERVER or tried + pause > self._patience(contact):
            raise self._last(error, tried)
        remaining = self.deadline.remaining()
        if remaining is not None and remaining <= pause:
            raise self._last(error, tried)
        if self.failures == _OUTAGE:
            _logger.info("%s Trying again for up to %.0f s.", error.message, self._patience(contact))
        return pause

    def _patience(self, contact: PeerStatus) -> float:
        match contact:
            case PeerStatus.ANSWER:
                return self._seconds
            case PeerStatus.CONNECTION:
                return min(self._seconds, _STRANGER_SECONDS)
        return 0.0

    def _backoff(self) -> float:
        whole = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(self.failures - 1, 30))
        return whole * (0.5 + 0.5 * self._chance())

    def _last(self, error: RunAgentError, tried: float) -> RunAgentError:
        if self.failures > 1 and error.reason in _WANT_OF_A_SERVER:
            return error.replace(message=f"{error.message} It was tried {self.failures} times in {tried:.1f} s.")
        return error
