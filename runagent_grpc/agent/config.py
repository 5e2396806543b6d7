"""What `runagent.config.json` says, as values, and everything that is wrong with it (docs/wire.md, configuration).

The text is `config_file.py`'s, the expansion of variables `environment.py`'s, the files it names `loader.py`'s.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import Field, TypeAdapter, ValidationError

from runagent_grpc.agent.config_file import CONFIG_FILE, UnreadableConfigError, find_repeated_keys, read_json_object
from runagent_grpc.agent.entrypoint_config import (
    EntrypointConfig,
    PythonEntrypointConfig,
    WebhookEntrypointConfig,
    is_webhook,
)
from runagent_grpc.agent.problems import InvalidAgentError, did_you_mean
from runagent_grpc.agent.wording import describe, mid_sentence, violations_of

__all__ = [
    "FRAMEWORKS",
    "AgentArchitecture",
    "AgentConfig",
    "AuthSettings",
    "ConfigReading",
    "EntrypointConfig",
    "TemplateSource",
    "examine_config",
    "read_config",
]

Framework = Literal[
    "default",
    "ag2",
    "agno",
    "autogen",
    "crewai",
    "langchain",
    "langgraph",
    "letta",
    "llamaindex",
    "openai",
    "n8n",
    "parlant",
    "custom",
]
FRAMEWORKS: tuple[str, ...] = get_args(Framework)

_Text = Annotated[str, Field(min_length=1)]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentArchitecture:
    entrypoints: Annotated[tuple[EntrypointConfig, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    type: Literal["none", "api_key"] = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSource:
    """Where the agent's template came from. Read, and shown to nobody yet."""

    repo_url: str | None = None
    author: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """The configuration of one agent. Its fields have the names and the places that they have in the file."""

    agent_id: _Text
    agent_name: _Text
    framework: Framework
    agent_architecture: AgentArchitecture
    description: str = ""
    template: str = ""
    version: str = ""
    created_at: str = ""
    template_source: TemplateSource = TemplateSource()
    env_vars: dict[str, str] = field(default_factory=dict)
    """As written: `${VAR}` is not expanded yet."""
    auth_settings: AuthSettings = AuthSettings()
    persistent_folders: tuple[str, ...] = ()

    @property
    def entrypoints(self) -> tuple[EntrypointConfig, ...]:
        return self.agent_architecture.entrypoints


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigReading:
    """A configuration as far as it could be read, so that a mistake in it hides no mistake behind it."""

    config: AgentConfig | None
    """None where anything is wrong."""
    problems: tuple[str, ...]
    entrypoints: tuple[EntrypointConfig, ...] = ()
    """Those that are in order."""
    env_vars: dict[str, str] = field(default_factory=dict)
    """Those that are in order."""


def read_config(folder: Path) -> AgentConfig:
    """Reads the configuration in a folder, or raises InvalidAgentError with everything that is wrong with it."""
    reading = examine_config(folder)
    if reading.config is None:
        raise InvalidAgentError(reading.problems)
    return reading.config


def examine_config(folder: Path) -> ConfigReading:
    """Reads the configuration in a folder, and raises nothing about what is wrong with it."""
    try:
        written = read_json_object(folder)
    except UnreadableConfigError as error:
        return ConfigReading(config=None, problems=(str(error),))
    fields = _without_nulls(written)
    entries = _entries_of(fields)
    webhooks = [index for index, entry in enumerate(entries) if is_webhook(entry)]

    config: AgentConfig | None = None
    problems = [*find_repeated_keys(written), *_misspelt(fields, entries)]
    try:
        config = _CONFIG.validate_python(fields)
    except ValidationError as error:
        problems += _problems_of(error, fields, ignored=webhooks)
    problems += _not_served_yet(entries)
    problems += _repeated_tags(entries)
    sound = {
        index: entrypoint
        for index, entry in enumerate(entries)
        if not is_webhook(entry) and (entrypoint := _if_valid(_ENTRYPOINT, entry))
    }
    problems += _contradicting_timeouts(sound)
    return ConfigReading(
        config=None if problems else config,
        problems=tuple(problems),
        entrypoints=tuple(sound.values()),
        env_vars=_sound_env_vars(fields.get("env_vars")),
    )


_CONFIG = TypeAdapter(AgentConfig)
_ENTRYPOINT = TypeAdapter[EntrypointConfig](EntrypointConfig)


def _without_nulls(written: dict[str, Any]) -> dict[str, Any]:
    """Leaves out what published configurations write null for, which is what they leave out."""
    fields = _given(written, AgentConfig)
    if entries := _entries_of(fields):
        entries = [_given(entry, _kind_of(entry)) if isinstance(entry, dict) else entry for entry in entries]
        fields["agent_architecture"] = {**fields["agent_architecture"], "entrypoints": entries}
    return fields


