"""Our server for the benchmarks, in a process of its own.

    python -m benchmarks.ours [HISTORY]

Keeps history in the file HISTORY, where one is named. Prints the port it listens on, then, for each line on
its standard input, one line of JSON about itself; serves until the input closes.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from pathlib import Path

from runagent_grpc.agent import load_agent
from runagent_grpc.serve import Server, ServerSettings
from runagent_grpc.store import HistoryStore

AGENT = Path(__file__).parent / "agent"


async def serve(store: HistoryStore | None = None) -> None:
    """Serves the benchmarks' agent on a free port of loopback until standard input closes."""
    settings = ServerSettings(http_port=0, grpc_port=0, drain_grace=0)
    history = store.history if store else None
    async with Server(load_agent(AGENT), settings=settings, recorder=store, history=history) as server:
        _say(str(server.grpc_port))
        while await asyncio.to_thread(sys.stdin.readline):
            _say(
                json.dumps(
                    {
                        "active": server.engine.active,
                        "http_port": server.http_port,
                        "threads": threading.active_count(),
                        "resident_bytes": _resident_bytes(),
                        "cpu_seconds": time.process_time(),
                    }
                )
            )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _resident_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with HistoryStore(Path(sys.argv[1]), agent_id="benchmark") as kept:
            asyncio.run(serve(kept))
    else:
        asyncio.run(serve())
