"""Puts a server together: an agent, the engine that runs it, the faces it shows, and its orderly end."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from runagent_grpc.addresses import PortInUseError, connectable, find_port, is_loopback
from runagent_grpc.agents import AgentCatalogue, ServedAgent
from runagent_grpc.auth.api_keys import ApiKeys
from runagent_grpc.bridge import BridgeSettings, HttpServer, build_app
from runagent_grpc.core.manifest import AgentManifest
from runagent_grpc.core.recorder import Journal, Recorder
from runagent_grpc.core.store import InvocationStore
from runagent_grpc.engine import Engine, EngineSettings
from runagent_grpc.errors import RunAgentError
from runagent_grpc.local.registration import Registration
from runagent_grpc.local.registry import RegisteredAgent, Registry
from runagent_grpc.rpc import GrpcServer, GrpcSettings
from runagent_grpc.runners.in_process import InProcessRunner
from runagent_grpc.server.history import BridgeHistory
from runagent_grpc.store import History, RecordingSettings
from runagent_grpc.worker import Agent
from runagent_grpc.worker.output import OutputCapture
from runagent_grpc.worker.worker import Worker

__all__ = [
    "DEFAULT_GRPC_PORT",
    "DEFAULT_HTTP_PORT",
    "Server",
    "ServerSettings",
    "UnsafeSettingsError",
]

DEFAULT_GRPC_PORT = 50051
DEFAULT_HTTP_PORT = 8450

_logger = logging.getLogger(__name__)


class UnsafeSettingsError(Exception):
    """The settings would open the agent to strangers. The text says how to mean it, or how to mend it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where a server listens, whom it lets in, and how it ends. Times are seconds."""

    host: str = "127.0.0.1"
    http: bool = True
    """Whether REST and WebSocket are served."""
    http_port: int | None = None
    """None takes 8450, or the next free port; 0 takes any."""
    grpc_enabled: bool = True
    """Whether gRPC is served."""
    grpc_port: int | None = None
    """None takes 50051, or the next free port; 0 takes any."""
    allowed_hosts: tuple[str, ...] = ()
    """Names that the HTTP face may be called by, besides its own."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose web pages may call, besides local ones."""
    keys: ApiKeys = field(default_factory=ApiKeys)
    """The API keys to ask for. Empty asks for none."""
    insecure: bool = False
    """Whether to listen beyond loopback without keys."""
    drain_grace: float = 30.0
    """How long running invocations may take to end once the server is told to."""
    engine: EngineSettings = field(default_factory=EngineSettings)
    grpc: GrpcSettings = field(default_factory=GrpcSettings)
    bridge: BridgeSettings = field(default_factory=BridgeSettings)
    recording: RecordingSettings = field(default_factory=RecordingSettings)
    journal: bool = False
    """Whether the chunks of streams that can be resumed are kept on disk, for whoever asks after a crash."""

    def check(self, agent: AgentManifest) -> None:
        """Raises UnsafeSettingsError where anyone could call an agent that was not meant for everyone, and ValueError
        where nothing would be served, or nothing could be journaled."""
        if not (self.http or self.grpc_enabled):
            raise ValueError("Serve at least one of HTTP and gRPC.")
        if self.journal and not self.recording.record_payloads:
            raise ValueError("A journal keeps chunks as they are: record payloads, or leave the journal out.")
        if self.keys:
            return
        if agent.auth_type == "api_key":
            raise UnsafeSettingsError(
                "The agent's auth_settings ask for API keys, and there are none. "
                "Name a file of keys with --api-key-file, or set RUNAGENT_API_KEYS."
            )
        if not is_loopback(self.host) and not self.insecure:
            raise UnsafeSettingsError(
                f"Anyone who reaches {self.host} could call this agent. Name a file of API keys with --api-key-file, "
                "set RUNAGENT_API_KEYS, or say --insecure to serve without keys."
            )


