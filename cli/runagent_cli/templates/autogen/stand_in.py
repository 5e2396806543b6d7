"""Answers in the place of a model, inside this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from autogen_core import CancellationToken
from autogen_core.models import CreateResult, LLMMessage, RequestUsage
from autogen_ext.models.replay import ReplayChatCompletionClient

__all__ = ["StandIn"]


async def words(prompt: str) -> AsyncIterator[str]:
    """Gives an answer word by word, as slowly as one can read along."""
    for word in f"You said: {prompt}".split():
        yield f"{word} "
        await asyncio.sleep(0.05)


class StandIn(ReplayChatCompletionClient):
    """The model to give to an agent. AutoGen's own, which replays a list of answers, but with answers without end."""

    def __init__(self) -> None:
        super().__init__([])

    async def create(self, messages: Sequence[LLMMessage], **options: Any) -> CreateResult:
        *_, result = [piece async for piece in self.create_stream(messages, **options)]
        return result

    async def create_stream(
        self, messages: Sequence[LLMMessage], *, cancellation_token: CancellationToken | None = None, **_: Any
    ) -> AsyncIterator[str | CreateResult]:
        answer = ""
        async with aclosing(words(str(messages[-1].content))) as said:
            async for word in said:
                if cancellation_token and cancellation_token.is_cancelled():
                    raise asyncio.CancelledError
                answer += word
                yield word
        usage = RequestUsage(prompt_tokens=0, completion_tokens=len(answer.split()))
        yield CreateResult(finish_reason="stop", content=answer, usage=usage, cached=False)
