"""Our server for the benchmarks, in a process of its own.

    python -m benchmarks.ours [max_invocations=20000] [heartbeat_interval=1.5]

Takes settings of the engine. Prints the port it listens on, then, for each line on its standard input, one line of JSON
about itself; serves until the input closes.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from pathlib import Path
from typing import Any

from runagent_grpc.agent import load_agent
from runagent_grpc.engine import EngineSettings
from runagent_grpc.serve import Server, ServerSettings

AGENT = Path(__file__).parent / "agent"


async def serve(engine: EngineSettings) -> None:
    """Serves the benchmarks' agent on free ports of loopback until standard input closes."""
    settings = ServerSettings(grpc_port=0, http_port=0, drain_grace=0, engine=engine)
    async with Server(load_agent(AGENT), settings=settings) as server:
        _say(str(server.grpc_port))
        while await asyncio.to_thread(sys.stdin.readline):
            _say(
                json.dumps(
                    {
                        "http_port": server.http_port,
                        "active": server.engine.active,
                        "threads": threading.active_count(),
                        "resident_bytes": _resident_bytes(),
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
    given: dict[str, Any] = {
        name: json.loads(value) for name, _, value in (word.partition("=") for word in sys.argv[1:])
    }
    asyncio.run(serve(EngineSettings(**given)))
