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
from runagent_grpc.contract.messages import status_to
from runagent_grpc.errors import TABLE, RunAgentError

__all__ = [
    "INVOCATION_ID",
    "Answer",
    "ScriptedServer",
    "answering",
    "chunks",
    "completed",
    "failing",
    "heartbeat",
    "scripted",
    "sending",
    "started",
]

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


Answer = Callable[[Any], Iterable[pb.RunStreamResponse]]
"""What a call is answered with, given its context: a stream's events, and perhaps how it fails."""


def sending(*events: pb.RunStreamResponse, then: Answer | None = None) -> Answer:
    """Sends these events, and ends well unless `then` says otherwise."""

    def answer(context: Any) -> Iterator[pb.RunStreamResponse]:
        yield from events
        if then is not None:
            yield from then(context)

    return answer


def failing(error: RunAgentError | None = None) -> Answer:
    """Fails as our servers do, or, without an error of ours, as gRPC does when a connection is lost."""

    def answer(context: Any) -> Iterable[pb.RunStreamResponse]:
        if error is None:
            context.abort(grpc.StatusCode.UNAVAILABLE, "Stream removed (Socket closed)")
        else:
            context.set_trailing_metadata((("grpc-status-details-bin", status_to(error).SerializeToString()),))
            context.abort(grpc.StatusCode[TABLE[error.reason].grpc], error.message)
        return ()

    return answer


class ScriptedServer(agent_service_pb2_grpc.AgentServiceServicer):
    """Answers every call as the test says, and remembers what it was asked."""

    def __init__(self, answer_to: Callable[[int], Answer], result: payload_pb2.Payload) -> None:
        self._answer_to = answer_to
        self._result = result
        self.base_url = ""
        self.calls: list[Any] = []
        self.requests: list[Any] = []
        """What RunStream was called with."""
        self.cancelled: list[str] = []
        """The ids that CancelInvocation was called with."""
        self.farewells: list[pb.CancelInvocationRequest] = []
        """The same, whole."""
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
        for _ in self._answer_to(len(self.calls))(context):
            pass
        self.go_on.wait(10)
        return pb.RunResponse(invocation_id=INVOCATION_ID, result=self._result)

    def RunStream(self, request: pb.RunStreamRequest, context: Any) -> Iterator[pb.RunStreamResponse]:  # noqa: N802
        self.calls.append(request.call)
        self.requests.append(request)
        context.add_callback(self.left.set)
        context.send_initial_metadata((("x-invocation-id", INVOCATION_ID),))
        yield from self._answer_to(len(self.calls))(context)

    def CancelInvocation(  # noqa: N802 - the RPC's name
        self, request: pb.CancelInvocationRequest, context: Any
    ) -> pb.CancelInvocationResponse:
        self.cancelled.append(request.invocation_id)
        self.farewells.append(request)
        return pb.CancelInvocationResponse()

    def silence(self, context: Any) -> Iterator[pb.RunStreamResponse]:
        """Says nothing until the test is over."""
        self.go_on.wait(10)
        return iter(())


@contextmanager
def scripted(
    *events: pb.RunStreamResponse, result: payload_pb2.Payload | None = None, then_silent: bool = False
) -> Iterator[ScriptedServer]:
    """Serves streams of these events, which end well or fall silent, and `result` once `go_on` is set."""

    def answer_to(_: int) -> Answer:
        return sending(*events, then=servicer.silence if then_silent else None)

    servicer = ScriptedServer(answer_to, result or payload_pb2.Payload(text="done"))
    with _served(servicer, 0):
        yield servicer


@contextmanager
def answering(*answers: Answer, port: int = 0) -> Iterator[ScriptedServer]:
    """Answers the first call with the first of these, the next with the next, and all others with the last.

    A `Run` that does not fail returns at once.
    """
    servicer = ScriptedServer(lambda number: answers[min(number, len(answers)) - 1], payload_pb2.Payload(text="done"))
    servicer.go_on.set()
    with _served(servicer, port):
        yield servicer


@contextmanager
def _served(servicer: ScriptedServer, port: int) -> Iterator[None]:
    with ThreadPoolExecutor(8) as pool:
        # Somebody else who listens on the port is an error, and not a partner.
        server = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
        agent_service_pb2_grpc.add_AgentServiceServicer_to_server(servicer, server)
        servicer.base_url = f"grpc://127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
        server.start()
        try:
            yield
        finally:
            servicer.go_on.set()
            server.stop(None).wait()
