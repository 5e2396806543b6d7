"""Work that takes a while: it asks for whom it works, says how far it is, and stops when nobody waits any more.

Three ways to do the same: at once, in a pool of threads, and on threads beside the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from runagent_grpc import current_invocation

logger = logging.getLogger(__name__)

BLOCK = 20_000
"""How many numbers are looked at before asking whether to go on."""

SPARE_SECONDS = 0.2
"""How much time is left over for the answer."""


def count_primes(below: int = 1_000_000) -> dict[str, Any]:
    """Counts the primes below a number; what it has got when time runs out is its answer."""
    logger.info("Counting for %s.", current_invocation().user_id or "somebody")
    primes = 0
    for start in range(0, below, BLOCK):
        if must_stop():
            logger.warning("Stopping at %d of %d.", start, below)
            return {"primes": primes, "below": start, "complete": False}
        primes += primes_between(start, min(start + BLOCK, below))
        logger.info("%d of %d looked at.", min(start + BLOCK, below), below)
    return {"primes": primes, "below": below, "complete": True}


def count_primes_in_a_pool(below: int = 1_000_000) -> int:
    """Counts the primes below a number, in a pool of threads."""
    with ThreadPoolExecutor(4) as pool:
        # A pool's threads are in no invocation: each piece of work takes a copy of this one's context along.
        blocks = [pool.submit(copy_context().run, count_block, start, below) for start in range(0, below, BLOCK)]
        return sum(block.result() for block in blocks)


async def count_primes_beside_the_loop(below: int = 1_000_000) -> AsyncIterator[int]:
    """Counts the primes below a number, and gives the sum so far after every block."""
    primes = 0
    for start in range(0, below, BLOCK):
        # Takes the context along by itself. Cancelling ends it at the next `await`, so there is nothing to ask.
        primes += await asyncio.to_thread(count_block, start, below)
        yield primes


def count_block(start: int, below: int) -> int:
    """Counts the primes of one block, unless there is no use in it any more."""
    if must_stop():
        return 0
    logger.info("Looking at %d and above.", start)
    return primes_between(start, min(start + BLOCK, below))


def must_stop() -> bool:
    """Whether nobody waits for the outcome any more, or hardly any time is left for it."""
    invocation = current_invocation()
    remaining = invocation.time_remaining
    return invocation.cancelled or (remaining is not None and remaining < SPARE_SECONDS)


def primes_between(start: int, end: int) -> int:
    """Counts the primes from `start` on and below `end`, with a sieve."""
    is_prime = bytearray([1]) * (end - start)
    for number in range(start, min(end, 2)):
        is_prime[number - start] = 0
    for factor in range(2, int(end**0.5) + 1):
        first = max(factor * factor, -(-start // factor) * factor)
        is_prime[first - start :: factor] = bytes(len(range(first, end, factor)))
    return sum(is_prime)
