"""Where a problem is: from its text, which begins with its place, to a file and a line."""

from __future__ import annotations

import os
import re

from runagent_grpc.lint.finding import Finding, Severity
from runagent_grpc.lint.subject import Subject
from runagent_grpc.worker.environment import ENV_FILE

__all__ = ["finding_of"]

_PLACE = re.compile(r"(?P<file>[^\n:`]+?)(?:, line (?P<line>\d+))?(?:, column \d+)?: ")
_FIELD = re.compile(r"`(?P<path>[^`]+)`")
_ENTRYPOINT = re.compile(r"the entrypoint `(?P<tag>[^`]*)`, (?P<name>\w+) `")


def finding_of(problem: str, subject: Subject) -> Finding:
    """Takes a problem of the loader's apart: "main.py, line 3: ...", "runagent.config.json: `agent_id`: ..."."""
    file, line, text = "", None, problem
    if (place := _PLACE.match(problem)) and os.path.isfile(subject.folder / place["file"]):
        file, text = place["file"], problem[place.end() :]
        line = int(place["line"]) if place["line"] else None
    if file in ("", subject.config_file):
        if named := _ENTRYPOINT.match(text):
            line = line or subject.line_of_entrypoint(named["tag"], named["name"])
        elif (named := _FIELD.match(text)) and named["path"].partition(".")[0].partition("[")[0]:
            line = line or subject.line_of(named["path"])
            file = file or (subject.config_file if line else "")
    return Finding(
        severity=Severity.ERROR,
        kind=_kind_of(file, text),
        file=file,
        line=line,
        text=text[:1].upper() + text[1:],
    )


def _kind_of(file: str, text: str) -> str:
    if file == ENV_FILE or text.startswith("`env_vars"):
        return "environment"
    if _ENTRYPOINT.match(text):
        return "entrypoint"
    return "import" if file.endswith(".py") else "configuration"
