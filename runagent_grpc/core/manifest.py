"""What every part but the worker knows of an agent: plain data, the same in this process and in another.

Holds no function and no class of the author's. A worker makes it when it loads the agent.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["STREAM_SUFFIX", "AgentManifest", "EntrypointManifest"]

STREAM_SUFFIX = "_stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntrypointManifest:
    """One entrypoint: what it takes, and within which bounds it runs. Times are seconds."""

    tag: str
    description: str = ""
    file: str = ""
    """The file that the configuration names; empty without a configuration."""
    module: str = ""
    """The dotted path that the configuration names."""
    extractor: Mapping[str, str] | None = None
    """The paths that callers get of a result or a chunk, by name; None: the whole of it."""
    input_schema: Mapping[str, Any] = field(default_factory=dict)
    """A JSON Schema (2020-12) of the keyword arguments."""
    positional: tuple[str, ...] = ()
    """The names of the parameters that may be given by position, in order."""
    timeout_seconds: float | None = None
    """How long a call may run that sets no bound itself."""
    max_timeout_seconds: float | None = None
    """How long any call may run."""
    max_concurrent: int | None = None
    """How many calls may run at once."""

    @property
    def streaming(self) -> bool:
        """Whether it streams chunks. The tag alone decides (docs/wire.md, configuration)."""
        return self.tag.endswith(STREAM_SUFFIX)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AgentManifest:
    """An agent, and its entrypoints by tag in the order of the configuration. Told apart by identity."""

    agent_id: str
    agent_name: str
    description: str = ""
    version: str = ""
    framework: str = "custom"
    auth_type: str = "none"
    """"none" or "api_key"."""
    folder: str = ""
    """Where the agent was loaded from; empty where it was not loaded from a folder."""
    entrypoints: Mapping[str, EntrypointManifest]

    def to_json(self) -> str:
        """Returns the manifest as JSON text."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> AgentManifest:
        """Reads what `to_json` wrote. Raises ValueError or TypeError for anything else."""
        fields = json.loads(text)
        entrypoints = {
            tag: EntrypointManifest(**{**entrypoint, "positional": tuple(entrypoint["positional"])})
            for tag, entrypoint in fields.pop("entrypoints").items()
        }
        return cls(**fields, entrypoints=entrypoints)
