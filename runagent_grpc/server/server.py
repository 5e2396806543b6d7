"""Puts a server together: an agent, the engine that runs it, the transports that answer calls, and its orderly end."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack

from runagent_grpc.addresses import connectable
from runagent_grpc.agents import AgentCatalogue, ServedAgent
from runagent_grpc.auth.api_keys import ApiKeys
from runagent_grpc.bridge import HttpServer, build_app
from runagent_grpc.core.history import InvocationHistory
from runagent_grpc.core.manifest import AgentManifest
from runagent_grpc.core.principal import Authenticator
from runagent_grpc.core.recorder import Journal, Recorder
from runagent_grpc.core.store import InvocationStore
from runagent_grpc.core.transport import Transport
from runagent_grpc.engine import Engine
from runagent_grpc.errors import RunAgentError
from runagent_grpc.local.registration import Registration
from runagent_grpc.local.registry import RegisteredAgent, Registry
from runagent_grpc.rpc import GrpcServer
from runagent_grpc.runners.in_process import InProcessRunner
from runagent_grpc.server.config import ServerConfig
from runagent_grpc.worker import Agent
from runagent_grpc.worker.output import OutputCapture
from runagent_grpc.worker.threads import Threads
from runagent_grpc.worker.worker import Worker

__all__ = ["Server"]

_logger = logging.getLogger(__name__)


class Server:
    """Serves one agent from `async with` on, until the block ends; then it drains, and closes.

    Raises UnsafeSettingsError, or ValueError for settings that contradict each other; on entering PortInUseError, or
    OSError for a host that cannot be bound.
    """

    def __init__(
        self,
        agent: Agent,
        *,
        config: ServerConfig | None = None,
        authenticator: Authenticator | None = None,
        recorder: Recorder | None = None,
        registry: Registry | None = None,
        history: InvocationHistory | None = None,
        store: InvocationStore | None = None,
        journal: Journal | None = None,
        output: OutputCapture | None = None,
    ) -> None:
        """Takes no port yet.

        Args:
            agent: What is served.
            config: Every setting; None takes the defaults.
            authenticator: Who callers are. None asks for the keys in the file that the configuration names, if any.
            recorder: Hears of every invocation.
            registry: Where clients on this machine find the server; None leaves it out.
            history: What transports tell of earlier invocations.
            store: Where the engine finds invocations that it no longer holds.
            journal: Where the chunks of streams that can be resumed are kept.
            output: What entrypoints print and log.
        """
        self.config = config = config or ServerConfig()
        self.authenticator: Authenticator = _keys_of(config) if authenticator is None else authenticator
        self._output = output
        served = self._served(agent)
        config.check(served.manifest, asks_for_key=self.authenticator.required)
        self.engine = Engine(
            AgentCatalogue(served), settings=config.limits, recorder=recorder, store=store, journal=journal
        )
        self.instance_id = str(uuid.uuid4())
        """Names this run of the server. Clients on the same machine recognize it by this id."""
        self.transports: Sequence[Transport] = ()
        """What answers calls, each on its own port, while the server serves."""
        self._registry = registry
        self._registration: Registration | None = None
        # The file holds other agents' invocations, too.
        self._history = None if history is None else history.of_agents((agent.agent_id,))
        self._entered = AsyncExitStack()

    @property
    def agent(self) -> AgentManifest:
        """The agent that is served."""
        return self.engine.agents.manifest

    @property
    def host(self) -> str:
        """A host that clients on this machine can connect to."""
        return connectable(self.config.listen.host)

    @property
    def ports(self) -> Mapping[str, int]:
        """The port of each transport, by its name."""
        return {transport.name: transport.port for transport in self.transports}

    @property
    def port(self) -> int:
        """The port that clients find everything from: that of HTTP, where there is one."""
        return self.transports[-1].port

    @property
    def http_port(self) -> int | None:
        """The port that REST and WebSocket are served on; None where they are not."""
        return self.ports.get("http")

    @property
    def grpc_port(self) -> int | None:
        """The port that gRPC is served on; None where it is not."""
        return self.ports.get("grpc")

    def replace_agent(self, agent: Agent) -> None:
        """Serves the calls to come from another generation of the agent. Those that run end on the one before."""
        self.engine.agents.replace(self._served(agent))

    async def __aenter__(self) -> Server:
        async with AsyncExitStack() as entered:
            for transport in self._made_transports():
                self.transports = (*self.transports, await entered.enter_async_context(transport))
            if self._registry is not None:
                entry = self._registration = Registration(
                    self._registry,
                    self._row(),
                    instance_id=self.instance_id,
                    http_port=self.http_port,
                    grpc_port=self.grpc_port,
                )
                await _locally(entry.write_lease, "Clients cannot look this server up by the agent's id (--local)")
                await _locally(entry.write_row, "Published clients cannot look this server up by the agent's id")
                await _locally(entry.clean, "What killed servers have left cannot be removed")
            # Until here, whatever was entered closes where a later step fails.
            self._entered = entered.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        async with self._entered:
            for transport in self.transports:
                await transport.announce_shutdown()
            # At once, however long the address book takes: nothing new is begun from here on.
            draining = asyncio.ensure_future(self.engine.drain(self.config.shutdown.drain_grace))
            try:
                if self._registration is not None:
                    await _locally(self._registration.remove_lease, "Clients take this server for one that was killed")
                    await _locally(self._registration.leave_row, "Published clients take this server for one that runs")
            finally:
                await draining

    def _served(self, agent: Agent) -> ServedAgent:
        worker = Worker(agent, max_payload_bytes=self.config.limits.max_payload_bytes, output=self._output)
        return ServedAgent(manifest=worker.manifest, runner=InProcessRunner(worker))

    def _made_transports(self) -> Iterator[Transport]:
        """Yields each transport once the one before it was entered: HTTP tells its callers where gRPC is."""
        config, listen = self.config, self.config.listen
        if listen.grpc:
            yield GrpcServer(
                self.engine,
                authenticator=self.authenticator,
                settings=config.grpc,
                host=listen.host,
                port=listen.grpc_port,
                history=self._history,
                instance_id=self.instance_id,
            )
        if listen.http:
            app = build_app(
                self.engine,
                settings=config.http,
                authenticator=self.authenticator,
                host=listen.host,
                allowed_hosts=config.http.allowed_hosts,
                cors_origins=config.http.cors_origins,
                history=self._history,
                grpc_port=self.grpc_port,
                instance_id=self.instance_id,
            )
            yield HttpServer(app, settings=config.http, host=listen.host, port=listen.port)

    def _row(self) -> RegisteredAgent:
        agent = self.agent
        return RegisteredAgent(
            agent_id=agent.agent_id,
            agent_path=agent.folder,
            host=self.host,
            port=self.port,
            framework=agent.framework,
            agent_name=agent.agent_name,
            description=agent.description,
            version=agent.version,
        )


async def _locally(write: Callable[[], None], consequence: str) -> None:
    """Writes what clients on this machine read. A failure stops no server from serving, or from ending in order."""
    try:
        # Not the loop's own threads, all of which the author's code may block.
        await Threads().run(write)
    except RunAgentError as error:
        _logger.warning("%s: %s %s", consequence, error, error.suggestion or "")


def _keys_of(config: ServerConfig) -> ApiKeys:
    """Returns the keys in the file that the configuration names; none where it names none."""
    file = config.listen.api_key_file
    return ApiKeys() if file is None else ApiKeys.read(file)
