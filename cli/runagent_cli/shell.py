"""A command for a person to paste, within the width of any terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

__all__ = ["INDENT", "pasted"]

INDENT = "  "
_COLUMNS = 80


def pasted(words: Iterable[str]) -> Iterator[str]:
    """Yields the lines of a command, continued as a shell has it. A word that is quoted, or has a value, is one."""
    line = INDENT
    for word in words:
        # Two columns for the backslash.
        if line.strip() and len(line) + len(word) + 2 > _COLUMNS:
            yield f"{line}\\"
            line = INDENT * 2
        line += f"{word} "
    yield line.rstrip()
