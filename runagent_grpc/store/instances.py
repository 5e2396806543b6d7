"""Which servers live: each holds the lock of a file of its own for as long as its process does, however that ends."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path
from typing import IO

from runagent_grpc.local.locks import hold, is_held
from runagent_grpc.local.private_files import make_file, make_folder

__all__ = ["Instance", "forget", "is_alive"]


class Instance:
    """This server, told apart from every other that has used or will use the file. Lives until `close`."""

    def __init__(self, database: Path) -> None:
        self.name = str(uuid.uuid4())
        self._path = _lock_path(database, self.name)
        make_folder(self._path.parent, name=self._path.parent.name)
        # Not inherited by programs that the author's code starts: they may outlive the server.
        self._file: IO[bytes] = make_file(self._path)
        hold(self._file)

    def close(self) -> None:
        """Lets the lock go, and leaves nothing behind."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        self._file.close()


def is_alive(database: Path, name: str) -> bool:
    """Whether the server still runs. Where the system has no such locks, one whose file is there counts as alive."""
    try:
        with _lock_path(database, name).open("rb") as file:
            return is_held(file)
    except FileNotFoundError:
        return False


def forget(database: Path, name: str) -> None:
    """Removes what a server that died has left behind."""
    with contextlib.suppress(OSError):
        _lock_path(database, name).unlink(missing_ok=True)


def _lock_path(database: Path, name: str) -> Path:
    return database.with_suffix(".servers") / f"{name}.lock"
