"""A stand-in of the OpenAI API on loopback, for agents that ask a model: it says what a test scripts, and keeps what it
was asked.

Agents find it by `OPENAI_BASE_URL` or `OPENAI_API_BASE`, as their framework reads it, with any key.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from tests.frameworks import openai_shapes as shapes
from tests.frameworks.openai_shapes import Answer

__all__ = ["Answer", "Asked", "OpenAIApi", "Rule", "openai_api"]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What to answer, and when: each condition that is given must hold."""

    answer: Answer
    contains: str = ""
    """Something that the last message says, a tool's result included."""
    model: str = ""
    after_tool: bool | None = None
    """Whether the last message is a tool's result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request that came."""

    path: str
    key: str
    body: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIApi:
    """A stand-in that listens."""

    base_url: str
    """With `/v1` at its end, as SDKs take it."""
    asked: list[Asked]

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which every framework that we know finds it."""
        return {
            "OPENAI_BASE_URL": self.base_url,
            "OPENAI_API_BASE": self.base_url,
            "OPENAI_API_KEY": "sk-stand-in",
        }


@contextlib.contextmanager
def openai_api(*rules: Rule) -> Iterator[OpenAIApi]:
    """Serves the API to the end of the block. The first rule that fits answers; without one, the message comes back."""
    asked: list[Asked] = []
    handler = type("Handler", (_Handler,), {"rules": rules, "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield OpenAIApi(base_url=f"http://127.0.0.1:{server.server_port}/v1", asked=asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    rules: ClassVar[Sequence[Rule]] = ()
    asked: ClassVar[list[Asked]] = []

    def do_GET(self) -> None:
        if self._path == "/v1/models":
            self._answer(shapes.models())
        else:
            self._refuse_path()

    def do_POST(self) -> None:
        body: Json = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.asked.append(Asked(path=self._path, key=key, body=body))
        match self._path:
            case "/v1/chat/completions":
                self._say(body, _last_of(body["messages"]), shapes.chat_completion, shapes.chat_chunks, end="[DONE]")
            case "/v1/responses":
                self._say(body, _last_of(body["input"]), shapes.response, shapes.response_events)
            case "/v1/embeddings":
                self._answer(shapes.embeddings(body))
            case _:
                self._refuse_path()

    def log_message(self, *_: Any) -> None:
        """Says nothing: what was asked is in `asked`."""

    @property
    def _path(self) -> str:
        return self.path.partition("?")[0]

    def _say(
        self,
        body: Json,
        last: tuple[str, bool],
        whole: Callable[[Answer, Json], Json],
        events: Callable[[Answer, Json], Iterable[Json]],
        *,
        end: str = "",
    ) -> None:
        answer = _answer_to(self.rules, body, *last)
        if not body.get("stream"):
            self._answer(whole(answer, body))
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        # The end of the connection is the end of the stream.
        self.send_header("Connection", "close")
        self.end_headers()
        for event in events(answer, body):
            name = f"event: {event['type']}\n" if "type" in event else ""
            self.wfile.write(f"{name}data: {json.dumps(event)}\n\n".encode())
        if end:
            self.wfile.write(f"data: {end}\n\n".encode())
        self.close_connection = True

    def _answer(self, body: Json, status: int = 200) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _refuse_path(self) -> None:
        self._answer(shapes.failure(f"The stand-in has no {self._path}.", "unknown_url"), 404)


def _answer_to(rules: Sequence[Rule], body: Json, text: str, is_result: bool) -> Answer:
    for rule in rules:
        tool = rule.answer.tool
        fits = (
            rule.contains in text
            and rule.model in ("", body.get("model"))
            and rule.after_tool in (None, is_result)
            and (not tool or tool in _offered(body))
        )
        if fits:
            return rule.answer
    return Answer(text=f"You said: {text}")


def _offered(body: Json) -> set[str]:
    tools = body.get("tools") or []
    return {tool.get("function", tool).get("name", "") for tool in tools}


def _last_of(messages: str | list[Json]) -> tuple[str, bool]:
    """Returns what the last message says, and whether it is a tool's result. A prompt may be a bare text."""
    if isinstance(messages, str):
        return messages, False
    last = messages[-1]
    is_result = last.get("role") == "tool" or last.get("type") == "function_call_output"
    content = last.get("content", last.get("output")) or ""
    if not isinstance(content, str):
        content = "".join(part.get("text", "") for part in content)
    return content, is_result
