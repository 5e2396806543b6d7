"""Files that only their owner may read, in a folder that only their owner may change.

What is kept beside the registry includes callers' inputs and API keys. So a file is made with mode 0600, one of the
user's own that others can read is closed to them, and what others could have put there is refused: a folder or a file
of another user's, a link of another user's, and what others may write. Root counts as the machine's, not as another
user. A sticky folder such as /tmp is taken, because nobody can replace another's file there. A group counts as others
unless it is the user's own, whose id is the user's.

Systems without such modes (Windows) are left to their own rules.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from pathlib import Path
from typing import IO

from runagent_grpc.errors import InternalError

__all__ = ["check_database", "check_file", "check_folder", "make_file", "make_folder", "prepare_database"]

_FOLDER_MODE = 0o700
_FILE_MODE = 0o600
_OF_OTHERS = 0o077

_BESIDE_DATABASE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database. It plays back what it finds there, so those are checked like the database."""

_making = threading.Lock()

_ROOT = 0


_CACHE_FOLDER = "RUNAGENT_CACHE_DIR (by default ~/.runagent)"


def make_folder(folder: Path, *, name: str = "") -> None:
    """Makes the folder where it is missing, for its owner alone. Raises as `check_folder` does, and OSError."""
    folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    check_folder(folder, name=name)


def check_folder(folder: Path, *, name: str = "") -> None:
    """Raises InternalError where somebody else could change what is in the folder. One that is missing is fine.

    `name` is what it is called within the cache folder; empty is the cache folder itself.
    """
    if (info := _info(folder)) is None:
        return
    if stat.S_ISLNK(info.st_mode):
        if _is_strangers(info):
            raise _unsafe_folder(name, "is a link of another user's")
        try:
            info = folder.stat()
        except FileNotFoundError:
            return
    if not stat.S_ISDIR(info.st_mode):
        # Whoever opens it says so better.
        return
    if _is_strangers(info):
        raise _unsafe_folder(name, "belongs to another user")
    if _writable_by_others(info) and not info.st_mode & stat.S_ISVTX:
        raise _unsafe_folder(name, "can be written to by other users", "Run `chmod go-w` on it, or ")


def check_file(path: Path) -> None:
    """Raises InternalError for a file that others made, linked or may have changed; closes it to other readers.

    A file that is missing is fine. Its folder is checked, too.
    """
    check_folder(path.parent)
    _check_file(path)


def check_database(path: Path) -> None:
    """Checks a SQLite database and what SQLite keeps beside it, as `check_file` does."""
    check_file(path)
    for end in _BESIDE_DATABASE:
        _check_file(path.with_name(path.name + end))


def prepare_database(path: Path) -> None:
    """Makes an empty database where none is, in a folder that is made where it is missing, and checks both.

    SQLite itself would give it the mode that the umask says, and others could open it before it is closed to them. The
    files that SQLite adds get the database's mode.
    """
    make_folder(path.parent)
    # Under the lock: closing a file takes away the locks that SQLite holds on it elsewhere in this process. So nobody
    # here may open the new file before this descriptor is closed.
    with _making, contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _FILE_MODE))
    check_database(path)


def make_file(path: Path) -> IO[bytes]:
    """Makes a file that must not be there yet, for its owner alone, and opens it for writing. Raises OSError.

    Programs that this process starts do not inherit it.
    """
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), _FILE_MODE), "wb")


def _check_file(path: Path) -> None:
    if (info := _info(path)) is None:
        return
    if stat.S_ISLNK(info.st_mode):
        raise _unsafe_file(path, "is a link")
    if not stat.S_ISREG(info.st_mode):
        if _is_strangers(info):
            raise _unsafe_file(path, "belongs to another user")
        # Whoever opens it says so better.
        return
    if _is_strangers(info):
        raise _unsafe_file(path, "belongs to another user")
    if _writable_by_others(info):
        raise _unsafe_file(path, "can be written to by other users")
    if info.st_mode & _OF_OTHERS and info.st_uid == os.geteuid():
        path.chmod(_FILE_MODE)


def _info(path: Path) -> os.stat_result | None:
    """Returns what the path itself is, not what it links to; None where nothing is there, and on Windows."""
    if not hasattr(os, "geteuid"):
        return None
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_strangers(info: os.stat_result) -> bool:
    return info.st_uid not in (_ROOT, os.geteuid())


def _writable_by_others(info: os.stat_result) -> bool:
    shared_group = info.st_mode & stat.S_IWGRP and info.st_gid != os.geteuid()
    return bool(info.st_mode & stat.S_IWOTH or shared_group)


# Without paths, for the error may reach a caller elsewhere.
def _unsafe_folder(name: str, what: str, remedy: str = "") -> InternalError:
    return InternalError(
        f"The folder {f'{name} in ' if name else ''}{_CACHE_FOLDER} {what}, so it is not used.",
        suggestion=f"{remedy}{'set' if remedy else 'Set'} RUNAGENT_CACHE_DIR to a folder of this user's own.",
    )


def _unsafe_file(path: Path, what: str) -> InternalError:
    return InternalError(
        f"{path.name} in {_CACHE_FOLDER} {what}, so it is not used.",
        suggestion="Look at who made it and what it holds, then move it away; a new one is made where it is needed.",
    )
