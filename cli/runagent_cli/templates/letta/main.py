"""A Letta agent, which remembers: one for each user, kept by a Letta server.

Without LETTA_BASE_URL a stand-in of such a server answers; with it the server at that address does, such as
http://localhost:8283 (and LETTA_API_KEY is sent to it). Once you have a server, `client = Letta()` is all there is to
say, and stand_in.py can go.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

from letta_client import Letta
from letta_client.types.agents import AssistantMessage, LettaStreamingResponse

from runagent_grpc import current_invocation

from .stand_in import StandIn

MODEL = os.environ.get("LETTA_MODEL", "openai/gpt-5-mini")
PERSONA = {
    "label": "persona",
    "value": "I am helpful, and keep in mind what people tell me.",
}

client = Letta() if os.environ.get("LETTA_BASE_URL") else Letta(base_url="http://letta", http_client=StandIn())

_making = threading.Lock()


def answer(message: str) -> str:
    """Answers a message, knowing what the same user has said before."""
    response = client.agents.messages.create(_agent_of_user(), input=message)
    return "".join(said.content for said in response.messages if isinstance(said, AssistantMessage))


def answer_stream(message: str) -> Iterator[LettaStreamingResponse]:
    """Streams what Letta sends while it answers: reasoning, calls of tools, the words of the answer, what it cost."""
    events = client.agents.messages.create(_agent_of_user(), input=message, streaming=True, stream_tokens=True)
    with events:
        yield from events


def _agent_of_user() -> str:
    """Returns the id of the agent that is the caller's, and makes it when they call for the first time."""
    name = f"for-{current_invocation().user_id or 'anybody'}"
    with _making:
        known = next(iter(client.agents.list(name=name)), None)
        return (known or client.agents.create(name=name, model=MODEL, memory_blocks=[PERSONA])).id
