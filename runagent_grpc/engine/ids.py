"""The ids of invocations."""

from __future__ import annotations

import os
import time

__all__ = ["new_invocation_id"]


def new_invocation_id() -> str:
    """Returns a UUID of version 8 (RFC 9562), which leaves its digits to us: 74 random bits, and then the time.

    Its first digits tell one invocation from another, so that people can write them for the whole. Its last twelve are
    the milliseconds since 1970, so that a table can keep its index in the order in which ids come (store/schema.py).
    """
    random = os.urandom(10).hex()
    variant = "89ab"[int(random[15], 16) & 3]
    milliseconds = time.time_ns() // 1_000_000
    return f"{random[:8]}-{random[8:12]}-8{random[12:15]}-{variant}{random[16:19]}-{milliseconds:012x}"
