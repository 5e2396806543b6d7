"""Text that UTF-8 can hold, and what becomes of the rest: surrogates that are no half of a pair."""

from __future__ import annotations

from typing import Literal

__all__ = ["Surrogates", "has_lone_surrogate", "without_lone_surrogates"]

Surrogates = Literal["replace", "refuse"]
"""What becomes of a lone surrogate: U+FFFD in what an entrypoint made, an error in what a caller sends."""


def has_lone_surrogate(text: str) -> bool:
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def without_lone_surrogates(text: str) -> str:
    """Returns the text with U+FFFD for every lone surrogate, and with pairs of them as the characters they mean."""
    # By way of UTF-16, where a pair of surrogates becomes the character it stands for and only lone ones are lost.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
