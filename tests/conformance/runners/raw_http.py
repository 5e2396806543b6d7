"""The runner of the HTTP wire without a client: `python -m tests.conformance.runners.raw_http [--legacy]`.

It reads and writes what docs/wire.md says, as plainly as can be, and knows nothing of our client but its values.
"""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Mapping
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.conformance.runners.lines import Call, Outcome, answer_lines, arguments_in, failed_stream, value_to

_PATIENCE_SECONDS = 60.0
_MIB = 1024 * 1024

_NOT_SAID = {
    "resume": "The legacy dialect has no word for taking a stream up.",
    "cancel": "The legacy dialect has no word for cancelling.",
    "timeout_seconds": "The legacy dialect has no word for a timeout.",
    "user_id": "The legacy dialect has no word for an end user.",
    "take": "Leaving is told by the connection's end, on this wire, and cancels at once.",
}


def _flat(call: Call) -> Outcome:
    """Speaks the dialect of today."""
    match call["method"]:
        case "cancel":
            response = _post(call, f"/api/v1/invocations/{call['invocation_id']}/cancel", {})
            return {"result": value_to(None)} if response.status_code == 200 else {"error": _refusal_in(response)}
        case "run":
            response = _post(call, f"/api/v1/agents/{call['agent_id']}/run", _request(call))
            document = response.json()
            if document["success"]:
                return {"result": _structured(document["data"])}
            return {"error": _refusal_in(response)}
        case "resume":
            point = {"invocation_id": call["invocation_id"], "after_sequence": call["after_sequence"]}
            return _streamed(call, f"/api/v1/agents/{call['agent_id']}/run-stream", {"resume": point})
    return _streamed(call, f"/api/v1/agents/{call['agent_id']}/run-stream", _request(call))


def _legacy(call: Call) -> Outcome:
    """Speaks the dialect that older clients still do."""
    unsaid = next((why for what, why in _NOT_SAID.items() if what in call or call["method"] == what), None)
    if unsaid is not None:
        return {"unsupported": unsaid}
    path = f"/api/v1/agents/{call['agent_id']}/execute/{call['entrypoint_tag']}"
    given = {"input_data": {name: value for name, value in _request(call).items() if name.startswith("input_")}}
    if call["method"] == "run":
        response = _post(call, path, given)
        document = response.json()
        if document["success"]:
            return {"result": {"json": document["output_data"]}}
        error = document["error"]
        return {"error": _told(error if isinstance(error, str) else error["message"])}
    data = {"action": "start_stream", "agent_id": call["agent_id"], **given}
    frame = {"id": "stream_start", "type": "status", "timestamp": "", "data": data, "metadata": None}
    return _streamed(call, path, frame)


def _post(call: Call, path: str, body: Any) -> httpx.Response:
    url = f"http://{call['host']}:{call['port']}{path}"
    return httpx.post(url, content=json.dumps(body), headers=_headers(call), timeout=_PATIENCE_SECONDS)


def _streamed(call: Call, path: str, first_frame: Any) -> Outcome:
    url = f"ws://{call['host']}:{call['port']}{path}"
    outcome: Outcome = {"chunks": []}
    try:
        with connect(url, additional_headers=_headers(call), max_size=11 * _MIB, close_timeout=1, proxy=None) as socket:
            socket.send(json.dumps(first_frame))
            while "ended" not in outcome and len(outcome["chunks"]) != call.get("take"):
                _take(json.loads(socket.recv(_PATIENCE_SECONDS)), outcome)
    except InvalidStatus as refused:
        body = json.loads(refused.response.body or b"{}")
        return failed_stream([], _error_in(body.get("error") or body))
    except ConnectionClosed as closed:
        chunks, code = outcome["chunks"], closed.rcvd.code if closed.rcvd else None
        error = {"code": "CLOSED", "reason": None, "message": f"The connection was closed, with code {code}."}
        return {"chunks": chunks, "ended": "failed", "error": error}
    return {"ended": "left", **outcome}


def _take(frame: Mapping[str, Any], outcome: Outcome) -> None:
    match frame:
        case {"type": "data", "content": content}:
            outcome["chunks"].append(_structured(content))
        case {"type": "raw_data", "data": value}:
            outcome["chunks"].append({"json": json.dumps(value)})
        case {"type": "error", "error": text}:
            outcome["error"] = _error_in(frame["data"]) if frame.get("data") else _told(text)
            outcome["ended"] = "failed"
        case {"type": "status"}:
            # The same words in both dialects, in the frame or in its data.
            status = frame["data"] if isinstance(frame.get("data"), dict) else frame
            if status.get("status") == "stream_started":
                outcome["invocation_id"] = status["invocation_id"]
            elif status.get("status") == "stream_completed":
                assert status["total_chunks"] >= len(outcome["chunks"])
                outcome["ended"] = "completed"


def _request(call: Call) -> dict[str, Any]:
    args, kwargs = arguments_in(call)
    request = {
        "entrypoint_tag": call["entrypoint_tag"],
        "input_args": [_plain(value) for value in args],
        "input_kwargs": {name: _plain(value) for name, value in kwargs.items()},
    }
    for name in ("timeout_seconds", "user_id", "persistent_memory", "on_disconnect"):
        if name in call:
            request[name] = call[name]
    if call.get("on_disconnect") == "linger":
        request["resume_window"] = 10
    return request


def _plain(value: Any) -> Any:
    """Returns an argument as JSON has it: the table of docs/wire.md, values, for what a line can hold."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _headers(call: Call) -> dict[str, str]:
    headers = {"authorization": f"Bearer {call['api_key']}"} if "api_key" in call else {}
    return headers | ({"idempotency-key": call["request_id"]} if "request_id" in call else {})


def _structured(data: str) -> dict[str, str]:
    return {"json": json.loads(data)["payload"]}


def _refusal_in(response: httpx.Response) -> dict[str, Any]:
    error = _error_in(response.json()["error"])
    retry_after = response.headers.get("retry-after")
    return error | {"retry_after": None if retry_after is None else float(retry_after)}


def _error_in(told: Mapping[str, Any]) -> dict[str, Any]:
    field = told.get("field")
    return {
        "code": told["code"],
        "reason": told.get("reason"),
        "message": told["message"],
        "suggestion": told.get("suggestion"),
        "fields": [] if field is None else [field],
    }


def _told(text: str) -> dict[str, Any]:
    return {"code": "", "reason": None, "message": text}


if __name__ == "__main__":
    answer_lines(_legacy if "--legacy" in sys.argv else _flat)
