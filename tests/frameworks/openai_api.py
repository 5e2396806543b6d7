"""A stand-in of the OpenAI API on loopback, for agents that ask a model: it says what a test scripts, and keeps what it
was asked.

Agents find it by `OPENAI_BASE_URL` or `OPENAI_API_BASE`, as their framework reads it, with any key.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tests.frameworks import openai_shapes as shapes
from tests.frameworks.openai_shapes import Answer
from tests.frameworks.stand_ins import StandIn, listening

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
    with listening(_Api, rules=rules, asked=asked) as port:
        yield OpenAIApi(base_url=f"http://127.0.0.1:{port}/v1", asked=asked)


class _Api(StandIn):
    rules: ClassVar[Sequence[Rule]] = ()
    asked: ClassVar[list[Asked]] = []

    def respond(self, body: Json) -> None:
        if self.command == "POST":
            key = self.headers.get("Authorization", "").removeprefix("Bearer ")
            self.asked.append(Asked(path=self._path, key=key, body=body))
        match self.command, self._path:
            case "GET", "/v1/models":
                self.answer(shapes.models())
            case "POST", "/v1/chat/completions":
                self._say(body, _last_of(body["messages"]), shapes.chat_completion, shapes.chat_chunks, end="[DONE]")
            case "POST", "/v1/responses":
                self._say(body, _last_of(body["input"]), shapes.response, shapes.response_events)
            case "POST", "/v1/embeddings":
                self.answer(shapes.embeddings(body))
            case _:
                self.answer(shapes.failure(f"The stand-in has no {self._path}.", "unknown_url"), 404)

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
            self.answer(whole(answer, body))
            return
        self.stream([*map(_lines_of, events(answer, body)), *([f"data: {end}"] if end else [])])


def _lines_of(event: Json) -> str:
    name = f"event: {event['type']}\n" if "type" in event else ""
    return f"{name}data: {json.dumps(event)}"


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
