"""One call over each way there is to make it, so that a test can compare what arrives.

Two have nothing of ours: the plain stub, and REST with a WebSocket. The others are our clients on both transports.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
from websockets.sync.client import connect

from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc
from runagent_grpc.client import AsyncRunAgentClient, RunAgentClient
from runagent_grpc.testing import RunningServer
from tests.rpc.calls import run_request, stream_request, value_of

__all__ = ["WIRES", "Place", "run_over", "stream_over"]

WIRES = ("stub", "raw http", "sync grpc", "async grpc", "sync http", "async http")
"""The ways to make a call."""

_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an agent is served."""

    agent_id: str
    http_port: int
    grpc_port: int
    host: str = "127.0.0.1"

    @classmethod
    def of(cls, server: RunningServer) -> Place:
        return cls(agent_id=server.agent.agent_id, http_port=server.http_port, grpc_port=server.grpc_port)

    @property
    def target(self) -> str:
        """The address as gRPC channels take it."""
        return f"{self.host}:{self.grpc_port}"

    @property
    def http_url(self) -> str:
        """The address of the HTTP face, without a slash at the end."""
        return f"http://{self.host}:{self.http_port}"

    def client(self, tag: str | None = None, *, transport: str = "grpc", **options: Any) -> RunAgentClient:
        """Returns a client; `transport` is "grpc" or "http"."""
        return RunAgentClient(self.agent_id, tag, **self.address(transport), **options)

    def async_client(self, tag: str | None = None, *, transport: str = "grpc", **options: Any) -> AsyncRunAgentClient:
        """Returns an asyncio client; `transport` is "grpc" or "http"."""
        return AsyncRunAgentClient(self.agent_id, tag, **self.address(transport), **options)

    def address(self, transport: str) -> dict[str, Any]:
        """Returns the options that lead a client here."""
        port = {"grpc": self.grpc_port, "http": self.http_port}[transport]
        return {"host": self.host, "port": port, "transport": transport, "local": False}


def run_over(wire: str, agent: Place, tag: str, *args: Any, **kwargs: Any) -> Any:
    """Runs an entrypoint, and returns its value."""
    match wire.split():
        case ["stub"]:
            with grpc.insecure_channel(agent.target) as channel:
                stub = agent_service_pb2_grpc.AgentServiceStub(channel)
                answer = stub.Run(run_request(tag, *args, **kwargs), timeout=_PATIENCE_SECONDS)
                return value_of(answer.result)
        case ["raw", _]:
            url = f"{agent.http_url}/api/v1/agents/{agent.agent_id}/run"
            with httpx.Client(trust_env=False, timeout=_PATIENCE_SECONDS) as http:
                body = http.post(url, json=_request(tag, args, kwargs)).json()
            assert body["success"], body
            return _structured(body["data"])
        case ["sync", transport]:
            with agent.client(tag, transport=transport) as client:
                return client.run(*args, **kwargs)
        case ["async", transport]:
            return asyncio.run(_run_soon(agent, transport, tag, args, kwargs))
    raise ValueError(wire)


def stream_over(wire: str, agent: Place, tag: str, *args: Any, **kwargs: Any) -> Iterator[Any]:
    """Streams an entrypoint's chunks, as they come but for asyncio's, which come together."""
    match wire.split():
        case ["stub"]:
            with grpc.insecure_channel(agent.target) as channel:
                stub = agent_service_pb2_grpc.AgentServiceStub(channel)
                for event in stub.RunStream(stream_request(tag, *args, **kwargs), timeout=_PATIENCE_SECONDS):
                    yield from map(value_of, event.chunks.values)
        case ["raw", _]:
            yield from _raw_stream(agent, _request(tag, args, kwargs))
        case ["sync", transport]:
            with agent.client(tag, transport=transport) as client, client.run_stream(*args, **kwargs) as chunks:
                yield from chunks
        case ["async", transport]:
            yield from asyncio.run(_stream_soon(agent, transport, tag, args, kwargs))
        case _:
            raise ValueError(wire)


def _raw_stream(agent: Place, request: dict[str, Any]) -> Iterator[Any]:
    url = f"ws://{agent.host}:{agent.http_port}/api/v1/agents/{agent.agent_id}/run-stream"
    with connect(url, proxy=None, max_size=None) as socket:
        socket.send(json.dumps(request))
        while (frame := json.loads(socket.recv(_PATIENCE_SECONDS))).get("status") != "stream_completed":
            assert frame["type"] != "error", frame
            if frame["type"] == "data":
                yield _structured(frame["content"])


async def _run_soon(agent: Place, transport: str, tag: str, args: Any, kwargs: Any) -> Any:
    async with agent.async_client(tag, transport=transport) as client:
        return await client.run(*args, **kwargs)


async def _stream_soon(agent: Place, transport: str, tag: str, args: Any, kwargs: Any) -> list[Any]:
    async with agent.async_client(tag, transport=transport) as client:
        chunks: AsyncIterator[Any] = client.run_stream(*args, **kwargs)
        return [chunk async for chunk in chunks]


def _request(tag: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    return {"entrypoint_tag": tag, "input_args": args, "input_kwargs": kwargs}


def _structured(text: str) -> Any:
    """Returns the value in what REST and WebSockets carry it in."""
    return json.loads(json.loads(text)["payload"])
