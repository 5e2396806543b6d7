"""Which process this is, and whether another one lives: certain on the same machine alone, and not on every system.

A process is known by the machine, its id there and the moment of its start, so that the next process of the same id is
not taken for it. Where the system does not tell all three, nobody is certain, and leases decide (`store/leases.py`).
"""

from __future__ import annotations

import enum
import functools
import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Life", "Process"]

_PROC = Path("/proc")
_AFTER_NAME_START_TIME = 19
"""Which field of /proc/PID/stat the start is, counted after the name, which may itself contain spaces."""
_ENDED = frozenset({"Z", "X"})


class Life(enum.Enum):
    """What is known of a process."""

    LIVES = enum.auto()
    ENDED = enum.auto()
    UNKNOWN = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process of this machine or of another one. Empty strings: the system does not tell."""

    machine: str
    """The boot of a machine, and the namespace on it that process ids belong to."""
    pid: int
    start: str

    @classmethod
    def current(cls) -> Process:
        """Returns this process."""
        pid = os.getpid()
        found = _state_and_start(pid)
        return cls(machine=_machine(), pid=pid, start="" if found is None else found[1])

    def life(self) -> Life:
        """Returns whether it lives. UNKNOWN wherever that is not certain."""
        if not self.machine or not self.start or self.machine != _machine():
            return Life.UNKNOWN
        found = _state_and_start(self.pid)
        if found is None:
            return Life.ENDED
        state, start = found
        # A process that nobody has waited for is there, but runs nothing any more.
        return Life.LIVES if start == self.start and state not in _ENDED else Life.ENDED

    def pid_exists(self) -> bool:
        """Whether this machine has a process of that id, of whatever machine it is."""
        return _state_and_start(self.pid) is not None


@functools.cache
def _machine() -> str:
    """Returns what tells this machine since its last start from every other. Empty where there is no /proc of Linux."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink(_PROC / 'self/ns/pid')}"
    except OSError:
        return ""


def _state_and_start(pid: int) -> tuple[str, str] | None:
    """Returns a letter for what a process does, and when it started. None where there is no such process."""
    try:
        fields = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields[0].decode(), fields[_AFTER_NAME_START_TIME].decode()
