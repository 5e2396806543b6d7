"""Answers in the place of the OpenAI service, inside this process: the SDK does all it does but use the network."""

from __future__ import annotations

import json
import time
from collections.abc import Generator

import httpx2
from openai import DefaultHttpxClient

__all__ = ["StandIn"]


def words(prompt: str) -> Generator[str]:
    """Gives an answer word by word, as slowly as one can read along."""
    for word in f"You said: {prompt}".split():
        yield f"{word} "
        time.sleep(0.05)


class StandIn(DefaultHttpxClient):
    """The HTTP client to give to `OpenAI`."""

    def __init__(self) -> None:
        super().__init__(transport=_Transport())


class _Transport(httpx2.BaseTransport):
    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        asked = json.loads(request.read())
        answer = words(asked["messages"][-1]["content"])
        shared = {"id": "chatcmpl-stand-in", "created": 0, "model": asked["model"]}
        if asked.get("stream"):
            return httpx2.Response(200, headers={"Content-Type": "text/event-stream"}, stream=_Events(answer, shared))
        message = {"role": "assistant", "content": "".join(answer)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return httpx2.Response(200, json={**shared, "object": "chat.completion", "choices": [choice]})


class _Events(httpx2.SyncByteStream):
    def __init__(self, answer: Generator[str], shared: dict[str, object]) -> None:
        self._answer = answer
        self._shared = {**shared, "object": "chat.completion.chunk"}

    def __iter__(self) -> Generator[bytes]:
        for word in self._answer:
            yield self._event({"content": word}, None)
        yield self._event({}, "stop")
        yield b"data: [DONE]\n\n"

    def close(self) -> None:
        self._answer.close()

    def _event(self, delta: dict[str, str], finish_reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return f"data: {json.dumps({**self._shared, 'choices': [choice]})}\n\n".encode()
