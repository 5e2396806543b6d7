"""What callers are told of an exception of the author's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice

__all__ = ["failure_text"]

_MOST_LEAVES = 3


def failure_text(error: BaseException) -> str:
    """Returns the exception's own text, and more only where that says nothing by itself.

    With its type where the text is a bare key or a bare claim, with the first exceptions of a group, and the type's
    name where there is no text or the exception cannot say it. The text of a SystemExit is often a bare number, so that
    it says what was called.
    """
    # The author's methods may raise anything, a SystemExit that ends us, too.
    try:
        return _text_of(error)
    except BaseException:  # noqa: BLE001 - as said
        return type(error).__name__


def _text_of(error: BaseException) -> str:
    name = type(error).__name__
    if type(error) is SystemExit:
        return _exit_text_of(error)
    text = str(error)
    if not text.strip():
        return name
    if isinstance(error, BaseExceptionGroup):
        return f"{text}: {_leaves_text_of(error)}"
    # A KeyError's text is the key alone, unless a class of the author's says more.
    if isinstance(error, AssertionError) or type(error).__str__ is KeyError.__str__:
        return f"{name}: {text}"
    return text


def _leaves_text_of(group: BaseExceptionGroup[BaseException]) -> str:
    first = list(islice(_leaves(group), _MOST_LEAVES + 1))
    texts = []
    for leaf in first[:_MOST_LEAVES]:
        name, text = type(leaf).__name__, failure_text(leaf)
        texts.append(text if text == name or text.startswith(f"{name}: ") else f"{name}: {text}")
    return "; ".join([*texts, "..."] if len(first) > _MOST_LEAVES else texts)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _exit_text_of(error: SystemExit) -> str:
    match error.code:
        case None:
            argument = ""
        case str():
            argument = json.dumps(error.code, ensure_ascii=False)
        case _:
            argument = str(error.code)
    return f"The entrypoint called sys.exit({argument})."
