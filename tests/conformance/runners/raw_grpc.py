"""The runner of bare gRPC stubs, without a client: `python -m tests.conformance.runners.raw_grpc`."""

from __future__ import annotations

import base64
import json
import math
import uuid
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc, call_pb2, payload_pb2
from tests.conformance.runners.lines import Call, Outcome, answer_lines

_MOST_BYTES = 40 * 1024 * 1024
_OPTIONS = [("grpc.max_receive_message_length", _MOST_BYTES), ("grpc.max_send_message_length", _MOST_BYTES)]

_ON_DISCONNECT = {
    "cancel": call_pb2.ON_DISCONNECT_CANCEL,
    "linger": call_pb2.ON_DISCONNECT_LINGER,
    "detach": call_pb2.ON_DISCONNECT_DETACH,
}

# What a status without details of ours means: the table's column, read the other way round.
_CODES = {
    "INVALID_ARGUMENT": ("VALIDATION_ERROR", "VALIDATION_ERROR"),
    "DEADLINE_EXCEEDED": ("TIMEOUT", "TIMEOUT_ERROR"),
    "RESOURCE_EXHAUSTED": ("PAYLOAD_TOO_LARGE", "PAYLOAD_TOO_LARGE"),
    "CANCELLED": ("CANCELLED", "CANCELLED"),
}
_DOCUMENTED_CODES = {
    "TIMEOUT": "TIMEOUT_ERROR",
    "EXECUTION_FAILED": "INTERNAL_ERROR",
    "MALFORMED_REQUEST": "VALIDATION_ERROR",
    "STREAM_ENTRYPOINT": "VALIDATION_ERROR",
    "NON_STREAM_ENTRYPOINT": "VALIDATION_ERROR",
    "INVALID_CURSOR": "VALIDATION_ERROR",
    "AGENT_NOT_FOUND": "NOT_FOUND",
    "ENTRYPOINT_NOT_FOUND": "NOT_FOUND",
    "INVOCATION_NOT_FOUND": "NOT_FOUND",
}


def _answer(call: Call) -> Outcome:
    with grpc.insecure_channel(f"{call['host']}:{call['port']}", _OPTIONS) as channel:
        stub = agent_service_pb2_grpc.AgentServiceStub(channel)
        metadata = (("authorization", f"Bearer {call['api_key']}"),) if "api_key" in call else ()
        options: dict[str, Any] = {"metadata": metadata, "timeout": call.get("timeout_seconds")}
        try:
            match call["method"]:
                case "cancel":
                    stub.CancelInvocation(pb.CancelInvocationRequest(invocation_id=call["invocation_id"]), **options)
                    return {"result": {"json": "null"}}
                case "run":
                    answer = stub.Run(pb.RunRequest(call=_call_of(call)), **options)
                    return {"result": _written(answer.result), "invocation_id": answer.invocation_id}
        except grpc.RpcError as error:
            return {"error": _told(error)}
        return _streamed(stub, call, options)


def _streamed(stub: Any, call: Call, options: dict[str, Any]) -> Outcome:
    if call["method"] == "resume":
        point = pb.ResumePoint(invocation_id=call["invocation_id"], after_sequence=call["after_sequence"])
        request = pb.RunStreamRequest(resume=point)
    else:
        request = pb.RunStreamRequest(call=_call_of(call))
    events = stub.RunStream(request, **options)
    outcome: Outcome = {"chunks": []}
    try:
        for event in events:
            match event.WhichOneof("event"):
                case "started":
                    outcome["invocation_id"] = event.started.invocation_id
                case "chunks":
                    outcome["chunks"] += map(_written, event.chunks.values)
                case "completed":
                    outcome["ended"] = "completed"
            if "take" in call and len(outcome["chunks"]) >= call["take"]:
                del outcome["chunks"][call["take"] :]
                events.cancel()
                if call.get("on_disconnect") != "detach":
                    stub.CancelInvocation(pb.CancelInvocationRequest(invocation_id=outcome["invocation_id"]))
                return {**outcome, "ended": "left"}
    except grpc.RpcError as error:
        return {**outcome, "ended": "failed", "error": _told(error)}
    return outcome


def _call_of(call: Call) -> call_pb2.Call:
    message = call_pb2.Call(
        agent_id=call["agent_id"],
        entrypoint_tag=call["entrypoint_tag"],
        args=[_payload(value) for value in call["args"]],
        kwargs={name: _payload(value) for name, value in call["kwargs"].items()},
        keywords=[
            call_pb2.KeywordArgument(name=name, value=_payload(value)) for name, value in call.get("keywords", ())
        ],
        request_id=call.get("request_id", str(uuid.uuid4())),
        user_id=call.get("user_id", ""),
        persistent_memory=call.get("persistent_memory", False),
        on_disconnect=_ON_DISCONNECT[call.get("on_disconnect", "linger")],
    )
    if message.on_disconnect == call_pb2.ON_DISCONNECT_LINGER:
        message.resume_window.CopyFrom(Duration(seconds=10))
    return message


def _payload(written: dict[str, Any]) -> payload_pb2.Payload:
    ((kind, held),) = written.items()
    match kind:
        case "json":
            # A string is a text at the top; everything else goes as it is written, for the server to judge.
            value = json.loads(held) if held.lstrip().startswith('"') else None
            return payload_pb2.Payload(json=held) if value is None else payload_pb2.Payload(text=value)
        case "binary":
            return payload_pb2.Payload(binary=base64.b64decode(held))
        case "utf16":
            # What has no UTF-8 can still be said in JSON, by its escapes.
            return payload_pb2.Payload(json='"' + "".join(f"\\u{unit:04x}" for unit in held) + '"')
        case "number":
            number = float(held)
            return payload_pb2.Payload(json="null") if math.isnan(number) else payload_pb2.Payload(text=str(number))
    return payload_pb2.Payload(text=held)


def _written(payload: payload_pb2.Payload) -> dict[str, str]:
    match payload.WhichOneof("kind"):
        case "text":
            return {"text": payload.text}
        case "binary":
            return {"binary": base64.b64encode(payload.binary).decode()}
    return {"json": payload.json or "null"}


def _told(error: Any) -> dict[str, Any]:
    status, name = rpc_status.from_call(error), error.code().name
    reason, code = _CODES.get(name, (name, name))
    told: dict[str, Any] = {"suggestion": None, "fields": [], "retry_after": None, "message": error.details() or name}
    info, fields, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    for detail in status.details if status else ():
        if detail.Unpack(info):
            reason = info.reason
            code = _DOCUMENTED_CODES.get(reason, reason)
            told["suggestion"] = info.metadata.get("suggestion")
        elif detail.Unpack(fields):
            told["fields"] = [violation.field for violation in fields.field_violations]
        elif detail.Unpack(retry):
            told["retry_after"] = retry.retry_delay.ToNanoseconds() / 1e9
    return {"code": code, "reason": reason, **told}


if __name__ == "__main__":
    answer_lines(_answer)
