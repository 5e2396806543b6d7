"""An agent built with Agno.

It runs without a key, for a stand-in answers in the place of a model. To ask a real one, install `openai`, set
OPENAI_API_KEY, and say `model=OpenAIChat(id="gpt-5-mini")`, imported from `agno.models.openai`, where StandIn() is.
"""

from __future__ import annotations

from collections.abc import Iterator

from agno.agent import Agent
from agno.run.agent import RunContentEvent, RunErrorEvent, RunOutput, RunOutputEvent, RunStatus

from .stand_in import StandIn

# With telemetry, each run would be reported to Agno's makers.
agent = Agent(model=StandIn(), instructions="You answer in one sentence.", telemetry=False)


def ask(message: str, session_id: str | None = None) -> RunOutput:
    """Answers a message: all that Agno tells about the run."""
    output = agent.run(message, session_id=session_id)
    if output.status == RunStatus.error:
        raise RuntimeError(output.content)
    return output


def ask_stream(message: str, session_id: str | None = None) -> Iterator[str]:
    """Answers a message, word by word."""
    for event in events_stream(message, session_id):
        if isinstance(event, RunContentEvent) and event.content:
            yield event.content


def events_stream(message: str, session_id: str | None = None) -> Iterator[RunOutputEvent]:
    """Tells all that happens in a run: its start, pieces of text, calls of tools, its end."""
    for event in agent.run(message, session_id=session_id, stream=True, stream_events=True):
        # Agno tells of a failure as an event like any other; callers know failures by their status.
        if isinstance(event, RunErrorEvent):
            raise RuntimeError(event.content)
        yield event
