"""Answers in the place of a Parlant server, in this process: the client does all that it does, but for the network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

__all__ = ["StandIn"]


async def words(prompt: str) -> AsyncIterator[str]:
    """Gives an answer in several messages, as Parlant's agents do."""
    for sentence in ("Let me see.", f"You said: {prompt}"):
        await asyncio.sleep(0.2)
        yield sentence


class StandIn(httpx.AsyncClient):
    """The HTTP client to give to `AsyncParlantClient`. It has the few routes that main.py asks for."""

    def __init__(self) -> None:
        super().__init__(transport=_Transport(), timeout=None)


class _Transport(httpx.AsyncBaseTransport):
    def __init__(self) -> None:
        self._agents: list[dict[str, Any]] = []
        self._sessions: dict[str, _Session] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        asked = json.loads(await request.aread() or b"{}")
        match request.method, request.url.path.strip("/").split("/"):
            case "GET", ["agents"]:
                return httpx.Response(200, json=self._agents)
            case "POST", ["agents"]:
                agent = {"id": "agent-1", "composition_mode": "fluid", "message_output_mode": "block", **asked}
                self._agents.append(agent)
                return httpx.Response(201, json=agent)
            case "POST", ["guidelines"]:
                return httpx.Response(201, json={"id": "guideline-1", "enabled": True, **_NO_DETAILS, **asked})
            case "POST", ["sessions"]:
                session = {"id": f"session-{len(self._sessions) + 1}", "agent_id": asked["agent_id"], **_SESSION}
                self._sessions[session["id"]] = _Session()
                return httpx.Response(201, json=session)
            case "POST", ["sessions", session_id, "events"] if session_id in self._sessions:
                return httpx.Response(201, json=await self._sessions[session_id].hear(asked["message"]))
            case "GET", ["sessions", session_id, "events"] if session_id in self._sessions:
                offset, seconds = (int(request.url.params[name]) for name in ("min_offset", "wait_for_data"))
                events = await self._sessions[session_id].events_from(offset, seconds)
                return httpx.Response(200, json=events) if events else httpx.Response(504)
        return httpx.Response(404, json={"detail": f"The stand-in has no {request.url.path}."})


_NOW = "2026-01-01T00:00:00Z"
_NO_DETAILS: dict[str, Any] = {"metadata": {}, "tags": []}
_SESSION: dict[str, Any] = {
    "customer_id": "guest",
    "creation_utc": _NOW,
    "mode": "auto",
    "consumption_offsets": {},
    "metadata": {},
}


class _Session:
    """A conversation. As Parlant's, an answer goes on whether somebody waits for it or not, until the next message."""

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []
        self._happened = asyncio.Condition()
        self._answering: asyncio.Task[None] | None = None

    async def hear(self, message: str) -> dict[str, Any]:
        if self._answering:
            self._answering.cancel()
        trace = f"trace-{len(self._events)}"
        event = await self._emit(trace, "message", {"message": message}, source="customer")
        self._answering = asyncio.create_task(self._answer(trace, message))
        return event

    async def events_from(self, offset: int, seconds: int) -> list[dict[str, Any]]:
        try:
            async with asyncio.timeout(seconds), self._happened:
                await self._happened.wait_for(lambda: len(self._events) > offset)
        except TimeoutError:
            return []
        return self._events[offset:]

    async def _answer(self, trace: str, message: str) -> None:
        await self._emit_status(trace, "processing", {"stage": "Thinking"})
        try:
            async for said in words(message):
                await self._emit(trace, "message", {"message": said})
        except asyncio.CancelledError:
            await self._emit_status(trace, "cancelled", {})
        except RuntimeError as error:
            await self._emit_status(trace, "error", {"exception": str(error)})
            return
        await self._emit_status(trace, "ready", {"stage": "completed"})

    async def _emit_status(self, trace: str, status: str, data: dict[str, str]) -> None:
        await self._emit(trace, "status", {"status": status, "data": data})

    async def _emit(self, trace: str, kind: str, data: dict[str, Any], source: str = "ai_agent") -> dict[str, Any]:
        offset = len(self._events)
        place = {"id": f"event-{offset}", "offset": offset, "trace_id": trace, "correlation_id": trace}
        event = {**place, "kind": kind, "source": source, "data": data, **_EVENT}
        async with self._happened:
            self._events.append(event)
            self._happened.notify_all()
        return event


_EVENT: dict[str, Any] = {"creation_utc": _NOW, "metadata": {}, "deleted": False}
