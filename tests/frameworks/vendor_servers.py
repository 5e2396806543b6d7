"""The servers that published templates look for on ports of their own: Letta's and Parlant's, as far as they are asked.

Both are one stand-in on a free port. It is a proxy, which processes find by `http_proxy`, so that code with a fixed
address in it comes here, and nothing has to listen there.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import urlsplit

from tests.frameworks.stand_ins import StandIn, listening

__all__ = ["LETTA", "PARLANT", "vendor_servers"]

LETTA = "localhost:8283"
PARLANT = "localhost:8800"

_NOW = "2026-01-01T00:00:00Z"


@contextlib.contextmanager
def vendor_servers(*parlant_agents: str) -> Iterator[dict[str, str]]:
    """Gives the variables by which a process finds the servers. Parlant's has agents of these names already."""
    with listening(_Vendors, agents=parlant_agents, said=[]) as port:
        yield {"http_proxy": f"http://127.0.0.1:{port}"}


class _Vendors(StandIn):
    agents: ClassVar[tuple[str, ...]] = ()
    said: ClassVar[list[str]] = []

    def respond(self, body: Any) -> None:
        url = urlsplit(self.path)
        way = (url.netloc, self.command, *url.path.strip("/").split("/"))
        match way:
            case (host, "PUT", "v1", "tools") if host == LETTA:
                self.answer({"id": "tool-1", "name": "tool", "source_code": body["source_code"]})
            case (host, "POST", "v1", "agents") if host == LETTA:
                self.answer({"id": "agent-1", "name": body["name"]})
            case (host, "DELETE", "v1", "agents", _) if host == LETTA:
                self.answer({})
            case (host, "POST", "v1", "agents", _, "messages") if host == LETTA:
                usage = {"message_type": "usage_statistics", "total_tokens": 1}
                stopped = {"message_type": "stop_reason", "stop_reason": "end_turn"}
                self.answer({"messages": [_letta(_reply(body))], "stop_reason": stopped, "usage": usage})
            case (host, "POST", "v1", "agents", _, "messages", "stream") if host == LETTA:
                said = (json.dumps(_letta(piece)) for piece in _reply(body).split())
                self.stream(f"data: {data}" for data in (*said, "[DONE]"))
            case (host, "GET", "agents") if host == PARLANT:
                self.answer([_agent(name) for name in self.agents])
            case (host, "POST", "agents") if host == PARLANT:
                self.answer(_agent(body["name"]))
            case (host, "POST", "sessions") if host == PARLANT:
                self.answer(_session(body["agent_id"]))
            case (host, "POST", "sessions", _, "events") if host == PARLANT:
                self.said.append(body["message"])
                self.answer(_event(0, "customer", body["message"]))
            case (host, "GET", "sessions", _, "events") if host == PARLANT:
                self.answer([_event(1, "ai_agent", f"You said: {self.said[-1]}")])
            case _:
                self.answer({"detail": f"The stand-in has no {way}."}, 404)


def _reply(body: dict[str, Any]) -> str:
    return f"You said: {body['messages'][-1]['content']}"


def _letta(text: str) -> dict[str, Any]:
    return {"id": "message-1", "date": _NOW, "message_type": "assistant_message", "content": text}


def _agent(name: str) -> dict[str, Any]:
    return {"id": "agent-1", "name": name, "composition_mode": "fluid", "message_output_mode": "block", "tags": []}


def _session(agent_id: str) -> dict[str, Any]:
    place = {"id": "session-1", "agent_id": agent_id, "customer_id": "guest", "creation_utc": _NOW, "mode": "auto"}
    return {**place, "consumption_offsets": {}, "metadata": {}}


def _event(offset: int, source: str, message: str) -> dict[str, Any]:
    place = {"id": f"event-{offset}", "offset": offset, "trace_id": "trace-1", "correlation_id": "trace-1"}
    event = {"kind": "message", "source": source, "creation_utc": _NOW, "deleted": False, "metadata": {}}
    return {**place, **event, "data": {"message": message}}
