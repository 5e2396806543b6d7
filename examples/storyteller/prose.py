"""Prose: what a model says, without the ragged edges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_ENDINGS = (".", "!", "?", "…")
_CLOSING_MARKS = "\"'”’»)"  # noqa: RUF001 - an apostrophe as books print it
# No more of a text than it takes to see whether a sentence has ended.
_TAIL = 8


def as_prose(pieces: Iterable[str], *, most: int) -> Iterator[str]:
    """Yields the pieces of a text, of which there are `most` at most, without white space around the whole.

    Ends with a sentence that ends in the last quarter, rather than in the middle of a later one; and with an ellipsis
    where there is no such sentence.
    """
    told = held = ""
    for count, piece in enumerate(pieces, start=1):
        held += piece
        if count > most * 3 // 4 and held[:1].isspace() and _ends_sentence(told):
            return
        if not told:
            held = held.lstrip()
        if text := held.rstrip():
            yield text
            held = held[len(text) :]
            told = (told + text)[-_TAIL:]
    if told and not _ends_sentence(told):
        yield "…"


def _ends_sentence(text: str) -> bool:
    return text.rstrip(_CLOSING_MARKS).endswith(_ENDINGS)
