"""An agent built with AG2.

It runs without a key, for a stand-in answers in the place of a model. To ask a real one, install `ag2[openai]`, set
OPENAI_API_KEY, and say `config = OpenAIConfig(model="gpt-5-mini")`, imported from `ag2.config`, where StandIn() is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from ag2 import Agent
from ag2.events import BaseEvent, ModelMessageChunk, ModelResponse

from .stand_in import StandIn

config = StandIn()

agent = Agent("assistant", prompt="You answer in one sentence.", config=config)


async def ask(message: str) -> ModelResponse:
    """Answers a message: its text, and what the model says about it."""
    return (await agent.ask(message)).response


async def ask_stream(message: str) -> AsyncIterator[str]:
    """Answers a message, word by word."""
    async for event in _events(message):
        if isinstance(event, ModelMessageChunk):
            yield event.content


async def events_stream(message: str) -> AsyncIterator[dict[str, object]]:
    """Tells all that happens in a turn: pieces of text, calls of tools, and the whole response at last."""
    async for event in _events(message):
        yield {"event": type(event).__name__, **event.to_dict()}


async def _events(message: str) -> AsyncIterator[BaseEvent]:
    events: asyncio.Queue[BaseEvent | None] = asyncio.Queue()
    # Whoever leaves this block early cancels the turn with it.
    async with agent.run(message) as run:
        run.stream.subscribe(events.put)
        turn = asyncio.ensure_future(run.result())
        turn.add_done_callback(lambda _: events.put_nowait(None))
        while (event := await events.get()) is not None:
            yield event
        # What has failed is raised here.
        await turn
