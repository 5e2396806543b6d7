"""Our server for the benchmarks, in a process of its own.

    python -m benchmarks.ours [history=FILE] [max_invocations=20000] [heartbeat_interval=1.5]

Keeps history in FILE, where one is named, and takes settings of the engine. Prints the port it listens on, then, for
each line on its standard input, one line of JSON about itself; serves until the input closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from runagent_grpc.server.config import ServerConfig
from runagent_grpc.server.server import Server
from runagent_grpc.settings import EngineSettings, ListenSettings, ShutdownSettings
from runagent_grpc.store import HistoryStore
from runagent_grpc.worker import load_agent

AGENT = Path(__file__).parent / "agent"


async def serve(engine: EngineSettings, store: HistoryStore | None = None) -> None:
    """Serves the benchmarks' agent on free ports of loopback until standard input closes."""
    config = ServerConfig(
        listen=ListenSettings(port=0, grpc_port=0), limits=engine, shutdown=ShutdownSettings(drain_grace=0)
    )
    history, invocations = (store.served_history, store.invocations) if store else (None, None)
    async with Server(load_agent(AGENT), config=config, recorder=store, history=history, store=invocations) as server:
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
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    with contextlib.ExitStack() as stack:
        file = given.pop("history", None)
        kept = None if file is None else stack.enter_context(HistoryStore(Path(file), agent_id="benchmark"))
        settings: dict[str, Any] = {name: json.loads(value) for name, value in given.items()}
        asyncio.run(serve(EngineSettings(**settings), kept))
