"""Promises with a figure: a line each, which says whether it was kept."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Promise", "require"]


@dataclass(frozen=True, slots=True)
class Promise:
    """A figure that has to stay on one side of its bound."""

    what: str
    measure: Callable[[], float]
    keeps: Callable[[float, float], bool]
    bound: float

    def check(self) -> bool:
        """Measures, prints the outcome, and returns whether the promise is kept."""
        figure = self.measure()
        kept = self.keeps(figure, self.bound)
        sign = "<" if self.keeps is operator.lt else ">"
        sys.stdout.write(f"{'ok ' if kept else 'NO '} {self.what:<62}{figure:>8.2f} {sign} {self.bound:g}\n")
        sys.stdout.flush()
        return kept


def require(condition: bool, otherwise: str) -> None:
    """Ends a measurement that measures something else than it should."""
    if not condition:
        raise SystemExit(f"The measurement is worth nothing: {otherwise}.")
