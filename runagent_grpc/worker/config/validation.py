"""Reads a configuration, and says everything that is wrong with it (docs/wire.md, configuration).

The text is `file.py`'s; what becomes of its variables, and of the files it names, is for others to know.
"""

from __future__ import annotations

import dataclasses
import difflib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pydantic import TypeAdapter, ValidationError

from runagent_grpc.worker.config.agent import FRAMEWORKS, AgentArchitecture, AgentConfig, AuthSettings
from runagent_grpc.worker.config.entrypoint import (
    EntrypointConfig,
    PythonEntrypointConfig,
    WebhookEntrypointConfig,
    is_webhook,
)
from runagent_grpc.worker.config.file import ConfigFile, UnreadableConfigError, read_config_file
from runagent_grpc.worker.config.source_values import as_text, repeated_keys
from runagent_grpc.worker.problems import InvalidAgentError, Problem, ProblemKind, did_you_mean
from runagent_grpc.worker.wording import describe, mid_sentence, violations_of

__all__ = ["ConfigReading", "examine_config", "read_config"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigReading:
    """A configuration as far as it could be read, so that a mistake in it hides no mistake behind it."""

    file: str
    """The name of the file that was read."""
    config: AgentConfig | None
    """None where anything is wrong."""
    problems: tuple[Problem, ...]
    entrypoints: Mapping[int, EntrypointConfig] = field(default_factory=dict)
    """Those that are in order, by their index in the file."""
    env_vars: dict[str, str] = field(default_factory=dict)
    """Those that are in order."""
    source: ConfigFile | None = None
    """All that the file says, as it says it, where it could be read."""
    derived_id: str | None = None
    """The agent's id, where the file has none."""


def read_config(folder: Path) -> AgentConfig:
    """Reads the configuration in a folder, or raises InvalidAgentError with everything that is wrong with it."""
    reading = examine_config(folder)
    if reading.config is None:
        raise InvalidAgentError(reading.problems)
    return reading.config


def examine_config(folder: Path) -> ConfigReading:
    """Reads the configuration in a folder, and raises nothing about what is wrong with it."""
    try:
        file = read_config_file(folder)
    except UnreadableConfigError as error:
        return ConfigReading(file=error.file, config=None, problems=(error.problem,))
    fields = _without_nulls(file.value)
    derived_id = None if fields.get("agent_id") is not None else _derived_id(folder)
    if derived_id is not None:
        fields["agent_id"] = derived_id
    entries = _entries_of(fields)

    config: AgentConfig | None = None
    wrong = [(path, f"`{path}` is given more than once. Keep one of them.") for path in repeated_keys(file.value)]
    wrong += _misspelt(fields, entries)
    try:
        config = _CONFIG.validate_python(fields)
    except ValidationError as error:
        wrong += _misfits(error, fields)
    wrong += _both_kinds(entries)
    wrong += _repeated_tags(entries)
    sound = {index: entrypoint for index, entry in enumerate(entries) if (entrypoint := _if_valid(_ENTRYPOINT, entry))}
    wrong += _contradicting_timeouts(sound)
    return ConfigReading(
        file=file.name,
        config=None if wrong else config,
        problems=tuple(
            Problem(kind=_kind_of_problem(path), text=text, file=file.name, field=path) for path, text in wrong
        ),
        entrypoints=sound,
        env_vars=_sound_env_vars(fields.get("env_vars")),
        source=file,
        derived_id=derived_id,
    )


_Wrong: TypeAlias = tuple[str, str]
"""The path of a field, and what is wrong with it."""

_CONFIG = TypeAdapter(AgentConfig)
_ENTRYPOINT = TypeAdapter[EntrypointConfig](EntrypointConfig)


def _kind_of_problem(path: str) -> ProblemKind:
    return ProblemKind.ENVIRONMENT if path.startswith("env_vars") else ProblemKind.CONFIGURATION


def _derived_id(folder: Path) -> str:
    """Returns an id that the folder keeps for as long as it stays where it is."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, folder.resolve().as_uri()))


def _without_nulls(written: dict[str, Any]) -> dict[str, Any]:
    """Leaves out what published configurations write null for, which is what they leave out."""
    fields = _given(written, AgentConfig)
    if entries := _entries_of(fields):
        entries = [_given(entry, _kind_of(entry)) if isinstance(entry, dict) else entry for entry in entries]
        fields["agent_architecture"] = {**fields["agent_architecture"], "entrypoints": entries}
    if isinstance(env_vars := fields.get("env_vars"), dict):
        fields["env_vars"] = {name: value for name, value in env_vars.items() if value is not None}
    return fields


def _given(written: dict[str, Any], kind: type) -> dict[str, Any]:
    required = _required_of(kind)
    return {name: value for name, value in written.items() if value is not None or name in required}


def _entries_of(fields: dict[str, Any]) -> list[Any]:
    architecture = fields.get("agent_architecture")
    entries = architecture.get("entrypoints") if isinstance(architecture, dict) else None
    return entries if isinstance(entries, list) else []


def _misspelt(fields: dict[str, Any], entries: list[Any]) -> list[_Wrong]:
    """Says which unknown names are near a known one. Whatever else a file holds is ignored."""
    places: list[tuple[str, Any, type]] = [
        ("", fields, AgentConfig),
        ("agent_architecture.", fields.get("agent_architecture"), AgentArchitecture),
        ("auth_settings.", fields.get("auth_settings"), AuthSettings),
        *((f"{_entry(index)}.", entry, _kind_of(entry)) for index, entry in enumerate(entries)),
    ]
    return [
        (place + name, f"`{place}{name}`: there is no such field. Did you mean `{meant}`?")
        for place, value, kind in places
        if isinstance(value, dict)
        for name in value
        if name not in _names_of(kind) and (meant := _meant(name, value, kind))
    ]


def _meant(name: str, value: dict[str, Any], kind: type) -> str | None:
    near = difflib.get_close_matches(name, _names_of(kind) - value.keys(), n=1, cutoff=0.8)
    # Where a field is missing in any case, a guess refuses nothing that would have been served.
    near = near or difflib.get_close_matches(name, _required_of(kind) - value.keys(), n=1, cutoff=0.6)
    return near[0] if near else None


def _kind_of(entry: Any) -> type[PythonEntrypointConfig | WebhookEntrypointConfig]:
    return WebhookEntrypointConfig if is_webhook(entry) else PythonEntrypointConfig


def _names_of(kind: type) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


def _required_of(kind: type) -> set[str]:
    return {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }


def _both_kinds(entries: list[Any]) -> list[_Wrong]:
    return [
        (place := _entry(index), f"`{place}`: it has a `webhook_url` and a `file`. Keep one of them.")
        for index, entry in enumerate(entries)
        if is_webhook(entry) and entry.get("file") is not None
    ]


def _repeated_tags(entries: list[Any]) -> list[_Wrong]:
    wrong = []
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        tag = entry.get("tag") if isinstance(entry, dict) else None
        if isinstance(tag, str) and tag in seen:
            place = f"{_entry(index)}.tag"
            tag_in_words = describe(tag).removeprefix("the string ")
            wrong.append((place, f"`{place}`: All entrypoint tags must be unique: rename one of {tag_in_words}."))
        elif isinstance(tag, str):
            seen.add(tag)
    return wrong


def _contradicting_timeouts(sound: Mapping[int, EntrypointConfig]) -> list[_Wrong]:
    return [
        (
            place := f"{_entry(index)}.timeout_seconds",
            f"`{place}`: {entrypoint.timeout_seconds:g} is more than its `max_timeout_seconds`, "
            f"{entrypoint.max_timeout_seconds:g}. Change one of them.",
        )
        for index, entrypoint in sound.items()
        if entrypoint.timeout_seconds is not None
        and entrypoint.max_timeout_seconds is not None
        and entrypoint.timeout_seconds > entrypoint.max_timeout_seconds
    ]


def _misfits(error: ValidationError, fields: dict[str, Any]) -> list[_Wrong]:
    wrong = []
    for violation in violations_of(error, fields, ""):
        path, description = violation.field, mid_sentence(violation.description)
        if path == "agent_architecture.entrypoints" and "at least 1" in description:
            if _entries_of(fields):
                # None is left because each is wrong, which is said of each.
                continue
            description = "expected at least one entrypoint, got an empty array."
        if path == "framework" and isinstance(fields.get("framework"), str):
            description += did_you_mean(fields["framework"], FRAMEWORKS)
        wrong.append((path, f"`{path}`: {description}"))
    return wrong


def _entry(index: int) -> str:
    return f"agent_architecture.entrypoints[{index}]"


def _sound_env_vars(env_vars: Any) -> dict[str, str]:
    if not isinstance(env_vars, dict):
        return {}
    return {name: text for name, value in env_vars.items() if isinstance(text := as_text(value), str)}


def _if_valid(adapter: TypeAdapter[_T], value: Any) -> _T | None:
    try:
        return adapter.validate_python(value)
    except ValidationError:
        return None
