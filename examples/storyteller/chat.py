"""Chat: a conversation as a transcript that the model goes on with, and what is remembered of it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

from .model import Model, Sampling
from .prose import as_prose

REMEMBERED_TURNS = 4
REMEMBERED_SPEAKERS = 1_000

_SAMPLING = Sampling(max_tokens=60, temperature=0.6)
_TRANSCRIPT = """Every evening a visitor comes to the lighthouse and talks with Wren, who keeps the lamp. Wren is kind \
and curious, and answers in one or two short sentences.

Visitor: Good evening!
Wren: Good evening! Come in, the kettle is on.
Visitor: How long have you lived here?
Wren: Eleven winters now. I came for one summer and never left.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one asked, and what the other answered."""

    message: str
    answer: str


def reply(
    model: Model, message: str, turns: Sequence[Turn], cancelled: Callable[[], bool]
) -> Generator[str, None, None]:
    """Yields the answer to `message`, which follows `turns`."""
    # Whoever speaks next starts a line, so an answer is over where its line is.
    with closing(model.complete(prompt_for(message, turns), _SAMPLING, stop=("\n",), cancelled=cancelled)) as pieces:
        yield from as_prose(pieces, most=_SAMPLING.max_tokens)


def prompt_for(message: str, turns: Sequence[Turn]) -> str:
    """Returns the transcript up to where the answer starts."""
    lines = [line for turn in turns for line in (f"Visitor: {_line(turn.message)}", f"Wren: {_line(turn.answer)}")]
    return _TRANSCRIPT + "\n".join([*lines, f"Visitor: {_line(message)}", "Wren:"])


def _line(text: str) -> str:
    """Returns `text` as one line: more than one could speak for somebody else."""
    return " ".join(text.split())


class Memory:
    """The last turns of those who spoke last: bounded, and for any number of threads."""

    def __init__(self, *, speakers: int = REMEMBERED_SPEAKERS, turns: int = REMEMBERED_TURNS) -> None:
        self._most_speakers = speakers
        self._most_turns = turns
        self._turns: OrderedDict[str, tuple[Turn, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def turns_of(self, speaker: str) -> tuple[Turn, ...]:
        """Returns what is remembered of a speaker, the oldest turn first. Of "", which is nobody, it is nothing."""
        with self._lock:
            return self._turns.get(speaker, ())

    def keep(self, speaker: str, turn: Turn) -> None:
        """Remembers a turn, and forgets the oldest, and whoever was silent for longest, where that is too much."""
        if not speaker:
            return
        with self._lock:
            self._turns[speaker] = (*self._turns.get(speaker, ()), turn)[-self._most_turns :]
            self._turns.move_to_end(speaker)
            while len(self._turns) > self._most_speakers:
                self._turns.popitem(last=False)
