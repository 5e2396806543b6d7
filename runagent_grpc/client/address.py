"""Where a client finds its server: the order of places it looks in (docs/design.md, discovery)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args
from urllib.parse import urlsplit

from runagent_grpc.addresses import joined
from runagent_grpc.errors import InternalError, InvalidRequestError, NotFoundError, UnavailableError
from runagent_grpc.local import Lease
from runagent_grpc.local.registry import Registry
from runagent_grpc.local.user_settings import UserSettings, read_user_settings

__all__ = ["API_KEY_VARIABLE", "BASE_URL_VARIABLE", "Address", "LocalServers", "TransportName", "resolve"]

BASE_URL_VARIABLE = "RUNAGENT_BASE_URL"
API_KEY_VARIABLE = "RUNAGENT_API_KEY"

TransportName = Literal["auto", "grpc", "http"]
"""What to speak: whatever the server speaks best, or one of the two."""

_SCHEMES: dict[str, tuple[TransportName, bool, int]] = {
    "http": ("auto", False, 80),
    "https": ("auto", True, 443),
    "ws": ("http", False, 80),
    "wss": ("http", True, 443),
    "grpc": ("grpc", False, 50051),
    "grpcs": ("grpc", True, 443),
}
"""For each URL scheme: what it says about the transport, whether it means TLS, and the port it implies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A server's address."""

    host: str
    port: int
    tls: bool = False
    transport: TransportName = "auto"
    kept_key: str | None = field(default=None, repr=False, compare=False)
    """The key that the user keeps for this server (`runagent config`), and for no other."""
    resumable: bool | None = field(default=None, compare=False)
    """Whether the server there knows a call that is repeated, and a stream that is resumed. None: it was not asked."""
    local: LocalServers | None = field(default=None, repr=False, compare=False)
    """Which servers of this machine the address stands for, where their leases say so; `client/leases.py` chooses."""

    def __str__(self) -> str:
        return joined(self.host, self.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalServers:
    """Servers of one agent on this machine, none of which was asked yet."""

    agent_id: str
    leases: tuple[Lease, ...]
    """At least one, the newest first."""
    published: Address | None
    """A published server, which has no lease."""


def resolve(
    *,
    agent_id: str,
    local: bool,
    host: str | None,
    port: int | None,
    base_url: str | None,
    transport: TransportName,
    environ: Mapping[str, str],
    registry: Registry,
) -> Address:
    """Returns the address of the first that is there: host and port or a URL, the servers of this machine, the
    environment, the settings that the user keeps.

    Raises InvalidRequestError for an address that is none, NotFoundError for an agent that this machine does not serve,
    and UnavailableError where nothing names a server.
    """
    if transport not in get_args(TransportName):
        raise InvalidRequestError.of_field("transport", f"{transport!r} is not one of auto, grpc, http.")
    if base_url:
        return _parse_url(base_url, "base_url", transport)
    if host or port is not None:
        return _explicit(host, port, transport)
    if local:
        return _registered(agent_id, registry, transport)
    settings = _kept_settings(environ, registry)
    if url := environ.get(BASE_URL_VARIABLE):
        return replace(_parse_url(url, BASE_URL_VARIABLE, transport), kept_key=settings.key_for(url))
    if url := settings.base_url:
        return replace(_parse_url(url, f"base_url in {settings.source}", transport), kept_key=settings.key_for(url))
    raise UnavailableError(
        "No server is named.",
        suggestion=f"Give host and port, look the agent up on this machine (local=True, or --local), or set "
        f"{BASE_URL_VARIABLE} (`runagent config set-base-url URL` keeps one).",
    )


def _kept_settings(environ: Mapping[str, str], registry: Registry) -> UserSettings:
    if environ.get(BASE_URL_VARIABLE) and environ.get(API_KEY_VARIABLE):
        # Nothing of theirs would count.
        return UserSettings()
    try:
        path = registry.path
    except InternalError:
        # There is no folder that could hold any.
        return UserSettings()
    return read_user_settings(path)


def _explicit(host: str | None, port: int | None, transport: TransportName) -> Address:
    if not host or port is None:
        raise InvalidRequestError.of_field("port" if host else "host", "Give host and port together.")
    if "://" in host:
        raise InvalidRequestError.of_field("host", f"{host!r} is a URL; give it as base_url, or the host alone.")
    if not (isinstance(port, int) and 0 < port < 65536):
        raise InvalidRequestError.of_field("port", f"{port!r} is not a number between 1 and 65535.")
    return Address(host=host.strip("[]"), port=port, transport=transport)


def _registered(agent_id: str, registry: Registry, transport: TransportName) -> Address:
    if not agent_id:
        raise InvalidRequestError.of_field("agent_id", "Name the agent to look up on this machine.")
    reading = registry.leases.read()
    leases = reading.of_agent(agent_id)
    if leases:
        published = _published(agent_id, registry, leases, transport)
        servers = LocalServers(agent_id=agent_id, leases=leases, published=published)
        return Address(host=leases[0].host, port=leases[0].port, tls=leases[0].tls, transport=transport, local=servers)
    row = registry.written(agent_id)
    if row is None:
        ignored = "".join(f" {lease}" for lease in reading.ignored)
        raise NotFoundError(
            f"Agent `{agent_id}` is not served on this machine."
            + (f" These leases were ignored:{ignored}" if ignored else ""),
            suggestion="Serve it with `runagent serve PATH`, or give host and port, or set "
            f"{BASE_URL_VARIABLE} and look it up there (local=False).",
        )
    if row.status == "stopped":
        where = f" {row.agent_path}" if row.agent_path else ""
        raise UnavailableError(
            f"Agent `{agent_id}` is not running; its server was stopped.",
            suggestion=f"Start it again with `runagent serve{where}`.",
        )
    return Address(host=row.host, port=row.port, transport=transport)


def _published(agent_id: str, registry: Registry, leases: Sequence[Lease], transport: TransportName) -> Address | None:
    """Returns where a published server is, if the agent's row is that of one: it leads to none of the leases."""
    try:
        row = registry.written(agent_id)
    except InternalError:
        # The leases alone are enough.
        return None
    if row is None or row.status == "stopped" or any((row.host, row.port) == (one.host, one.port) for one in leases):
        return None
    return Address(host=row.host, port=row.port, transport=transport)


def _parse_url(url: str, field: str, transport: TransportName) -> Address:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidRequestError.of_field(field, f"{url!r} is not a URL ({error}).") from None
    if parts.scheme not in _SCHEMES or not host:
        raise InvalidRequestError.of_field(
            field, f"{url!r} is not a URL such as http://host:8450 or grpc://host:50051."
        )
    implied, tls, default_port = _SCHEMES[parts.scheme]
    if "auto" not in (implied, transport) and implied != transport:
        raise InvalidRequestError.of_field(field, f"{url!r} and transport {transport!r} contradict each other.")
    return Address(
        host=host,
        port=port or default_port,
        tls=tls,
        transport=implied if transport == "auto" else transport,
    )
