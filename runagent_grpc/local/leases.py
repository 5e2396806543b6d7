"""The folder of leases: one file a server, written by atomic rename, its owner's alone.

A client sends its key where a lease leads. So a file or a folder that another user owns, or can write to, is never
read. Whether the server of a lease lives is `probe.py`'s to know.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from runagent_grpc.errors import InternalError
from runagent_grpc.local.lease import Lease
from runagent_grpc.local.private_files import check_folder, make_file, make_folder

__all__ = ["IgnoredLease", "LeaseFolder", "LeaseReading"]

_FOLDER = "servers"
_MAX_BYTES = 1024 * 1024
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoredLease:
    """A file, or the whole folder, that was not used."""

    path: Path
    reason: str
    """Follows the path in a sentence, such as "is writable by other users"."""

    def __str__(self) -> str:
        return f"{self.path} {self.reason}."


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseReading:
    """What the folder holds."""

    leases: tuple[Lease, ...] = ()
    """Those that can be trusted, the server that started last first."""
    ignored: tuple[IgnoredLease, ...] = ()

    def of_agent(self, agent_id: str) -> tuple[Lease, ...]:
        """Returns the leases of the servers of one agent, in the same order."""
        return tuple(lease for lease in self.leases if lease.agent(agent_id) is not None)


class LeaseFolder:
    """The leases in `servers`, beside the registry."""

    def __init__(self, registry: Path) -> None:
        """`registry` is the file of the registry. Touches nothing yet."""
        self.path = registry.with_name(_FOLDER)

    def write(self, lease: Lease) -> None:
        """Writes a server's lease. Raises InternalError where that is not possible."""
        hidden = self.path / f".{lease.instance_id}.new"
        try:
            self._make()
            file = make_file(hidden)
            try:
                with file:
                    file.write(lease.to_json().encode())
                hidden.replace(self._file_of(lease.instance_id))
            except BaseException:
                hidden.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise InternalError(
                "The server's lease, in the folder `servers` of RUNAGENT_CACHE_DIR (by default ~/.runagent), cannot be "
                "written.",
                suggestion="Make sure that this user owns the folder and can write to it.",
                details=f"{type(error).__name__}: {error}",
            ) from None

    def remove(self, instance_id: str) -> None:
        """Removes a lease, if it is there and can be removed."""
        with contextlib.suppress(OSError):
            self._file_of(instance_id).unlink(missing_ok=True)

    def read(self) -> LeaseReading:
        """Returns every lease that can be trusted, and what was ignored. Makes nothing where there is no folder.

        Raises InternalError where others may change what is in the cache folder.
        """
        check_folder(self.path.parent)
        try:
            folder = self.path.lstat()
            if reason := _distrust(folder, stat.S_ISDIR):
                return LeaseReading(ignored=(IgnoredLease(path=self.path, reason=reason),))
            paths = sorted(self.path.glob("*.json"))
        except FileNotFoundError:
            return LeaseReading()
        except OSError as error:
            return LeaseReading(ignored=(IgnoredLease(path=self.path, reason=_cannot_be_read(error)),))
        leases: list[Lease] = []
        ignored: list[IgnoredLease] = []
        for path in paths:
            try:
                leases.append(_read(path))
            except FileNotFoundError:
                # Its server has just stopped.
                continue
            except OSError as error:
                ignored.append(IgnoredLease(path=path, reason=_cannot_be_read(error)))
            except ValueError as error:
                ignored.append(IgnoredLease(path=path, reason=str(error)))
        leases.sort(key=lambda lease: (lease.started_at, lease.instance_id), reverse=True)
        return LeaseReading(leases=tuple(leases), ignored=tuple(ignored))

    def _make(self) -> None:
        make_folder(self.path.parent)
        self.path.mkdir(mode=0o700, exist_ok=True)
        status = self.path.lstat()
        if _distrust(status, stat.S_ISDIR) and _is_own(status) and stat.S_ISDIR(status.st_mode):
            self.path.chmod(0o700)
        elif reason := _distrust(status, stat.S_ISDIR):
            raise OSError(errno.EPERM, f"The folder {reason}", str(self.path))

    def _file_of(self, instance_id: str) -> Path:
        return self.path / f"{instance_id}.json"


def _read(path: Path) -> Lease:
    """Raises OSError, or ValueError with a text that follows the path."""
    # Links lead out of the folder, and opening a pipe would wait for its other end.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(os.open(path, flags), "rb") as file:
        if reason := _distrust(os.fstat(file.fileno()), stat.S_ISREG):
            raise ValueError(reason)
        text = file.read(_MAX_BYTES + 1)
    if len(text) > _MAX_BYTES:
        raise ValueError("is larger than a lease can be")
    lease = Lease.from_json(text)
    if lease.instance_id != path.stem:
        raise ValueError("is not named after its `instance_id`")
    return lease


if sys.platform == "win32":

    def _is_own(status: os.stat_result) -> bool:
        """Windows keeps other users out of a home folder by lists that these bits do not show."""
        return True

    def _distrust(status: os.stat_result, is_kind: object) -> str:
        return ""

else:
    from collections.abc import Callable

    def _is_own(status: os.stat_result) -> bool:
        return status.st_uid == os.geteuid()

    def _distrust(status: os.stat_result, is_kind: Callable[[int], bool]) -> str:
        """Returns why a file or folder is not to be trusted, in words that follow its path; empty where it is."""
        if not is_kind(status.st_mode):
            return "is not a folder" if is_kind is stat.S_ISDIR else "is not a file"
        if not _is_own(status):
            return "is owned by another user"
        if status.st_mode & _OTHERS_MAY_WRITE:
            return "is writable by other users"
        return ""


def _cannot_be_read(error: OSError) -> str:
    return f"cannot be read ({error.strerror or error})"
