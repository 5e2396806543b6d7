"""Answers in the place of a Letta server, in this process: the client does all that it does, but for the network."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator
from typing import Any

import httpx

__all__ = ["StandIn"]

NOW = "2026-01-01T00:00:00Z"


def words(prompt: str) -> Iterator[str]:
    """Gives an answer word by word, as slowly as one can read along."""
    for word in f"You said: {prompt}".split():
        yield f"{word} "
        time.sleep(0.05)


class StandIn(httpx.Client):
    """The HTTP client to give to `Letta`. It has the few routes that main.py asks for."""

    def __init__(self) -> None:
        super().__init__(transport=_Transport())


class _Transport(httpx.BaseTransport):
    def __init__(self) -> None:
        self._said_to: dict[str, list[str]] = {}
        """What each agent has been told, by its id, which is its name as well."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.read() or b"{}")
        match request.method, request.url.path.strip("/").split("/"):
            case "GET", ["v1", "agents"]:
                name = request.url.params["name"]
                return httpx.Response(200, json=[_agent(name)] if name in self._said_to else [])
            case "POST", ["v1", "agents"]:
                self._said_to[asked["name"]] = []
                return httpx.Response(200, json=_agent(asked["name"]))
            case "POST", ["v1", "agents", agent_id, "messages"] if agent_id in self._said_to:
                answer = self._answer(agent_id, asked["input"])
                if asked.get("streaming"):
                    return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=_Events(answer))
                return httpx.Response(200, json={"messages": [_message("".join(answer))], **_END})
        return httpx.Response(404, json={"detail": f"The stand-in has no {request.url.path}."})

    def _answer(self, agent_id: str, message: str) -> Generator[str]:
        said = self._said_to[agent_id]
        before = f'Before that you said "{said[-1]}". ' if said else ""
        said.append(message)
        yield from words(message)
        if before:
            yield before


_END: dict[str, dict[str, Any]] = {
    "stop_reason": {"message_type": "stop_reason", "stop_reason": "end_turn"},
    "usage": {"message_type": "usage_statistics", "completion_tokens": 0, "prompt_tokens": 0, "step_count": 1},
}


def _agent(name: str) -> dict[str, str]:
    return {"id": name, "name": name}


def _message(text: str) -> dict[str, str]:
    return {"id": "message-1", "date": NOW, "message_type": "assistant_message", "content": text}


class _Events(httpx.SyncByteStream):
    def __init__(self, answer: Generator[str]) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        for word in self._answer:
            yield _event(_message(word))
        for last in _END.values():
            yield _event(last)
        yield b"data: [DONE]\n\n"

    def close(self) -> None:
        # Called when the client leaves, too: nothing is said to nobody.
        self._answer.close()


def _event(message: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(message)}\n\n".encode()
