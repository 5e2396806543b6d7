"""A server that is a process of its own: how signals end it, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from websockets.sync.client import connect

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc
from runagent_grpc.auth.api_keys import ApiKeys
from runagent_grpc.local.registry import Registry
from runagent_grpc.local.registry_file import registry_path
from runagent_grpc.server.config import ServerConfig
from runagent_grpc.server.process import NoJournalError, serve_until_signalled
from runagent_grpc.settings import RecordingSettings
from runagent_grpc.store import History
from runagent_grpc.worker import Agent
from tests.rpc.calls import announced_id, failing, run_request, stream_request, value_of
from tests.waiting import eventually

SERVES_UNTIL_SIGNALLED = """
import json, logging, sys, threading
from runagent_grpc.worker import Agent
from runagent_grpc.auth.api_keys import ApiKeys
from runagent_grpc.server.config import ServerConfig
from runagent_grpc.server.process import serve_until_signalled
from runagent_grpc.local.registry import Registry

let_go = threading.Event()

def wait_for_a_line():
    # Whoever waits for the end of this process closes the pipe, which lets nothing go.
    if sys.stdin.readline():
        let_go.set()

def wait_stream():
    yield "begun"
    let_go.wait()
    yield from ("more", "done")

def wait():
    let_go.wait()
    return "done"

logging.basicConfig(level="WARNING")
threading.Thread(target=wait_for_a_line, daemon=True).start()
config = ServerConfig.of({"port": 0, "grpc_port": 0, **json.loads(sys.argv[1])})
serve_until_signalled(
    Agent.from_functions({"wait_stream": wait_stream, "wait": wait}, agent_id="chat"),
    config=config,
    authenticator=ApiKeys(),
    registry=Registry(),
    on_ready=lambda server: print(server.grpc_port, server.http_port, flush=True),
    on_stop=lambda server: print("stopping", flush=True),
)
print("over", flush=True)
"""

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Process:
    """A server, whose entrypoints wait until they are let go."""

    def __init__(self, process: subprocess.Popen[str], stack: ExitStack) -> None:
        self.process = process
        self.grpc_port, self.http_port = map(int, self.line().split())
        self.http = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{self.http_port}"))
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}"))
        self.stub = agent_service_pb2_grpc.AgentServiceStub(channel)
        self.health: Any = health_pb2_grpc.HealthStub(channel)
        self._stack = stack

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self, number: signal.Signals) -> None:
        """Sends a signal, and waits until it has come."""
        os.kill(self.process.pid, number)
        assert self.line() == "stopping"

    def end(self) -> tuple[int, str, str]:
        """Waits until the process has ended; returns its code, and what it said that was not read yet."""
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err

    def let_go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def grpc_stream(self) -> Iterator[pb.RunStreamResponse]:
        """A stream whose first chunk has come."""
        stream: Iterator[pb.RunStreamResponse] = self.stub.RunStream(stream_request("wait_stream"))
        assert next(stream).started.invocation_id
        assert value_of(next(stream).chunks.values[0]) == "begun"
        return stream

    def websocket(self) -> Any:
        """A WebSocket whose first chunk has come."""
        url = f"ws://127.0.0.1:{self.http_port}/api/v1/agents/chat/run-stream"
        websocket = self._stack.enter_context(connect(url))
        websocket.send('{"entrypoint_tag": "wait_stream"}')
        assert [json.loads(websocket.recv())["type"] for _ in range(2)] == ["status", "data"]
        return websocket


@contextmanager
def a_process(**options: Any) -> Iterator[Process]:
    command = [sys.executable, "-c", SERVES_UNTIL_SIGNALLED, json.dumps(options)]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, **pipes) as process, ExitStack() as stack:
        try:
            yield Process(process, stack)
        finally:
            process.kill()


def states() -> Counter[str]:
    """How the invocations have ended that the history knows of."""
    return Counter(invocation.state.name for invocation in History(registry_path()).page(limit=1000).invocations)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_lets_what_runs_finish_and_ends_the_process_in_order(number: signal.Signals) -> None:
    with a_process(drain_grace=60) as server:
        streams = [server.grpc_stream() for _ in range(20)]
        websockets = [server.websocket() for _ in range(3)]
        calls = [server.stub.Run.future(run_request("wait")) for _ in range(10)]
        eventually(lambda: states() == {"RUNNING": 33})
        server.tell(number)

        serving = server.health.Check(health_pb2.HealthCheckRequest())
        assert serving.status == health_pb2.HealthCheckResponse.NOT_SERVING
        refused = failing(server.stub.Run, run_request("wait"))
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        assert refused.retry_after
        answer = server.http.post("/api/v1/agents/chat/run", json={"entrypoint_tag": "wait"})
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        health = server.http.get("/health").json()
        assert (health["status"], health["draining"]) == ("healthy", True)

        server.let_go()
        for stream in streams:
            *chunks, completed = stream
            assert [value_of(value) for event in chunks for value in event.chunks.values] == ["more", "done"]
            assert completed.completed.chunk_count == 3
        for websocket in websockets:
            frames = [json.loads(frame) for frame in websocket]
            assert [frame.get("sequence") or frame["status"] for frame in frames] == [2, 3, "stream_completed"]
        assert [value_of(call.result().result) for call in calls] == ["done"] * 10
        assert server.end() == (0, "over\n", "")

    assert states() == {"COMPLETED": 33}
    row = Registry().find("chat")
    assert row is not None
    assert (row.port, row.status) == (server.http_port, "stopped")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_ends_the_process_at_once(number: signal.Signals) -> None:
    with a_process(drain_grace=60) as server:
        stream = server.grpc_stream()
        server.tell(number)
        os.kill(server.process.pid, number)
        assert server.end() == (128 + number, "", "")
        with pytest.raises(grpc.RpcError) as lost:
            next(stream)
        assert isinstance(lost.value, grpc.Call)
        assert lost.value.code() is grpc.StatusCode.UNAVAILABLE


def test_what_does_not_end_in_time_is_lost_and_what_never_ran_was_never_there() -> None:
    with a_process(drain_grace=0.3, max_concurrent=1) as server:
        stream = server.grpc_stream()
        queued = server.stub.RunStream(stream_request("wait_stream"))
        assert announced_id(queued)
        server.tell(signal.SIGTERM)
        assert failing(lambda _: stream, None).reason == "INVOCATION_LOST"
        assert failing(lambda _: queued, None).reason == "SHUTTING_DOWN"
        # Its thread waits still; nobody waits for that.
        assert server.process.wait(20) == 0
        assert "Left behind what does not end: 1 call." in server.end()[2]
    assert states() == {"LOST": 1}


def test_a_journal_without_a_history_is_refused() -> None:
    registry_path().parent.mkdir(parents=True)
    registry_path().write_text("This is no database.")
    with pytest.raises(NoJournalError, match="nowhere to keep a journal"):
        serve_until_signalled(
            Agent.from_functions({"one": lambda: 1}),
            config=ServerConfig(history=RecordingSettings(journal=True)),
            authenticator=ApiKeys(),
            registry=Registry(),
            on_ready=lambda _: None,
            on_stop=lambda _: None,
        )


def test_a_journal_without_payloads_is_refused() -> None:
    config = ServerConfig(history=RecordingSettings(journal=True, record_payloads=False))
    with pytest.raises(ValueError, match="leave the journal out"):
        config.check(Agent.from_functions({"one": lambda: 1}).manifest, asks_for_key=False)
