"""A gRPC server that says what a test tells it to, right or wrong, where a real one would never."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc, payload_pb2

__all__ = ["INVOCATION_ID", "ScriptedServer", "chunks", "completed", "heartbeat", "scripted", "started"]

INVOCATION_ID = "the-invocation"


def started(heartbeat_seconds: float = 0.0) -> pb.RunStreamResponse:
    event = pb.RunStreamResponse(started=pb.StreamStarted(invocation_id=INVOCATION_ID))
    event.started.heartbeat_interval.FromNanoseconds(int(heartbeat_seconds * 1e9))
    return event


def chunks(first_sequence: int, *texts: str) -> pb.RunStreamResponse:
    values = [payload_pb2.Payload(text=text) for text in texts]
    return pb.RunStreamResponse(chunks=pb.StreamChunks(first_sequence=first_sequence, values=values))


def heartbeat() -> pb.RunStreamResponse:
    return pb.RunStreamResponse(heartbeat=pb.StreamHeartbeat())


def completed(chunk_count: int) -> pb.RunStreamResponse:
    return pb.RunStreamResponse(completed=pb.StreamCompleted(chunk_count=chunk_count))


class ScriptedServer(agent_service_pb2_grpc.AgentServiceServicer):
    """Answers every call with the test's events, and remembers what it was asked."""

    def __init__(self, events: Callable[[], Iterable[pb.RunStreamResponse]], result: payload_pb2.Payload) -> None:
        self._events = events
        self._result = result
        self.base_url = ""
        self.calls: list[Any] = []
        self.cancelled: list[str] = []
        """The ids that CancelInvocation was called with."""
        self.left = threading.Event()
        """Set once a stream's caller is gone, or has it all."""
        self.go_on = threading.Event()
        """What `Run`, and `silence`, wait for."""

    def ListAgents(self, request: pb.ListAgentsRequest, context: Any) -> pb.ListAgentsResponse:  # noqa: N802
        return pb.ListAgentsResponse()

    def GetAgent(self, request: pb.GetAgentRequest, context: Any) -> pb.GetAgentResponse:  # noqa: N802
        return pb.GetAgentResponse()

    def Run(self, request: pb.RunRequest, context: Any) -> pb.RunResponse:  # noqa: N802 - the RPCs' names, as in the contract
        self.calls.append(request.call)
        context.add_callback(self.left.set)
        context.send_initial_metadata((("x-invocation-id", INVOCATION_ID),))
        self.go_on.wait(10)
        return pb.RunResponse(invocation_id=INVOCATION_ID, result=self._result)

    def RunStream(self, request: pb.RunStreamRequest, context: Any) -> Iterator[pb.RunStreamResponse]:  # noqa: N802
        self.calls.append(request.call)
        context.add_callback(self.left.set)
        context.send_initial_metadata((("x-invocation-id", INVOCATION_ID),))
        yield from self._events()

    def CancelInvocation(  # noqa: N802 - the RPC's name
        self, request: pb.CancelInvocationRequest, context: Any
    ) -> pb.CancelInvocationResponse:
        self.cancelled.append(request.invocation_id)
        return pb.CancelInvocationResponse()

    def silence(self) -> Iterator[pb.RunStreamResponse]:
        """Says nothing until the test is over."""
        self.go_on.wait(10)
        return iter(())


@contextmanager
def scripted(
    *events: pb.RunStreamResponse, result: payload_pb2.Payload | None = None, then_silent: bool = False
) -> Iterator[ScriptedServer]:
    """Serves streams of these events, which end well or fall silent, and `result` once `go_on` is set."""

    def script() -> Iterator[pb.RunStreamResponse]:
        yield from events
        if then_silent:
            yield from servicer.silence()

    servicer = ScriptedServer(script, result or payload_pb2.Payload(text="done"))
    with ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool)
        agent_service_pb2_grpc.add_AgentServiceServicer_to_server(servicer, server)
        servicer.base_url = f"grpc://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield servicer
        finally:
            servicer.go_on.set()
            server.stop(None).wait()
