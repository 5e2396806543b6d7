"""What ten thousand streams cost on which nothing comes: memory, and how soon anybody else is answered."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.processes import ServerProcess, running
from benchmarks.promises import require

__all__ = ["STREAMS", "IdleStreams", "idle_streams"]

STREAMS = 10_000
_WATCHED_SECONDS = 20.0
_SECONDS_BETWEEN_CHECKS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleStreams:
    """What was measured."""

    kib_per_stream: float
    grpc_health_ms: float
    """The slowest answer but one in a hundred, over gRPC."""
    http_health_ms: float
    """The same over HTTP."""


def idle_streams() -> IdleStreams:
    """Opens the streams, then asks after the server's health for longer than a heartbeat's interval."""
    with running("benchmarks.ours", f"max_invocations={2 * STREAMS}") as server:
        before = server.state()["resident_bytes"]
        command = [sys.executable, "-m", "benchmarks.idle_client", server.target, str(STREAMS)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            require(client.stdout.readline() != "", "the client ended")
            state = server.state()
            require(state["active"] == STREAMS, f"{state['active']} streams were running")
            grpc_ms, http_ms = _health(server, state["http_port"])
            client.stdin.write("\n")
            client.stdin.flush()
            heartbeats, still_running = map(int, client.stdout.readline().split())
            require(heartbeats >= STREAMS, f"{heartbeats} heartbeats came")
            require(still_running == STREAMS, f"{still_running} streams still ran")
            grown = server.state()["resident_bytes"] - before
            client.stdin.close()
            client.kill()
    return IdleStreams(kib_per_stream=grown / STREAMS / 1024, grpc_health_ms=grpc_ms, http_health_ms=http_ms)


def _health(server: ServerProcess, http_port: int) -> tuple[float, float]:
    url = f"http://127.0.0.1:{http_port}/health"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    over_grpc, over_http = [], []
    with grpc.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        # Its types are not told.
        stub: Any = health_pb2_grpc.HealthStub(channel)
        until = time.perf_counter() + _WATCHED_SECONDS
        while time.perf_counter() < until:
            over_grpc.append(_milliseconds(lambda: stub.Check(health_pb2.HealthCheckRequest())))
            over_http.append(_milliseconds(lambda: opener.open(url, timeout=10).read()))
            time.sleep(_SECONDS_BETWEEN_CHECKS)
    return _all_but_one_in_a_hundred(over_grpc), _all_but_one_in_a_hundred(over_http)


def _milliseconds(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    ask()
    return 1000 * (time.perf_counter() - began)


def _all_but_one_in_a_hundred(figures: list[float]) -> float:
    return sorted(figures)[int(len(figures) * 0.99)]
