"""A Parlant agent: one conversation for each user, held by a Parlant server.

Without PARLANT_URL a stand-in of such a server answers; with it the server at that address does, such as
http://localhost:8800. Once you have a server, `client = AsyncParlantClient(base_url=...)` is all there is to say, and
stand_in.py can go.
"""

from __future__ import annotations

import os
from asyncio import Lock
from collections.abc import AsyncIterator

from parlant.client import AsyncParlantClient
from parlant.client.errors import GatewayTimeoutError
from parlant.client.types import Event

from runagent_grpc import current_invocation

from .stand_in import StandIn

SERVER = os.environ.get("PARLANT_URL")
AGENT = "Assistant"
GUIDELINE = {"condition": "The customer asks a question", "action": "Answer it in a sentence or two"}

client = AsyncParlantClient(base_url=SERVER or "http://parlant", httpx_client=None if SERVER else StandIn())

_sessions: dict[str, str] = {}
_opening = Lock()


async def answer(message: str) -> str:
    """Answers a message in the conversation that the user is in."""
    said = [event.data["message"] async for event in answer_stream(message) if event.kind == "message"]
    return "\n".join(said)


async def answer_stream(message: str) -> AsyncIterator[Event]:
    """Streams what happens until the agent has said all it has to say: what it is at, and each of its messages."""
    session = await _session_of_user()
    told = await client.sessions.create_event(session, kind="message", source="customer", message=message)
    seen = told.offset
    while True:
        try:
            events = await client.sessions.list_events(session, min_offset=seen + 1, wait_for_data=30)
        except GatewayTimeoutError:
            # Nothing has happened in that time.
            continue
        for event in events:
            seen = event.offset
            if not event.trace_id.startswith(told.trace_id):
                # The end of an answer that nobody waited for.
                continue
            match event.kind, event.data:
                case "status", {"status": "error", "data": {"exception": reason}}:
                    raise RuntimeError(reason)
                case "status", {"status": "ready", "data": {"stage": "completed"}}:
                    return
            yield event


async def _session_of_user() -> str:
    """Returns the id of the caller's conversation, and opens it when they call for the first time."""
    user = current_invocation().user_id
    async with _opening:
        if user not in _sessions:
            session = await client.sessions.create(agent_id=await _agent(), allow_greeting=False)
            _sessions[user] = session.id
    return _sessions[user]


async def _agent() -> str:
    """Returns the id of the agent, which is made with its guideline where the server has none of that name."""
    for known in await client.agents.list():
        if known.name == AGENT:
            return known.id
    made = await client.agents.create(name=AGENT)
    await client.guidelines.create(**GUIDELINE, tags=[f"agent:{made.id}"])
    return made.id
