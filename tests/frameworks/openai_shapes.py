"""What the OpenAI API answers with, in the shapes that SDKs check: completions, responses, their streams, embeddings.

Nothing in them changes from one run to the next. Who asks, and what for, is `openai_api.py`'s.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "Answer",
    "chat_chunks",
    "chat_completion",
    "embeddings",
    "failure",
    "models",
    "response",
    "response_events",
    "words_of",
]

_CREATED = 1_700_000_000
_DIMENSIONS = 8

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model says: a text, or the call of a tool."""

    text: str = ""
    tool: str = ""
    """The name of a tool that was offered; no text then."""
    arguments: Mapping[str, Any] = field(default_factory=dict)


def words_of(text: str) -> list[str]:
    """Returns the pieces that a text is streamed in, each with the space before it."""
    return re.findall(r"\s*\S+|\s+$", text)


def chat_completion(answer: Answer, request: Json) -> Json:
    message: Json = {"role": "assistant", "content": answer.text or None, "refusal": None, "annotations": []}
    if answer.tool:
        message["tool_calls"] = [_tool_call(answer)]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(answer)}
    return {**_chat_envelope("chat.completion", request), "choices": [choice], "usage": _usage(answer)}


def chat_chunks(answer: Answer, request: Json) -> Iterator[Json]:
    deltas: list[Json] = [{"role": "assistant", "content": None if answer.tool else "", "refusal": None}]
    if answer.tool:
        call = _tool_call(answer)
        deltas.append({"tool_calls": [{"index": 0, **call, "function": {"name": answer.tool, "arguments": ""}}]})
        pieces = words_of(call["function"]["arguments"])
        deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces]
    else:
        deltas += [{"content": word} for word in words_of(answer.text)]
    envelope = _chat_envelope("chat.completion.chunk", request)
    wants_usage = bool((request.get("stream_options") or {}).get("include_usage"))
    if wants_usage:
        envelope["usage"] = None
    for delta in deltas:
        yield {**envelope, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]}
    last = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": _finish_reason(answer)}
    yield {**envelope, "choices": [last]}
    if wants_usage:
        yield {**envelope, "choices": [], "usage": _usage(answer)}


def response(answer: Answer, request: Json) -> Json:
    return _response(request, "completed", [_item(answer, "completed")], answer)


def response_events(answer: Answer, request: Json) -> Iterator[Json]:
    numbered = enumerate(_response_events(answer, request))
    yield from ({**event, "sequence_number": number} for number, event in numbered)


def embeddings(request: Json) -> Json:
    given = request["input"]
    # One text, several, or one or several that are tokens already.
    several = given if isinstance(given, list) and not (given and isinstance(given[0], int)) else [given]
    as_text = request.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(one) if as_text else _vector(one)}
        for index, one in enumerate(several)
    ]
    usage = {"prompt_tokens": len(several), "total_tokens": len(several)}
    return {"object": "list", "data": data, "model": request.get("model", ""), "usage": usage}


def models() -> Json:
    model = {"id": "gpt-4o-mini", "object": "model", "created": _CREATED, "owned_by": "stand-in"}
    return {"object": "list", "data": [model]}


def failure(message: str, code: str) -> Json:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}


def _chat_envelope(kind: str, request: Json) -> Json:
    return {
        "id": "chatcmpl-1",
        "object": kind,
        "created": _CREATED,
        "model": request.get("model", ""),
        "service_tier": "default",
        "system_fingerprint": "fp_stand_in",
    }


def _tool_call(answer: Answer) -> Json:
    function = {"name": answer.tool, "arguments": json.dumps(answer.arguments)}
    return {"id": "call_1", "type": "function", "function": function}


def _finish_reason(answer: Answer) -> str:
    return "tool_calls" if answer.tool else "stop"


def _usage(answer: Answer) -> Json:
    spoken = len(words_of(answer.text)) or 1
    return {
        "prompt_tokens": 10,
        "completion_tokens": spoken,
        "total_tokens": 10 + spoken,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _response(request: Json, status: str, output: list[Json], answer: Answer | None = None) -> Json:
    usage = _usage(answer) if answer else None
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": _CREATED,
        "status": status,
        "model": request.get("model", ""),
        "output": output,
        "error": None,
        "incomplete_details": None,
        "instructions": request.get("instructions"),
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": request.get("tools") or [],
        "top_p": 1.0,
        "usage": usage
        and {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["total_tokens"],
        },
    }


def _item(answer: Answer, status: str) -> Json:
    done = status == "completed"
    if answer.tool:
        arguments = json.dumps(answer.arguments) if done else ""
        call = {"id": "fc_1", "call_id": "call_1", "name": answer.tool, "arguments": arguments}
        return {"type": "function_call", "status": status, **call}
    content = [_text_part(answer.text)] if done else []
    return {"type": "message", "id": "msg_1", "status": status, "role": "assistant", "content": content}


def _text_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _response_events(answer: Answer, request: Json) -> Iterator[Json]:
    for kind in ("response.created", "response.in_progress"):
        yield {"type": kind, "response": _response(request, "in_progress", [])}
    yield {"type": "response.output_item.added", "output_index": 0, "item": _item(answer, "in_progress")}
    yield from _spoken_events(answer) if not answer.tool else _called_events(answer)
    yield {"type": "response.output_item.done", "output_index": 0, "item": _item(answer, "completed")}
    yield {"type": "response.completed", "response": response(answer, request)}


def _spoken_events(answer: Answer) -> Iterator[Json]:
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    yield {"type": "response.content_part.added", **place, "part": _text_part("")}
    for word in words_of(answer.text):
        yield {"type": "response.output_text.delta", **place, "delta": word, "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": answer.text, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": _text_part(answer.text)}


def _called_events(answer: Answer) -> Iterator[Json]:
    place = {"item_id": "fc_1", "output_index": 0}
    arguments = json.dumps(answer.arguments)
    for piece in words_of(arguments):
        yield {"type": "response.function_call_arguments.delta", **place, "delta": piece}
    yield {"type": "response.function_call_arguments.done", **place, "name": answer.tool, "arguments": arguments}


def _vector(value: Any) -> list[float]:
    """Returns as many numbers as the shape wants, the same for the same text."""
    letters = json.dumps(value).encode()
    return [sum(letters[start::_DIMENSIONS]) % 97 / 97 for start in range(_DIMENSIONS)]


def _packed(value: Any) -> str:
    return base64.b64encode(struct.pack(f"<{_DIMENSIONS}f", *_vector(value))).decode()
