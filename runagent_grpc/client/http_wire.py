"""The documented REST and WebSocket wire as a client reads and writes it, without any I/O (docs/wire.md).

Calls become bodies, bodies become values, and frames become the events of the contract, so that what a stream means
is written once, in `StreamState`. What failed, and how, is `http_failures`'.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import call_pb2, payload_pb2
from runagent_grpc.addresses import joined
from runagent_grpc.client.address import Address
from runagent_grpc.client.http_failures import failure_of_frame, failure_of_response, not_ours
from runagent_grpc.contract.messages import chunks_to, duration_to, payload_to, seconds_from, value_from
from runagent_grpc.errors import InternalError
from runagent_grpc.values.payload import Json, encode
from runagent_grpc.version import __version__

__all__ = [
    "HOME",
    "FrameReader",
    "agent_path",
    "body_of",
    "document_in",
    "first_frame_of",
    "headers_of",
    "http_url",
    "object_in",
    "text_in",
    "value_in",
    "websocket_url",
]

HOME = "/api/v1"
"""Where a server describes itself, and below which all its routes are."""

_LONGEST_INTERVAL_SECONDS = 1e6

_WIRE = 2
"""Says that a client knows every status frame, and keeps its chunks when the last frame comes."""


def http_url(address: Address, path: str) -> str:
    """Returns the URL of a request at the address."""
    return f"{'https' if address.tls else 'http'}://{joined(address.host, address.port)}{path}"


def websocket_url(address: Address, path: str) -> str:
    """Returns the URL of a stream at the address."""
    return f"{'wss' if address.tls else 'ws'}://{joined(address.host, address.port)}{path}"


def headers_of(api_key: str | None) -> dict[str, str]:
    """Returns the headers that every request carries. A key in the URL would end up in logs."""
    headers = {"user-agent": f"runagent-python/{__version__}"}
    return headers | {"authorization": f"Bearer {api_key}"} if api_key else headers


def agent_path(agent_id: str, what: str) -> str:
    """Returns the path of one of an agent's routes: `run`, `run-stream` or `architecture`."""
    return f"{HOME}/agents/{quote(agent_id, safe='')}/{what}"


def body_of(call: call_pb2.Call, timeout: float | None) -> str:
    """Returns the body of a run, with the arguments of `keywords` in their order. JSON arguments go in as they are."""
    fields: dict[str, Any] = {"entrypoint_tag": call.entrypoint_tag, "async_execution": False}
    if timeout is not None:
        fields["timeout_seconds"] = int(timeout) if timeout == int(timeout) else timeout
    if call.user_id:
        fields["user_id"] = call.user_id
    if call.persistent_memory:
        fields["persistent_memory"] = True
    if on_disconnect := _ON_DISCONNECT.get(call.on_disconnect):
        fields["on_disconnect"] = on_disconnect
    if call.HasField("resume_window"):
        fields["resume_window"] = seconds_from(call.resume_window)
    args = ",".join(map(_json_of, call.args))
    kwargs = ",".join(f"{json.dumps(keyword.name)}:{_json_of(keyword.value)}" for keyword in call.keywords)
    return f'{json.dumps(fields)[:-1]},"input_args":[{args}],"input_kwargs":{{{kwargs}}}}}'


def first_frame_of(request: pb.RunStreamRequest, timeout: float | None) -> str:
    """Returns the frame that asks for a stream, or for the rest of one."""
    if not request.HasField("resume"):
        return f'{{"wire": {_WIRE}, {body_of(request.call, timeout)[1:]}'
    point = {"invocation_id": request.resume.invocation_id, "after_sequence": request.resume.after_sequence}
    return json.dumps({"wire": _WIRE, "resume": point})


def document_in(address: Address, status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Returns the JSON object that a 200 holds, or raises what any other response says."""
    document = object_in(body)
    if status != 200 or document is None or document.get("success") is False:
        raise failure_of_response(str(address), status, headers, document)
    return document


def value_in(address: Address, status: int, headers: Mapping[str, str], body: bytes) -> Any:
    """Returns the value of a run, or raises what went wrong with it."""
    document = document_in(address, status, headers, body)
    if "data" not in document:
        raise not_ours(str(address), "the answer to a run holds no data")
    return value_from(_payload_in(document["data"]))


class FrameReader:
    """Turns the frames of one stream into events."""

    def __init__(self, address: Address) -> None:
        self._address = str(address)
        self._count = 0

    def event_of(self, frame: str | bytes) -> pb.RunStreamResponse:
        """Returns the event that a frame brings, or raises what an error frame says."""
        message = object_in(frame)
        match message and message.get("type"):
            case "data" if message is not None:
                return self._chunk(message)
            case "status" if message is not None:
                return self._status(message)
            case "error" if message is not None:
                raise failure_of_frame(message)
            case None:
                raise not_ours(self._address, "a frame is no JSON object with a type")
        # A type of a later dialect is not for us.
        return _SIGN_OF_LIFE

    def _chunk(self, message: Mapping[str, Any]) -> pb.RunStreamResponse:
        sequence = message.get("sequence")
        self._count = sequence if type(sequence) is int and 0 < sequence < 1 << 63 else self._count + 1
        event = chunks_to(self._count, ())
        event.chunks.values.append(_payload_in(message.get("content")))
        return event

    def _status(self, message: Mapping[str, Any]) -> pb.RunStreamResponse:
        match message.get("status"):
            case "stream_started":
                started = pb.StreamStarted(invocation_id=text_in(message, "invocation_id"))
                interval = message.get("heartbeat_interval")
                if isinstance(interval, int | float) and 0 < interval < _LONGEST_INTERVAL_SECONDS:
                    started.heartbeat_interval.CopyFrom(duration_to(interval))
                return pb.RunStreamResponse(started=started)
            case "stream_completed":
                total = message.get("total_chunks")
                count = total if type(total) is int and 0 <= total < 1 << 63 else self._count
                return pb.RunStreamResponse(completed=pb.StreamCompleted(chunk_count=count))
        return _SIGN_OF_LIFE


_ON_DISCONNECT = {call_pb2.ON_DISCONNECT_LINGER: "linger", call_pb2.ON_DISCONNECT_DETACH: "detach"}
"""What a body says of it. Who says nothing gets what published servers do: it is cancelled."""

_SIGN_OF_LIFE = pb.RunStreamResponse(heartbeat=pb.StreamHeartbeat())


def _json_of(payload: payload_pb2.Payload) -> str:
    match payload.WhichOneof("kind"):
        case "text":
            return json.dumps(payload.text)
        case "json":
            return payload.json
    # Bytes, for which JSON has no word: as they travel inside any other value.
    return str(encode([payload.binary]))[1:-1]


def _payload_in(data: Any) -> payload_pb2.Payload:
    """Returns the payload in a value as the wire wraps it; one that is not wrapped is the value itself."""
    wrapped = object_in(data) if isinstance(data, str) else None
    text = wrapped.get("payload") if wrapped and wrapped.keys() == {"type", "payload"} else None
    try:
        return payload_to(Json(text) if isinstance(text, str) else encode(data))
    except UnicodeEncodeError:
        raise InternalError("The server sent a value that is no JSON.") from None


def object_in(text: str | bytes) -> dict[str, Any] | None:
    """Returns the JSON object that a text holds, or None where it is another value, or no JSON."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def text_in(document: Mapping[str, Any], name: str) -> str:
    """Returns a field's text, empty where it holds none."""
    value = document.get(name)
    return value if isinstance(value, str) else ""