def _given(written: dict[str, Any], kind: type) -> dict[str, Any]:
    required = {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    return {name: value for name, value in written.items() if value is not None or name in required}


def _entries_of(fields: dict[str, Any]) -> list[Any]:
    architecture = fields.get("agent_architecture")
    entries = architecture.get("entrypoints") if isinstance(architecture, dict) else None
    return entries if isinstance(entries, list) else []


def _misspelt(fields: dict[str, Any], entries: list[Any]) -> list[str]:
    """Says which unknown names are near a known one. Whatever else a file holds is ignored."""
    places: list[tuple[str, Any, Iterable[str]]] = [
        ("", fields, _names_of(AgentConfig)),
        ("agent_architecture.", fields.get("agent_architecture"), _names_of(AgentArchitecture)),
        ("auth_settings.", fields.get("auth_settings"), _names_of(AuthSettings)),
        *(
            (f"agent_architecture.entrypoints[{index}].", entry, _names_of(_kind_of(entry)))
            for index, entry in enumerate(entries)
        ),
    ]
    return [
        f"{CONFIG_FILE}: `{place}{name}`: there is no such field. Did you mean `{near[0]}`?"
        for place, value, known in places
        if isinstance(value, dict)
        for name in value.keys() - set(known)
        if (near := difflib.get_close_matches(name, set(known) - value.keys(), n=1, cutoff=0.8))
    ]


def _kind_of(entry: Any) -> type[PythonEntrypointConfig | WebhookEntrypointConfig]:
    return WebhookEntrypointConfig if is_webhook(entry) else PythonEntrypointConfig


def _names_of(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def _not_served_yet(entries: list[Any]) -> list[str]:
    """Says which documented parts of entrypoints we do not have yet: to ignore them would serve something else."""
    problems = []
    for index, entry in enumerate(entries):
        where = f"{CONFIG_FILE}: `agent_architecture.entrypoints[{index}]"
        if is_webhook(entry):
            problems.append(
                f"{where}`: a webhook entrypoint is not served yet. Call the webhook from a function instead."
            )
        if isinstance(entry, dict) and entry.get("extractor"):
            problems.append(f"{where}.extractor`: an extractor is not served yet. Remove it, or leave it empty.")
    return problems


def _repeated_tags(entries: list[Any]) -> list[str]:
    tags = Counter(tag for entry in entries if isinstance(entry, dict) and isinstance(tag := entry.get("tag"), str))
    repeated = ", ".join(f"{describe(tag).removeprefix('the string ')}" for tag, count in tags.items() if count > 1)
    return [f"{CONFIG_FILE}: All entrypoint tags must be unique: rename one of {repeated}."] if repeated else []


def _contradicting_timeouts(sound: dict[int, EntrypointConfig]) -> list[str]:
    return [
        f"{CONFIG_FILE}: `agent_architecture.entrypoints[{index}].timeout_seconds`: {entrypoint.timeout_seconds:g} "
        f"is more than its `max_timeout_seconds`, {entrypoint.max_timeout_seconds:g}. Change one of them."
        for index, entrypoint in sound.items()
        if entrypoint.timeout_seconds is not None
        and entrypoint.max_timeout_seconds is not None
        and entrypoint.timeout_seconds > entrypoint.max_timeout_seconds
    ]


def _problems_of(error: ValidationError, fields: dict[str, Any], *, ignored: list[int]) -> list[str]:
    ignored_places = tuple(f"agent_architecture.entrypoints[{index}]" for index in ignored)
    problems = []
    for violation in violations_of(error, fields, ""):
        path, description = violation.field, mid_sentence(violation.description)
        if path.startswith(ignored_places):
            continue
        if path == "agent_architecture.entrypoints" and "at least 1" in description:
            if _entries_of(fields):
                # None is left because each is wrong, which is said of each.
                continue
            description = "expected at least one entrypoint, got an empty array."
        if path == "framework" and isinstance(fields.get("framework"), str):
            description += did_you_mean(fields["framework"], FRAMEWORKS)
        problems.append(f"{CONFIG_FILE}: `{path}`: {description}")
    return problems


def _sound_env_vars(env_vars: Any) -> dict[str, str]:
    if not isinstance(env_vars, dict):
        return {}
    return {name: value for name, value in env_vars.items() if isinstance(value, str)}


def _if_valid(adapter: TypeAdapter[_T], value: Any) -> _T | None:
    try:
        return adapter.validate_python(value)
    except ValidationError:
        return None
