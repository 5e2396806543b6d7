"""One server's configuration: the settings of all its parts, composed.

What each setting is called, and what it may be, is declared in `runagent_grpc.settings`. Where values come from is
`config_sources.py`'s. API keys are not in it, but for the name of the file that holds them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from runagent_grpc.addresses import is_loopback
from runagent_grpc.core.manifest import AgentManifest
from runagent_grpc.settings import (
    BridgeSettings,
    EngineSettings,
    GrpcSettings,
    ListenSettings,
    RecordingSettings,
    Setting,
    ShutdownSettings,
    settings_of,
)

__all__ = ["SECTIONS", "SETTINGS", "ServerConfig", "UnsafeSettingsError"]


class UnsafeSettingsError(Exception):
    """The configuration would open the agent to strangers. The text says how to mean it, or how to mend it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Where a server listens, whom it lets in, how much it takes on, what it keeps, and how it ends."""

    listen: ListenSettings = field(default_factory=ListenSettings)
    limits: EngineSettings = field(default_factory=EngineSettings)
    grpc: GrpcSettings = field(default_factory=GrpcSettings)
    http: BridgeSettings = field(default_factory=BridgeSettings)
    history: RecordingSettings = field(default_factory=RecordingSettings)
    shutdown: ShutdownSettings = field(default_factory=ShutdownSettings)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> ServerConfig:
        """Returns the configuration with these values by the settings' names, and defaults for the rest.

        Raises TypeError for a name that no setting has.
        """
        if unknown := values.keys() - {setting.name for setting in SETTINGS}:
            raise TypeError(f"There are no such settings: {', '.join(sorted(unknown))}.")
        fields: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
        for setting in SETTINGS:
            if setting.name in values:
                fields[setting.section][setting.field] = values[setting.name]
        return cls(**{section: kind(**fields[section]) for section, kind in SECTIONS.items()})

    def contradictions(self) -> tuple[str, ...]:
        """Returns a sentence for each pair of settings that cannot both hold."""
        found = []
        if not (self.listen.http or self.listen.grpc):
            found.append("`listen.http` and `listen.grpc` are both off. Serve at least one of HTTP and gRPC.")
        if self.history.journal and not self.history.record_payloads:
            found.append(
                "`history.journal` keeps chunks as they are, and `history.payloads` is off. "
                "Record payloads, or leave the journal out."
            )
        return tuple(found)

    def check(self, agent: AgentManifest, *, asks_for_key: bool) -> None:
        """Raises ValueError for settings that contradict each other, and UnsafeSettingsError where anyone could call an
        agent that is not meant for everyone."""
        if contradictions := self.contradictions():
            raise ValueError(" ".join(contradictions))
        if asks_for_key:
            return
        if agent.auth_type == "api_key":
            raise UnsafeSettingsError(
                "The agent's auth_settings ask for API keys, and there are none. "
                "Name a file of keys with --api-key-file, or set RUNAGENT_API_KEYS."
            )
        host = self.listen.host
        if not is_loopback(host) and not self.listen.insecure:
            raise UnsafeSettingsError(
                f"Anyone who reaches {host} could call this agent. Name a file of API keys with --api-key-file, "
                "set RUNAGENT_API_KEYS, or say --insecure to serve without keys."
            )


SECTIONS: Mapping[str, type[Any]] = MappingProxyType(
    {field.name: field.default_factory for field in dataclasses.fields(ServerConfig)}  # type: ignore[misc] # classes
)
"""The dataclass of each section, by the section's name."""

SETTINGS: tuple[Setting, ...] = tuple(
    setting for section, kind in SECTIONS.items() for setting in settings_of(section, kind)
)
"""Every setting, by section. No two share a name."""
