"""What a review of an agent finds: one thing, where it is, and what to do about it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Finding", "Remark", "Severity"]


class Severity(enum.StrEnum):
    ERROR = "error"
    """It keeps the agent from being served."""
    WARNING = "warning"
    """The agent is served, and somebody will wonder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """A warning, before it is known what kind it is of."""

    text: str
    """What is wrong, and what to do about it. One sentence or a few."""
    file: str = ""
    """A path within the agent's folder, and nothing where it is about no file."""
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    severity: Severity
    kind: str
    """A name for programs, such as `stream-without-chunks`."""
    file: str
    """A path within the agent's folder, and nothing where it is about no file."""
    line: int | None
    text: str
    """What is wrong, and what to do about it. It runs over several lines where it quotes the author's code."""
