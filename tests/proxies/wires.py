"""The three wires that a stream can be followed over, each read as plainly as it can be, one connection at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage
from websockets.sync.client import connect

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc

__all__ = ["Chunk", "ConnectionCutError", "Wire", "events_of", "follow_grpc", "follow_sse", "follow_websocket"]

PATIENCE_SECONDS = 20.0

Chunk = tuple[int, Any]
"""A chunk's number, and its value."""

Wire = Callable[[int, str, int], Iterator[Chunk]]
"""Follows an invocation at a port of loopback, by its id, from behind a chunk on. Ends where the stream completed."""


class ConnectionCutError(Exception):
    """The connection ended before the stream did."""


def follow_grpc(port: int, invocation_id: str, after: int) -> Iterator[Chunk]:
    """Follows by RunStream, from the plain stub."""
    resume = pb.ResumePoint(invocation_id=invocation_id, after_sequence=after)
    # Channels to one address share a connection otherwise, and with it the end of it.
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        stub = agent_service_pb2_grpc.AgentServiceStub(channel)
        started = completed = False
        try:
            for event in stub.RunStream(pb.RunStreamRequest(resume=resume), timeout=PATIENCE_SECONDS):
                kind = event.WhichOneof("event")
                assert not completed
                assert started or (kind == "started" and event.started.invocation_id == invocation_id)
                started, completed = True, kind == "completed"
                for sequence, payload in enumerate(event.chunks.values, start=event.chunks.first_sequence):
                    yield sequence, payload.text
        except grpc.RpcError as error:
            call: Any = error
            assert call.code() is grpc.StatusCode.UNAVAILABLE, call
            raise ConnectionCutError from None
        assert completed


def follow_websocket(port: int, invocation_id: str, after: int) -> Iterator[Chunk]:
    """Follows by a first frame that resumes."""
    frame = json.dumps({"resume": {"invocation_id": invocation_id, "after_sequence": after}})
    try:
        with connect(
            f"ws://127.0.0.1:{port}/api/v1/agents/_/run-stream", proxy=None, open_timeout=PATIENCE_SECONDS
        ) as socket:
            socket.send(frame)
            started = json.loads(socket.recv(PATIENCE_SECONDS))
            assert (started.get("status"), started.get("invocation_id")) == ("stream_started", invocation_id), started
            while (told := json.loads(socket.recv(PATIENCE_SECONDS))).get("status") != "stream_completed":
                if told["type"] == "data":
                    yield told["sequence"], value_of(told["content"])
                else:
                    assert told == {"type": "status", "status": "heartbeat"}
    except (ConnectionClosed, InvalidHandshake, InvalidMessage, EOFError, OSError):
        raise ConnectionCutError from None


def follow_sse(port: int, invocation_id: str, after: int) -> Iterator[Chunk]:
    """Follows as a browser's EventSource does, whose position is the id of the last event that it had whole."""
    url = f"http://127.0.0.1:{port}/api/v1/invocations/{invocation_id}/stream"
    headers = {"accept": "text/event-stream"} | ({"last-event-id": f"{invocation_id}:{after}"} if after else {})
    try:
        with (
            httpx.Client(trust_env=False, timeout=PATIENCE_SECONDS) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            for event in events_of(response.iter_lines()):
                if event["event"] == "completed":
                    return
                assert event["event"] == "message", event
                name, _, sequence = event["id"].rpartition(":")
                assert name == invocation_id
                yield int(sequence), value_of(event["data"])
    except httpx.TransportError:
        raise ConnectionCutError from None
    # An orderly end in the middle of a stream.
    raise ConnectionCutError


def events_of(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """Yields server-sent events, by their names, data and ids, as the HTML standard reads them: whole ones alone."""
    fields = {"event": "message", "id": ""}
    for line in lines:
        name, _, value = line.partition(":")
        if not line:
            if "data" in fields:
                yield fields
            # An id stands until the next.
            fields = {"event": "message", "id": fields["id"]}
        elif name == "data" and "data" in fields:
            fields["data"] += "\n" + value.removeprefix(" ")
        elif name in ("event", "data", "id"):
            fields[name] = value.removeprefix(" ")


def value_of(structured: str) -> Any:
    """Returns the value in what data frames and events hold."""
    return json.loads(json.loads(structured)["payload"])
