"""What is recorded of a call, with defaults."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RecordingSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSettings:
    """How much of what goes in and comes out is kept. That a call was made, and how it ended, always is."""

    record_payloads: bool = True
    """Whether input, results and chunks are kept."""
    max_recorded_bytes: int = 64 * 1024
    """How much of one invocation's input, and of its output, is kept."""
    journal_seconds: float = 3600.0
    """How long the chunks in the journal are kept after their invocation's end."""
