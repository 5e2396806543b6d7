"""An agent of your own making, built with nothing but Python: the methods of one object are its entrypoints.

`notebook` keeps notes for each user apart, by the `user_id` that callers give (`--user-id` on the command line), until
the server ends. What it takes and returns may be dataclasses; callers get them as objects of their fields.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

from runagent_grpc import current_invocation

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    number: int
    text: str
    written: datetime

    @classmethod
    def of(cls, text: str, *, number: int) -> Note:
        return cls(number=number, text=text, written=datetime.now(UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    note: Note
    score: float
    """How much of the question the note has: 1 for all of its words."""


class Notebook:
    """Everybody's notes. Its methods are coroutines, which take turns, so that nothing needs a lock."""

    def __init__(self) -> None:
        self._notes: dict[str, list[Note]] = defaultdict(lambda: [Note.of("Hello! This notebook is yours.", number=0)])

    async def add(self, text: str) -> Note:
        """Writes a note down for the user who calls."""
        notes = self._notes_of_user()
        note = Note.of(text, number=len(notes))
        notes.append(note)
        return note

    async def find(self, question: str, at_least: float = 0.5) -> AsyncIterator[Match]:
        """Goes through the user's notes, the newest first, and gives each that has enough of the question's words."""
        notes = self._notes_of_user()
        for read, note in enumerate(reversed(notes), start=1):
            score = await self._compare(question, note.text)
            # What is logged goes into the invocation's log: `runagent db logs` shows it, and `serve` does.
            logger.info("Read %d of %d notes.", read, len(notes))
            if score >= at_least:
                yield Match(note=note, score=score)

    def _notes_of_user(self) -> list[Note]:
        return self._notes[current_invocation().user_id]

    async def _compare(self, question: str, text: str) -> float:
        # Stands for the slow part: ask a model here, a database, another service.
        await asyncio.sleep(0.05)
        asked, had = (set(re.findall(r"\w+", said.lower())) for said in (question, text))
        return len(asked & had) / len(asked) if asked else 1.0


notebook = Notebook()
