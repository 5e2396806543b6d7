"""The settings in effect: what the environment says, and where it is silent what the user keeps; and who says so."""

from __future__ import annotations

import os
from dataclasses import dataclass

__all__ = ["EffectiveSettings", "Setting", "effective_settings", "masked"]

_SHORTEST_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A value, and where it is from. Both are empty where nobody sets it."""

    value: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveSettings:
    """What the commands go by when the command line names no server."""

    base_url: Setting
    api_key: Setting
    key_is_for: str = ""
    """The other base URL that the kept key is for, where it is kept from the one in effect."""


def effective_settings() -> EffectiveSettings:
    """Returns the settings in effect. Raises InternalError where those that are kept cannot be read."""
    from runagent_grpc.local.registry_file import registry_path
    from runagent_grpc.local.user_settings import read_user_settings

    kept = read_user_settings(registry_path())
    base_url = _first("RUNAGENT_BASE_URL", kept.base_url, kept.source)
    key = _first("RUNAGENT_API_KEY", kept.api_key, kept.source)
    withheld = bool(base_url.value and key.source == kept.source and key.value) and not kept.key_for(base_url.value)
    return EffectiveSettings(base_url=base_url, api_key=key, key_is_for=kept.base_url if withheld else "")


def masked(key: str) -> str:
    """Returns what may be shown of a key: its end, by which its owner knows it."""
    return f"****{key[-4:] if len(key) >= _SHORTEST_SHOWN else ''}" if key else ""


def _first(variable: str, kept: str, source: str) -> Setting:
    if value := os.environ.get(variable, "").strip():
        return Setting(value=value, source=variable)
    return Setting(value=kept, source=source) if kept else Setting()