class Server:
    """Serves one agent from `async with` on, until the block ends; then it drains, and closes.

    Raises UnsafeSettingsError, PortInUseError, or OSError for a host that cannot be bound, on entering.
    """

    def __init__(
        self,
        agent: Agent,
        *,
        settings: ServerSettings | None = None,
        recorder: Recorder | None = None,
        registry: Registry | None = None,
        history: History | None = None,
        store: InvocationStore | None = None,
        journal: Journal | None = None,
        output: OutputCapture | None = None,
    ) -> None:
        self.settings = settings or ServerSettings()
        self._output = output
        served = self._served(agent)
        self.settings.check(served.manifest)
        self.engine = Engine(
            AgentCatalogue(served), settings=self.settings.engine, recorder=recorder, store=store, journal=journal
        )
        self.http_port: int | None = None
        """The port that REST and WebSocket are served on, once they are."""
        self.grpc_port: int | None = None
        """The port that gRPC is served on, once it is."""
        self.instance_id = str(uuid.uuid4())
        """Names this run of the server. Clients on the same machine recognize it by this id."""
        self._registry = registry
        self._registration: Registration | None = None
        # The file holds other agents' invocations, too.
        self._history = None if history is None else history.of_agents((agent.agent_id,))
        self._grpc: GrpcServer | None = None
        self._http: HttpServer | None = None

    @property
    def agent(self) -> AgentManifest:
        """The agent that is served."""
        return self.engine.agents.manifest

    @property
    def host(self) -> str:
        """A host that clients on this machine can connect to."""
        return connectable(self.settings.host)

    @property
    def port(self) -> int:
        """The port that clients find everything from: the HTTP face's, where there is one."""
        port = self.grpc_port if self.http_port is None else self.http_port
        assert port is not None
        return port

    def replace_agent(self, agent: Agent) -> None:
        """Serves the calls to come from another generation of the agent. Those that run end on the one before."""
        self.engine.agents.replace(self._served(agent))

    async def __aenter__(self) -> Server:
        try:
            await self._start()
        except BaseException:
            # Whichever face is there already must not stay.
            await self._close_ports()
            raise
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
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._grpc is not None:
            await self._grpc.announce_shutdown()
        # At once, however long the address book takes: nothing new is begun from here on.
        draining = asyncio.ensure_future(self.engine.drain(self.settings.drain_grace))
        try:
            if self._registration is not None:
                await _locally(self._registration.remove_lease, "Clients take this server for one that was killed")
                await _locally(self._registration.leave_row, "Published clients take this server for one that runs")
        finally:
            await draining
            await self._close_ports()

    def _served(self, agent: Agent) -> ServedAgent:
        worker = Worker(agent, max_payload_bytes=self.settings.engine.max_payload_bytes, output=self._output)
        return ServedAgent(manifest=worker.manifest, runner=InProcessRunner(worker))

    async def _start(self) -> None:
        settings = self.settings
        if settings.grpc_enabled:
            self._grpc = GrpcServer(
                self.engine,
                authenticator=settings.keys,
                settings=settings.grpc,
                history=self._history,
                instance_id=self.instance_id,
            )
            self.grpc_port = _listen(self._grpc, settings)
            await self._grpc.start()
        if settings.http:
            port = find_port(settings.host, settings.http_port, DEFAULT_HTTP_PORT)
            app = build_app(
                self.engine,
                settings=settings.bridge,
                authenticator=settings.keys,
                host=settings.host,
                allowed_hosts=settings.allowed_hosts,
                cors_origins=settings.cors_origins,
                history=BridgeHistory(self._history) if self._history else None,
                grpc_port=self.grpc_port,
                instance_id=self.instance_id,
            )
            self._http = HttpServer(app, settings=settings.bridge)
            self.http_port = await self._http.start(settings.host, port)

    async def _close_ports(self) -> None:
        # With time for the last answers to leave.
        if self._http is not None:
            await self._http.stop(grace=1.0)
        if self._grpc is not None:
            await self._grpc.stop(grace=1.0)

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
        await asyncio.to_thread(write)
    except RunAgentError as error:
        _logger.warning("%s: %s %s", consequence, error, error.suggestion or "")


def _listen(server: GrpcServer, settings: ServerSettings) -> int:
    default = DEFAULT_GRPC_PORT
    while True:
        port = find_port(settings.host, settings.grpc_port, default)
        try:
            return server.listen(settings.host, port)
        except RuntimeError:
            # Somebody has taken it since it was looked at.
            if settings.grpc_port is not None:
                raise PortInUseError(f"Port {port} on {settings.host} is in use. Choose another port.") from None
            default = port + 1
