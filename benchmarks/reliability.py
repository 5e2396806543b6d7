"""What the service promises when there is much of everything, measured on real servers in processes of their own.

    python -m benchmarks.reliability

Prints a line a promise, with its figure and its bound, and exits 1 when one is not kept.
"""

from __future__ import annotations

import functools
import operator
import sys

from benchmarks.idle_streams import STREAMS, idle_streams
from benchmarks.overload import BURST, burst, overload
from benchmarks.promises import Promise

__all__ = ["main"]


def main() -> int:
    """Checks every promise. Returns the exit code."""
    # One measurement gives several figures.
    idle, at_once, much = functools.cache(idle_streams), functools.cache(burst), functools.cache(overload)
    n, m = f"{STREAMS:,}", f"{BURST:,}"
    promises = [
        Promise(f"{n} idle streams, memory for each: KiB", lambda: idle().kib_per_stream, operator.lt, 64),
        Promise(f"{n} idle streams, gRPC health (p99): ms", lambda: idle().grpc_health_ms, operator.lt, 50),
        Promise(f"{n} idle streams, HTTP health (p99): ms", lambda: idle().http_health_ms, operator.lt, 50),
        Promise(f"{m} calls at once, not answered: calls", lambda: at_once().lost_with_room, operator.lt, 1),
        Promise(f"{m} calls at once, limited, lost: calls", lambda: at_once().lost_with_defaults, operator.lt, 1),
        Promise("twice the capacity, work done beside capacity: share", lambda: much().goodput, operator.gt, 0.9),
        Promise("twice the capacity, refusals (p99): ms", lambda: much().refusal_ms, operator.lt, 50),
        Promise("twice the capacity, neither done nor refused: calls", lambda: much().lost, operator.lt, 1),
    ]
    kept = [promise.check() for promise in promises]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
