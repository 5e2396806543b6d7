"""Answers in the place of a model, inside this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from ag2 import Context
from ag2.config import LLMClient, ModelConfig
from ag2.events import BaseEvent, ModelMessage, ModelMessageChunk, ModelRequest, ModelResponse, TextInput

__all__ = ["StandIn"]


async def words(prompt: str) -> AsyncIterator[str]:
    """Gives an answer word by word, as slowly as one can read along."""
    for word in f"You said: {prompt}".split():
        yield f"{word} "
        await asyncio.sleep(0.05)


class StandIn(ModelConfig):
    """The configuration to give to an `Agent`."""

    provider = "stand-in"
    model = "stand-in"

    def copy(self) -> StandIn:
        return self

    def create(self) -> LLMClient:
        return _Client()


class _Client(LLMClient):
    async def __call__(self, messages: Sequence[BaseEvent], context: Context, **_: Any) -> ModelResponse:
        answer = ""
        async with aclosing(words(_last_text(messages))) as said:
            async for word in said:
                answer += word
                await context.send(ModelMessageChunk(word))
        message = ModelMessage(answer)
        await context.send(message)
        return ModelResponse(message, model=StandIn.model, provider=StandIn.provider)


def _last_text(messages: Sequence[BaseEvent]) -> str:
    request = next(message for message in reversed(messages) if isinstance(message, ModelRequest))
    return " ".join(part.content for part in request.parts if isinstance(part, TextInput))
