"""How findings look as text, on a terminal of 80 columns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["bar", "block", "number", "plural", "share", "shown", "size_of", "sparkline"]

WIDTH = 80
NAME_WIDTH = 15
LEVELS = "▁▂▃▄▅▆▇█"


def shown(value: str, width: int = 24) -> str:
    """Makes a value fit to print: no control characters, and not longer than `width`."""
    printable = "".join(character if character.isprintable() else "?" for character in value[: width + 1])
    return printable if len(printable) <= width else printable[: width - 1] + "…"


def number(value: float) -> str:
    """Writes a number the way people read it: 1,234 or 3.25, and powers of ten only where nothing else fits."""
    if value != 0 and not 0.01 <= abs(value) < 1e12:
        return f"{value:.3g}"
    text = f"{value:,.2f}"
    return text.rstrip("0").rstrip(".")


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def share(part: int, whole: int) -> str:
    """Writes a part as a percentage; a part that is there but rounds to nothing is below one percent."""
    percent = 100 * part / whole if whole else 0.0
    return "<1 %" if 0 < percent < 1 else f"{percent:.0f} %"


def size_of(count: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000 or unit == "MB":
            break
        count //= 1000
    return f"{count:,} {unit}"


def bar(part: int, whole: int, width: int = 30) -> str:
    return "█" * max(1, round(width * part / whole)) if part else ""


def sparkline(counts: Sequence[int]) -> str:
    """Draws counts as a row of little columns; a zero stays blank, so that gaps show."""
    top = max(counts, default=0)
    return "".join(LEVELS[math.ceil(len(LEVELS) * count / top) - 1] if count else " " for count in counts)


def block(name: str, lines: Iterable[str]) -> str:
    """Puts a name beside its lines, the first of which says most."""
    labels = [shown(name, NAME_WIDTH - 1)]
    rows = []
    for line in lines:
        label = labels.pop() if labels else ""
        rows.append(f"{label:<{NAME_WIDTH}}{line}"[:WIDTH].rstrip())
    return "\n".join(rows)
