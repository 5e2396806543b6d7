"""A real server for tests: on a free port of loopback, on a thread of its own, gone when the block ends.

def test_my_agent_streams():
    with serving("path/to/agent") as server:
        assert list(server.client("chat_stream").run(message="Hi")) == [...]
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runagent_grpc.auth.api_keys import ApiKeys
from runagent_grpc.client import AsyncRunAgentClient, RunAgentClient
from runagent_grpc.core.history import InvocationHistory
from runagent_grpc.core.recorder import Journal, Recorder
from runagent_grpc.core.store import InvocationStore
from runagent_grpc.engine import Engine
from runagent_grpc.server.config import ServerConfig
from runagent_grpc.server.server import Server
from runagent_grpc.settings import BridgeSettings, EngineSettings, GrpcSettings, ListenSettings, ShutdownSettings
from runagent_grpc.worker import Agent, load_agent
from runagent_grpc.worker.output import OutputCapture

__all__ = ["RunningServer", "serving"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A server that answers at `host`, on `http_port` and `grpc_port`."""

    agent: Agent
    engine: Engine
    host: str
    http_port: int
    grpc_port: int
    instance_id: str
    """The id by which clients on the same machine recognize the server."""
    loop: asyncio.AbstractEventLoop
    """The server's event loop, which runs on another thread."""

    @property
    def target(self) -> str:
        """The address as gRPC channels take it."""
        return f"{self.host}:{self.grpc_port}"

    @property
    def http_url(self) -> str:
        """The address of the HTTP server, without a slash at the end."""
        return f"http://{self.host}:{self.http_port}"

    def client(self, entrypoint_tag: str | None = None, **options: Any) -> RunAgentClient:
        """Returns a client of this server."""
        return RunAgentClient(self.agent.agent_id, entrypoint_tag, base_url=f"grpc://{self.target}", **options)

    def async_client(self, entrypoint_tag: str | None = None, **options: Any) -> AsyncRunAgentClient:
        """Returns an asyncio client of this server."""
        return AsyncRunAgentClient(self.agent.agent_id, entrypoint_tag, base_url=f"grpc://{self.target}", **options)


@contextmanager
def serving(
    agent: str | Path | Agent | Mapping[str, Callable[..., Any]],
    *,
    api_keys: tuple[str, ...] = (),
    engine: EngineSettings | None = None,
    grpc: GrpcSettings | None = None,
    bridge: BridgeSettings | None = None,
    recorder: Recorder | None = None,
    history: InvocationHistory | None = None,
    store: InvocationStore | None = None,
    journal: Journal | None = None,
    output: OutputCapture | None = None,
    cors_origins: tuple[str, ...] = (),
    allowed_hosts: tuple[str, ...] = (),
    drain_grace: float = 0.0,
) -> Iterator[RunningServer]:
    """Serves an agent's folder, an agent, or functions by their tags, for the length of the block.

    Raises InvalidAgentError for a folder that cannot be served.
    """
    bridge = bridge or BridgeSettings()
    config = ServerConfig(
        listen=ListenSettings(port=0, grpc_port=0),
        limits=engine or EngineSettings(),
        grpc=grpc or GrpcSettings(),
        http=replace(
            bridge,
            allowed_hosts=(*bridge.allowed_hosts, *allowed_hosts),
            cors_origins=(*bridge.cors_origins, *cors_origins),
        ),
        shutdown=ShutdownSettings(drain_grace=drain_grace),
    )
    with ExitStack() as stack:
        if isinstance(agent, Mapping):
            agent = Agent.from_functions(agent)
        elif isinstance(agent, str | Path):
            agent = load_agent(agent)
            stack.callback(agent.unload)
        yield stack.enter_context(
            _on_thread(
                agent,
                config,
                authenticator=ApiKeys(api_keys),
                recorder=recorder,
                history=history,
                store=store,
                journal=journal,
                output=output,
            )
        )


@contextmanager
def _on_thread(agent: Agent, config: ServerConfig, **parts: Any) -> Iterator[RunningServer]:
    started: list[RunningServer] = []
    failed: list[BaseException] = []
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with Server(agent, config=config, **parts) as server:
            started.append(
                RunningServer(
                    agent=agent,
                    engine=server.engine,
                    host=server.host,
                    http_port=server.http_port or 0,
                    grpc_port=server.grpc_port or 0,
                    instance_id=server.instance_id,
                    loop=asyncio.get_running_loop(),
                )
            )
            ready.set()
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # noqa: BLE001 - raised again on the caller's thread
            failed.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="runagent-serving", daemon=True)
    thread.start()
    ready.wait()
    if started:
        try:
            yield started[0]
        finally:
            started[0].loop.call_soon_threadsafe(stop.set)
            thread.join()
    if failed:
        raise failed[0]
