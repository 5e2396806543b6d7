"""What this agent asks of a language model, and nothing that only one of them has.

Another model is another class with this one method; tests bring one that says what they want to hear.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is chosen.

    A small model left to its likeliest words goes round in circles, and left to all of them loses its thread. These
    defaults were chosen by reading what came out.
    """

    max_tokens: int
    temperature: float
    seed: int | None = None
    """The same seed chooses alike. None: anew each time."""
    top_k: int = 40
    min_p: float = 0.1
    """The least likely that a token may be, beside the likeliest."""
    repeat_penalty: float = 1.1
    repeat_last: int = 128
    """How many of the last tokens count as repeated."""


class Model(Protocol):
    """A model that goes on with a text."""

    def complete(
        self, prompt: str, sampling: Sampling, *, stop: tuple[str, ...], cancelled: Callable[[], bool]
    ) -> Generator[str, None, None]:
        """Yields what follows `prompt`, piece by piece, until the model ends it or one of `stop` would come next.

        No piece holds a part of a character, or of a text in `stop`. Asks `cancelled` while nothing comes, and ends
        early where it says so. Nothing is computed any more once the generator is closed.
        """
