"""A team built with AutoGen: a writer, and an editor who has the last word.

It runs without a key, for a stand-in answers in the place of a model. To ask a real one, install `autogen-ext[openai]`,
set OPENAI_API_KEY, and say `model = OpenAIChatCompletionClient(model="gpt-5-mini")`, imported from
`autogen_ext.models.openai`, where StandIn() is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken

from .stand_in import StandIn

model = StandIn()


def team() -> RoundRobinGroupChat:
    """Makes a team. It remembers what it has talked about, and does one task at a time: each call has its own."""
    writer = AssistantAgent("writer", model, system_message="You write one sentence.", model_client_stream=True)
    editor = AssistantAgent("editor", model, system_message="You improve a sentence.", model_client_stream=True)
    return RoundRobinGroupChat([writer, editor], termination_condition=MaxMessageTermination(3))


async def write(task: str) -> TaskResult:
    """Does a task: all messages of the team, and why it stopped."""
    result = None
    async for event in write_stream(task):
        result = event
    return result


async def write_stream(task: str) -> AsyncIterator[BaseAgentEvent | BaseChatMessage | TaskResult]:
    """Tells what the team says, piece by piece and as whole messages, and the result at last."""
    events: asyncio.Queue[BaseAgentEvent | BaseChatMessage | TaskResult | None] = asyncio.Queue()
    stopping = CancellationToken()

    async def work() -> None:
        async for event in team().run_stream(task=task, cancellation_token=stopping):
            events.put_nowait(event)

    working = asyncio.ensure_future(work())
    working.add_done_callback(lambda _: events.put_nowait(None))
    try:
        while (event := await events.get()) is not None:
            yield event
        await working
    except RuntimeError as error:
        # AutoGen writes a whole traceback into the text, which is for the log and not for callers.
        raise RuntimeError(str(error).partition("\nTraceback")[0]) from error
    finally:
        # Whoever leaves early stops the team, which would otherwise go on to its end.
        stopping.cancel()
