"""Text as SQLite holds it."""

from __future__ import annotations

__all__ = ["storable"]


def storable(text: str) -> str:
    """Returns a text that UTF-8, and so SQLite, can hold: lone surrogates are replaced."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
