"""An exception that the author's code raised when it was loaded, told in lines of the author's own files."""

from __future__ import annotations

import traceback
from pathlib import Path

from runagent_grpc.modules import as_written
from runagent_grpc.worker.advice import advice_on
from runagent_grpc.worker.problems import Problem, ProblemKind

__all__ = ["own_path", "problem_of_import"]

_OUR_PACKAGE = Path(__file__).resolve().parents[1]
_MOST_PLACES = 4
_LONGEST_TEXT = 500


def problem_of_import(error: BaseException, file: Path, folder: Path) -> Problem:
    """Returns "main.py, line 3: NameError: ..." with the line itself, innermost first, then what led there.

    Frames of other people's code are left out: ours, Python's, that of installed packages.
    """
    places = [
        (path, frame.lineno, frame.line or "")
        for frame in traceback.extract_tb(error.__traceback__)
        if (path := own_path(frame.filename, folder))
    ]
    if isinstance(error, SyntaxError) and (path := own_path(error.filename or "", folder)):
        # The file that does not parse has no frame of its own.
        places.append((path, error.lineno, (error.text or "").strip()))
    what, advice = _name(error), advice_on(error, folder)
    if not places:
        text = f"{what} {advice}".rstrip()
        return Problem(kind=ProblemKind.IMPORT, text=text, file=str(file.relative_to(folder)))
    (path, line_number, line), *callers = reversed(places)
    lines = [what, f"    {line}"]
    for caller, number, called in callers[: _MOST_PLACES - 1]:
        lines += [f"  from {caller}, line {number}", f"    {called}"]
    if advice:
        lines.append("  " + advice)
    text = "\n".join(text for text in lines if text.strip())
    return Problem(kind=ProblemKind.IMPORT, text=text, file=str(path), line=line_number)


def own_path(filename: str, folder: Path) -> Path | None:
    """Returns a file's path within the agent's folder, if it is the author's."""
    try:
        file = Path(filename).resolve()
        path = file.relative_to(folder)
    except (OSError, RuntimeError, ValueError):
        return None
    # The folder may hold a virtual environment, or be this project's own; neither is the agent's author's writing.
    foreign = "site-packages" in path.parts or file.is_relative_to(_OUR_PACKAGE)
    return path if file.is_file() and not foreign else None


def _name(error: BaseException) -> str:
    try:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:  # noqa: BLE001 - an exception of the author's may fail to tell its own text
        text = ""
    text = as_written(text.strip())
    if len(text) > _LONGEST_TEXT:
        text = text[: _LONGEST_TEXT - 3] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
