"""What a review looks at: an agent as far as it could be loaded, and where each part of it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runagent_grpc.lint.finding import Remark
from runagent_grpc.lint.source import Source, file_of
from runagent_grpc.worker.config.file import config_files_in
from runagent_grpc.worker.config.source_values import as_text
from runagent_grpc.worker.entrypoint import Entrypoint
from runagent_grpc.worker.environment_overlay import process_environment
from runagent_grpc.worker.loader import LoadResult
from runagent_grpc.worker.tracebacks import own_path

__all__ = ["Subject", "WrittenHere", "subject_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenHere:
    """An entrypoint with the source of its function, in a file of the author's."""

    entrypoint: Entrypoint
    source: Source
    file: str
    """A path within the agent's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    folder: Path
    config_file: str
    """The name of the file that was read."""
    unread_files: Sequence[str] = ()
    """Those beside it that are configurations, too, and do not count."""
    derived_id: str | None = None
    """The agent's id, where the configuration has none."""
    config: Mapping[str, Any]
    """The configuration as it is written, however wrong; empty where it cannot be read."""
    lines: Mapping[str, int] = field(default_factory=dict)
    """In which line of the configuration a field stands."""
    entrypoints: Sequence[Entrypoint] = ()
    """Those that could be loaded."""
    written_here: Sequence[WrittenHere] = ()
    """The entrypoints whose functions the author wrote.

    What a library makes is its makers' business: their annotations and their names are not the author's to change.
    """
    environment: Mapping[str, str] = field(default_factory=dict)
    """What variables would be set without the configuration's `env_vars`."""

    @property
    def entries(self) -> Sequence[Any]:
        """The entrypoints as they are written."""
        architecture = self.config.get("agent_architecture")
        entries = architecture.get("entrypoints") if isinstance(architecture, Mapping) else None
        return entries if isinstance(entries, list) else []

    @property
    def env_vars(self) -> Mapping[str, str]:
        """The configuration's variables as they are written, as far as they are strings."""
        env_vars = self.config.get("env_vars")
        if not isinstance(env_vars, Mapping):
            return {}
        texts = {name: as_text(value) for name, value in env_vars.items()}
        return {name: text for name, text in texts.items() if isinstance(text, str)}

    def line_of(self, path: str) -> int | None:
        """Returns the line of a field, or of what it is missing from."""
        above = (path[:end] for end in range(len(path) - 1, 0, -1) if path[end] in ".[")
        return next((self.lines[place] for place in (path, *above) if place in self.lines), None)

    def line_of_tag(self, tag: str) -> int | None:
        """Returns the line in which an entrypoint's tag stands."""
        for index, entry in enumerate(self.entries):
            if isinstance(entry, Mapping) and entry.get("tag") == tag:
                return self.line_of(f"agent_architecture.entrypoints[{index}].tag")
        return None

    def in_config(self, path: str, text: str) -> Remark:
        """Remarks on a field of the configuration."""
        return Remark(file=self.config_file, line=self.line_of(path), text=f"`{path}` {text}")


def subject_of(examination: LoadResult) -> Subject:
    """Takes from what was loaded the places and the words of it."""
    folder, name, source = examination.folder, examination.reading.file, examination.reading.source
    return Subject(
        folder=folder,
        config_file=name,
        unread_files=[file for file in config_files_in(folder) if file != name],
        derived_id=examination.reading.derived_id,
        config=source.value if source else {},
        lines=source.lines() if source else {},
        entrypoints=examination.entrypoints,
        written_here=tuple(_written_here(examination)),
        environment={**process_environment(), **examination.env_file},
    )


def _written_here(examination: LoadResult) -> Iterator[WrittenHere]:
    for entrypoint in examination.entrypoints:
        path = own_path(file_of(entrypoint.function), examination.folder)
        if path and (source := Source.of(entrypoint.function)):
            yield WrittenHere(entrypoint=entrypoint, source=source, file=path.as_posix())
