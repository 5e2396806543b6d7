"""What is recorded of a call. That it was made, and how it ended, always is."""

from __future__ import annotations

from dataclasses import dataclass

from runagent_grpc.settings.declaration import Unit, setting

__all__ = ["RecordingSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSettings:
    """How much of what goes in and comes out is kept."""

    record_payloads: bool = setting(
        True, name="payloads", flag=True, help="Keep input, results and chunks in the history."
    )
    max_recorded_bytes: int = setting(
        64 * 1024,
        flag=True,
        unit=Unit.BYTES,
        minimum=256,
        maximum=2**31 - 1,
        help="How much of a call's input, and of its output, the history keeps.",
    )
    journal: bool = setting(
        False,
        flag=True,
        help="Keep the chunks of streams that can be resumed on disk, unmasked, so that they outlive a crash.",
    )
    journal_seconds: float = setting(
        3600.0,
        unit=Unit.SECONDS,
        minimum=0,
        maximum=365 * 24 * 3600,
        help="How long the journal of an invocation is kept after its end.",
    )
