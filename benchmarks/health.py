"""How quick health is while a hundred entrypoints block: server, load and probe are processes of their own.

python -m benchmarks.health
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.processes import ServerProcess, running

__all__ = ["Delays", "HealthFigures", "health_figures", "main"]

STREAMS = 50
"""On each wire."""
SECONDS_BETWEEN_CHUNKS = 0.05
"""About as fast as a language model talks. With 0.02 the load alone fills one of two processors."""
PROBES = 400
SECONDS_BETWEEN_PROBES = 0.01


@dataclass(frozen=True, slots=True)
class Delays:
    """How long many answers took, in milliseconds."""

    p50: float
    p99: float
    slowest: float

    @classmethod
    def of(cls, seconds: list[float]) -> Delays:
        ordered = sorted(1000 * one for one in seconds)
        return cls(ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100], ordered[-1])

    def __str__(self) -> str:
        return f"p50 {self.p50:7.2f} ms   p99 {self.p99:7.2f} ms   slowest {self.slowest:7.2f} ms"


@dataclass(frozen=True, slots=True)
class HealthFigures:
    """One probe of an idle server, and the same of one with a hundred streams."""

    idle: Delays
    loaded: Delays
    pongs: Delays
    """Of the WebSocket pings that were answered, measured within the load."""
    pings: int
    unanswered_pings: int

    def __str__(self) -> str:
        answered = f"{self.pings - self.unanswered_pings} of {self.pings} answered"
        return (
            f"health, idle server          {self.idle}\n"
            f"health, {2 * STREAMS} sleeping streams {self.loaded}\n"
            f"WebSocket pings beside them  {self.pongs}   {answered}\n"
        )


def main() -> None:
    """Prints the delays."""
    with running("benchmarks.ours") as server:
        sys.stdout.write(str(health_figures(server)))


def health_figures(server: ServerProcess) -> HealthFigures:
    """Probes an idle server, then the same one while it streams."""
    port = server.state()["http_port"]
    # The first ones pay for what is set up but once.
    _probe(port)
    idle = Delays.of(_probe(port))
    with _load(server, port) as load:
        active = server.state()["active"]
        assert active == 2 * STREAMS, f"{active} streams run."
        loaded = Delays.of(_probe(port))
        pongs = json.loads(load.communicate()[0])
    answered = [pong for pong in pongs if pong is not None]
    return HealthFigures(
        idle=idle,
        loaded=loaded,
        pongs=Delays.of(answered),
        pings=len(pongs),
        unanswered_pings=len(pongs) - len(answered),
    )


def _probe(port: int) -> list[float]:
    """Returns the seconds that each answer took, on a connection of its own."""
    taken = []
    for _ in range(PROBES):
        began = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/api/v1/health")
        answer = connection.getresponse()
        assert (answer.status, json.load(answer)["status"]) == (200, "healthy")
        connection.close()
        taken.append(time.perf_counter() - began)
        time.sleep(SECONDS_BETWEEN_PROBES)
    return taken


@contextmanager
def _load(server: ServerProcess, port: int) -> Iterator[subprocess.Popen[str]]:
    """The streams, all of which stream."""
    command = [sys.executable, "-m", "benchmarks.sleeping_streams"]
    command += [server.target, str(port), str(STREAMS), str(SECONDS_BETWEEN_CHUNKS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "streaming\n"
        try:
            yield process
        finally:
            process.kill()


if __name__ == "__main__":
    main()
