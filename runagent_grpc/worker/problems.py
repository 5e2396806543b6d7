"""What keeps an agent from being served, as data; and the error that carries it.

Both are for the agent's author at a terminal, not for a caller: nothing of it goes on a wire, so the error is no
`RunAgentError`.
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["InvalidAgentError", "Problem", "ProblemKind", "did_you_mean"]


class ProblemKind(enum.StrEnum):
    """What a problem is about. Programs read these names in the output of `runagent check --json`."""

    CONFIGURATION = "configuration"
    ENVIRONMENT = "environment"
    ENTRYPOINT = "entrypoint"
    IMPORT = "import"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with an agent, and its place. `str(problem)` is the sentence that people read."""

    kind: ProblemKind
    text: str
    """What is wrong and what to do about it. It runs over several lines where it quotes the author's code."""
    file: str = ""
    """A path within the agent's folder, or empty where the problem has no place in a file."""
    line: int | None = None
    """Counted from 1."""
    column: int | None = None
    """Counted from 1."""
    field: str = ""
    """The path of the configuration's field, such as `agent_architecture.entrypoints[0].file`, where it is one's."""

    def __str__(self) -> str:
        if not self.file:
            return self.text
        line = "" if self.line is None else f", line {self.line}"
        column = "" if self.column is None else f", column {self.column}"
        return f"{self.file}{line}{column}: {self.text}"


class InvalidAgentError(Exception):
    """Everything that is wrong with an agent, at once, so that one round of corrections is enough."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        sentences = list(map(str, self.problems))
        if len(sentences) == 1:
            return sentences[0]
        return "\n".join("- " + sentence.replace("\n", "\n  ") for sentence in sentences)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns " Did you mean `x`?" where a known name is near, and nothing otherwise."""
    by_folded_name = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower()[:100], by_folded_name, n=1)
    return f" Did you mean `{by_folded_name[near[0]]}`?" if near else ""
