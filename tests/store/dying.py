"""A program with a store, as tests kill it.

    python -m tests.store.dying FILE

Ends one invocation, starts another, lets a line of output through, waits as long as the store may take, says the two
ids, and waits for its death.
"""

from __future__ import annotations

import sys
import time
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
    time.sleep(3600)


if __name__ == "__main__":
    main()
