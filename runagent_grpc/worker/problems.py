"""The error of an agent that cannot be served.

It is for the agent's author at a terminal, not for a caller: nothing of it goes on a wire, so it is no `RunAgentError`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["InvalidAgentError", "did_you_mean"]


class InvalidAgentError(Exception):
    """Everything that is wrong with an agent, at once, so that one round of corrections is enough."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        """One sentence each. One may run over several lines, where it quotes the author's code."""
        super().__init__(*self.problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        return "\n".join("- " + problem.replace("\n", "\n  ") for problem in self.problems)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns " Did you mean `x`?" where a known name is near, and nothing otherwise."""
    by_folded_name = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower()[:100], by_folded_name, n=1)
    return f" Did you mean `{by_folded_name[near[0]]}`?" if near else ""
