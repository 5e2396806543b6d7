"""How what was recorded is shown: tables of 80 columns for people, plain JSON for programs."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from runagent_cli.output import printable
from runagent_cli.target import utf8_text

if TYPE_CHECKING:
    from runagent_grpc.core.invocation import InvocationRecord
    from runagent_grpc.store import History

__all__ = [
    "agent_option",
    "format_option",
    "history",
    "invocation_json",
    "json_text",
    "limit_option",
    "local_time",
    "seconds",
    "table",
]

_COLUMNS = 80
_GAP = "  "

agent_option = click.option("--agent-id", metavar="ID", default="", callback=utf8_text, help="Only this agent's.")


def format_option(text: str = "table") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Returns the option `--format`, which is for people unless it is json."""
    return click.option(
        "--format", "output_format", type=click.Choice([text, "json"]), default=text, show_default=True, help="How."
    )


def limit_option(default: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        "--limit",
        type=click.IntRange(1, 1000),
        default=default,
        show_default=True,
        metavar="COUNT",
        help="How many at most.",
    )


def history() -> History:
    """Returns the history of this machine."""
    from runagent_grpc.local.registry_file import registry_path
    from runagent_grpc.store import History

    return History(registry_path())


def json_text(value: Any) -> str:
    """Returns JSON that any program can read, whatever the locale."""
    return json.dumps(value, indent=2) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, elastic: Sequence[int]) -> str:
    """Returns lines of at most 80 columns. Cells in the elastic columns are cut where they have to be."""
    cells = [head, *([" ".join(printable(cell).split()) for cell in row] for row in rows)]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    room = (
        _COLUMNS
        - len(_GAP) * (len(widths) - 1)
        - sum(width for index, width in enumerate(widths) if index not in elastic)
    )
    for left, index in zip(range(len(elastic), 0, -1), sorted(elastic, key=lambda index: widths[index]), strict=True):
        widths[index] = min(widths[index], max(room // left, len(head[index])))
        room -= widths[index]
    lines = (_GAP.join(map(_fitted, line, widths)).rstrip() for line in cells)
    return "".join(f"{line}\n" for line in lines)


def local_time(time: datetime) -> str:
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def seconds(elapsed: float | None) -> str:
    if elapsed is None:
        return ""
    return f"{elapsed * 1000:.0f} ms" if elapsed < 1 else f"{elapsed:,.1f} s"


def invocation_json(recorded: InvocationRecord) -> dict[str, Any]:
    """Returns one invocation as a program wants it."""
    return {
        "invocation_id": recorded.invocation_id,
        "agent_id": recorded.agent_id,
        "entrypoint_tag": recorded.entrypoint_tag,
        "state": recorded.state.name,
        "cause": recorded.cause or None,
        "reason": recorded.reason,
        "start_time": recorded.start_time.isoformat(),
        "end_time": recorded.end_time.isoformat() if recorded.end_time else None,
        "elapsed": recorded.elapsed,
        "chunk_count": recorded.chunk_count,
        "result_size": recorded.result_size,
        "transport": recorded.transport,
        "user_id": recorded.user_id,
        "request_id": recorded.request_id,
    }


def _fitted(cell: str, width: int) -> str:
    if _width(cell) <= width:
        return cell + " " * (width - _width(cell))
    kept = ""
    for character in cell:
        if _width(kept + character) > width - 1:
            break
        kept += character
    return kept + "…" + " " * (width - 1 - _width(kept))


def _width(text: str) -> int:
    """Returns how many columns a terminal takes for a text."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.combining(character) > 0 for character in text)
