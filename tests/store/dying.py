"""A program with a store, as tests kill it.

    python -m tests.store.dying FILE [stream]

Ends one invocation, starts another, lets a line of output through, waits as long as the store may take, says the two
ids, and waits for its death. As a stream it goes on to journal chunks, "1", "2", ..., and says each number as soon as
that chunk may not be lost any more.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections import deque
from pathlib import Path

from runagent_grpc.store import HistoryStore
from tests.store.recording import begin, log, record

PROMISE_SECONDS = 0.05
"""After how long nothing that was told may be lost."""


def main() -> None:
    store = HistoryStore(Path(sys.argv[1]), agent_id="agent")
    ended = record(store, "kept", "in")
    running = begin(store).invocation_id
    log(store, running, "still here")
    time.sleep(PROMISE_SECONDS)
    print(ended, running, flush=True)  # noqa: T201 - for the test that reads it
    if sys.argv[2:] == ["stream"]:
        stream(store, running)
    time.sleep(3600)


def stream(store: HistoryStore, invocation_id: str) -> None:
    young: deque[tuple[float, int]] = deque()
    for sequence in itertools.count(1):
        store.journal.produced(invocation_id, sequence, str(sequence))
        young.append((time.monotonic() + PROMISE_SECONDS, sequence))
        while young and young[0][0] < time.monotonic():
            print(young.popleft()[1], flush=True)  # noqa: T201 - for the test that reads it
        if sequence % 100 == 0:
            time.sleep(0.001)


if __name__ == "__main__":
    main()
