"""Which servers live on this machine: each has a file that says where it is, locked for as long as its process lives.

The lock goes with the process however that ends, so that a server that was killed is told from one that runs. The files
lie in a folder beside the registry, and one that lost its server stays until the agent is served again: it is how
clients know that the address in the registry leads to nobody, or to a stranger. Where the system has no such locks,
nobody is present.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from runagent_grpc.local.locks import HAS_LOCKS, hold, is_held
from runagent_grpc.local.private_files import check_folder, make_file, make_folder

__all__ = ["Presence", "ServerRecord", "forget_dead_servers", "servers_beside"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRecord:
    """A server, and where it is."""

    agent_id: str
    agent_path: str
    """The agent's folder."""
    host: str
    """Where clients on this machine connect."""
    http_port: int | None
    grpc_port: int | None
    pid: int

    @property
    def port(self) -> int:
        """The port that clients find everything from: that of HTTP, where there is one."""
        return self.http_port or self.grpc_port or 0


class Presence:
    """A server that lives, from here to `close` or to the end of the process."""

    def __init__(self, registry: Path, record: ServerRecord) -> None:
        """`registry` is the file of the registry. Raises OSError where nothing can be written beside it,
        and InternalError where other users can."""
        folder = _folder_beside(registry)
        make_folder(folder.parent)
        make_folder(folder, name=folder.name)
        self._path = folder / f"{uuid.uuid4()}.json"
        if not HAS_LOCKS:
            return
        hidden = self._path.with_suffix(".new")
        # Not inherited by programs that the author's code starts: they may outlive the server.
        self._file: IO[bytes] = make_file(hidden)
        try:
            # Locked and written before anybody can find it.
            hold(self._file)
            self._file.write(json.dumps(dataclasses.asdict(record)).encode())
            self._file.flush()
            hidden.rename(self._path)
        except BaseException:
            self._file.close()
            hidden.unlink(missing_ok=True)
            raise

    def close(self) -> None:
        """Leaves nothing behind."""
        if not HAS_LOCKS:
            return
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        self._file.close()


def servers_beside(registry: Path, agent_id: str | None = None) -> tuple[list[ServerRecord], list[ServerRecord]]:
    """Returns the servers that live, and those that ended without a word; of one agent, or of all.

    Raises InternalError for a folder that other users can change.
    """
    living: list[ServerRecord] = []
    dead: list[ServerRecord] = []
    for path in _files(registry):
        read = _read(path)
        if read is not None and agent_id in (None, read[0].agent_id):
            (living if read[1] else dead).append(read[0])
    return living, dead


def forget_dead_servers(registry: Path, agent_id: str) -> None:
    """Removes what servers of the agent that ended without a word have left."""
    for path in _files(registry):
        read = _read(path)
        if read is not None and read[0].agent_id == agent_id and not read[1]:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _folder_beside(registry: Path) -> Path:
    return registry.with_suffix(".servers")


def _files(registry: Path) -> list[Path]:
    if not HAS_LOCKS:
        return []
    folder = _folder_beside(registry)
    with contextlib.suppress(OSError):
        check_folder(folder.parent)
        check_folder(folder, name=folder.name)
        return sorted(folder.glob("*.json"))
    return []


def _read(path: Path) -> tuple[ServerRecord, bool] | None:
    """Returns a server and whether it lives; None for a file that has just gone, or is no server's."""
    with contextlib.suppress(OSError, ValueError, TypeError), path.open("rb") as file:
        fields: dict[str, Any] = json.loads(file.read())
        return ServerRecord(**fields), is_held(file)
    return None
