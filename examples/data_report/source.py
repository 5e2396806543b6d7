"""The file that a report is about: opened with clear errors, read line by line, knowing how far it has come."""

from __future__ import annotations

import codecs
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Source", "open_source"]

HEAD_BYTES = 65_536
LONGEST_LINE_BYTES = 1_048_576


class Source:
    """An open file. Bytes that are not UTF-8 are shown as U+FFFD rather than refused."""

    def __init__(self, name: str, size: int, file: BinaryIO) -> None:
        self.name = name
        self.size = size
        self._file = file
        self._position = 0
        start = file.read(HEAD_BYTES)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise ValueError(f"{name!r} is UTF-16; save it as UTF-8 and try again.")
        if b"\0" in start:
            raise ValueError(f"{name!r} looks like a binary file; give a CSV or log file.")
        self.head = start.decode("utf-8-sig", errors="replace")
        """The start of the file, to guess from."""

    @property
    def percent(self) -> int:
        """How much of the file is read. A file that grows meanwhile stays at 100."""
        return min(100, 100 * self._position // self.size)

    def lines(self) -> Iterator[str]:
        """Reads the file from its start. A line longer than a mebibyte comes in pieces."""
        self._file.seek(0)
        self._position = 0
        while line := self._file.readline(LONGEST_LINE_BYTES):
            encoding = "utf-8" if self._position else "utf-8-sig"
            self._position += len(line)
            yield line.decode(encoding, errors="replace")


@contextmanager
def open_source(path: str) -> Iterator[Source]:
    """Opens a regular file that is not empty. What is wrong with any other is the text of the error."""
    place = Path(path)
    if place.is_dir():
        raise IsADirectoryError(f"{path!r} is a folder; give a CSV or log file in it.")
    if not place.exists():
        raise FileNotFoundError(f"There is no file {path!r}; a relative path starts where the server was started.")
    if not place.is_file():
        raise ValueError(f"{path!r} is not a regular file; give a CSV or log file.")
    try:
        file = place.open("rb")
    except PermissionError:
        raise PermissionError(f"The server's user may not read {path!r}.") from None
    with file:
        size = place.stat().st_size
        if size == 0:
            raise ValueError(f"{path!r} is empty; there is nothing to report.")
        yield Source(place.name, size, file)
