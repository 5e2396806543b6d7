"""A lease: what one running server says of itself to clients on the same machine (docs/wire.md, leases).

It owns the fields, their JSON, and what a reader accepts of them. Files are `leases.py`'s.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeGuard

__all__ = ["FORMAT_VERSION", "Lease", "LeasedAgent"]

FORMAT_VERSION: Final = 1
"""Changes when a reader of the old format would misunderstand the new one. New fields alone do not change it."""

_INSTANCE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_STARTED_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
# A name or an address, and nothing that could make another URL of it.
_HOST = re.compile(r"[A-Za-z0-9._:%-]{1,255}")
_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - refused, not bound
_LARGEST_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedAgent:
    """An agent that a server serves. Only the id is never empty."""

    agent_id: str
    agent_name: str = ""
    agent_path: str = ""
    """The agent's folder."""
    framework: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A server, and where it is."""

    instance_id: str
    """Names this run of the server. No other server has it, nor the same one after a restart."""
    pid: int
    hostname: str = ""
    """The name of the machine, or of the container, that the server runs on."""
    started_at: str
    """UTC, as `2026-01-31T12:00:00.000000Z`: always of the same length, so that it sorts as text."""
    host: str
    """Where clients on this machine connect; never a wildcard address."""
    http_port: int | None
    grpc_port: int | None
    tls: bool = False
    server_name: str | None = None
    """The name to expect in the server's certificate, where that is not `host`."""
    ca_file: str | None = None
    """The certificates to trust, as a file in PEM."""
    agents: tuple[LeasedAgent, ...] = ()

    @property
    def port(self) -> int:
        """The port that clients find everything from: that of HTTP, where there is one."""
        return self.http_port or self.grpc_port or 0

    def agent(self, agent_id: str) -> LeasedAgent | None:
        """Returns one of the agents; None where the server does not serve it."""
        return next((agent for agent in self.agents if agent.agent_id == agent_id), None)

    def to_json(self) -> str:
        """Returns the text of the lease's file."""
        return json.dumps({"format_version": FORMAT_VERSION, **asdict(self)}, indent=2)

    @classmethod
    def from_json(cls, text: bytes) -> Lease:
        """Reads the text of a lease's file. Raises ValueError, with a text that follows "it", for any other."""
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("is not JSON") from None
        if not isinstance(fields, dict):
            raise ValueError("is not a JSON object")
        _check_version(fields.get("format_version"))
        host, http_port, grpc_port = fields.get("host"), _port(fields, "http_port"), _port(fields, "grpc_port")
        if not isinstance(host, str) or not _HOST.fullmatch(host) or host in _WILDCARDS:
            raise ValueError("has no valid `host`")
        if http_port is None and grpc_port is None:
            raise ValueError("has neither `http_port` nor `grpc_port`")
        pid, agents = fields.get("pid"), fields.get("agents")
        if not _is_number(pid) or pid < 1:
            raise ValueError("has no valid `pid`")
        if not isinstance(agents, list):
            raise ValueError("has no list of `agents`")
        if not isinstance(fields.get("tls", False), bool):
            raise ValueError("has no valid `tls`")
        return cls(
            instance_id=_matching(fields, "instance_id", _INSTANCE_ID),
            pid=pid,
            hostname=_text(fields, "hostname") or "",
            started_at=_matching(fields, "started_at", _STARTED_AT),
            host=host,
            http_port=http_port,
            grpc_port=grpc_port,
            tls=fields.get("tls", False),
            server_name=_text(fields, "server_name"),
            ca_file=_text(fields, "ca_file"),
            agents=tuple(_agent_of(agent) for agent in agents),
        )


def _check_version(version: Any) -> None:
    if not _is_number(version) or version < 1:
        raise ValueError("has no valid `format_version`")
    if version > FORMAT_VERSION:
        raise ValueError(f"has format version {version}, newer than this client reads; upgrade the client")


def _agent_of(fields: Any) -> LeasedAgent:
    if not isinstance(fields, dict) or not _text(fields, "agent_id"):
        raise ValueError("has an agent without `agent_id`")
    names = ("agent_id", "agent_name", "agent_path", "framework", "version")
    return LeasedAgent(**{name: _text(fields, name) or "" for name in names})


def _text(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"has no valid `{name}`")
    return value


def _matching(fields: dict[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"has no valid `{name}`")
    return value


def _port(fields: dict[str, Any], name: str) -> int | None:
    value = fields.get(name)
    if value is not None and not (_is_number(value) and 0 < value <= _LARGEST_PORT):
        raise ValueError(f"has no valid `{name}`")
    return value


def _is_number(value: Any) -> TypeGuard[int]:
    # JSON's true is Python's 1.
    return isinstance(value, int) and not isinstance(value, bool)
