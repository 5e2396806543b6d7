"""Answers in the place of a model, inside this process."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import Any

from agno.models.base import Model
from agno.models.message import Message
from agno.models.response import ModelResponse

__all__ = ["StandIn"]


def words(prompt: str) -> Iterator[str]:
    """Gives an answer word by word, as slowly as one can read along."""
    for word in f"You said: {prompt}".split():
        yield f"{word} "
        time.sleep(0.05)


class StandIn(Model):
    """The model to give to an `Agent`."""

    def __init__(self) -> None:
        super().__init__(id="stand-in", name="StandIn", provider="stand-in")

    def invoke(self, messages: list[Message], **_: Any) -> ModelResponse:
        return ModelResponse(role="assistant", content="".join(words(messages[-1].get_content_string())))

    def invoke_stream(self, messages: list[Message], **_: Any) -> Iterator[ModelResponse]:
        with closing(words(messages[-1].get_content_string())) as said:
            for word in said:
                yield ModelResponse(role="assistant", content=word)

    async def ainvoke(self, messages: list[Message], **_: Any) -> ModelResponse:
        return self.invoke(messages)

    async def ainvoke_stream(self, messages: list[Message], **_: Any) -> AsyncIterator[ModelResponse]:
        for response in self.invoke_stream(messages):
            yield response

    def _parse_provider_response(self, response: ModelResponse, **_: Any) -> ModelResponse:
        return response

    def _parse_provider_response_delta(self, response: ModelResponse) -> ModelResponse:
        return response
