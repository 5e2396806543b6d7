"""A file below the agent's folder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Leaf:
    color: str


def cube(number: int) -> int:
    return number**3
