"""Writes the clients for code that blocks from those for asyncio: `make unasync`; `make check-unasync` compares them.

Only twins that are alike to the letter are generated (docs/design.md, the two clients). A rule that changes nothing in
any of them is an error, so that the table holds no leftovers.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

__all__ = ["TWINS", "generate", "main"]

ROOT = Path(__file__).parent.parent

CLIENT = "runagent_grpc/client"

TWINS = {
    f"{CLIENT}/aio.py": f"{CLIENT}/sync.py",
    f"{CLIENT}/http_aio.py": f"{CLIENT}/http_sync.py",
    f"{CLIENT}/transport_aio.py": f"{CLIENT}/transport_sync.py",
}
"""By the file for asyncio: the file that is generated from it."""

_RULES = (
    # The language.
    (r"\ban `async with`", "a `with`"),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    # The library.
    (r"\bfrom collections\.abc import Awaitable, Callable\b", "from collections.abc import Callable"),
    (r"\bAwaitable\[(\w+)\]", r"\1"),
    (r"\bimport asyncio\b", "import time"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    # Names of this package.
    (r"\bAsync([A-Z])", r"\1"),
    (r"_aio\b", "_sync"),
    # Sentences, where callers of the two have to know different things.
    (r"\bfor asyncio\b", "for code that blocks"),
    (r"\ban async iterator\b", "an iterator"),
    (r"\bBelongs to (the|one) event loop( that it is first used on)?\.", "Threads may share it."),
    (r"\bThe call starts with the first chunk that is asked for\.", "The call is under way when this returns."),
)
"""Patterns and what replaces them, in this order."""


def generate(sources: dict[str, str]) -> dict[str, str]:
    """Returns the twins' texts from the sources' texts, each by the name of the source.

    Raises ValueError where a rule matches in no source.
    """
    texts = dict(sources)
    for pattern, replacement in _RULES:
        count = 0
        for name, text in texts.items():
            texts[name], replaced = re.subn(pattern, replacement, text)
            count += replaced
        if not count:
            raise ValueError(f"The rule {pattern!r} matches nothing; remove it.")
    return {
        name: _formatted(f"# Generated from {name} by scripts/unasync.py; do not edit.\n{text}", TWINS[name])
        for name, text in texts.items()
    }


def main(arguments: list[str]) -> int:
    """Writes the twins. With `--check` it writes nothing, and returns 1 where one is not what it would write."""
    sources = {name: (ROOT / name).read_text(encoding="utf-8") for name in TWINS}
    stale = []
    for name, text in generate(sources).items():
        twin = ROOT / TWINS[name]
        if not twin.exists() or twin.read_text(encoding="utf-8") != text:
            stale.append(TWINS[name])
            if "--check" not in arguments:
                twin.write_text(text, encoding="utf-8")
    if stale and "--check" in arguments:
        print(f"Not what `make unasync` writes: {', '.join(stale)}.", file=sys.stderr)  # noqa: T201 - a command
        return 1
    return 0


def _formatted(text: str, name: str) -> str:
    """Returns the text as `make format` leaves it: without `async`, lines fit that did not, and imports sort anew."""
    for command in (["check", "--quiet", "--select", "I", "--fix"], ["format", "--quiet"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", name, "-"]
        done = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True, cwd=ROOT)  # noqa: S603 - ours
        text = done.stdout
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
