"""A package, whose own files lie beside it."""

from __future__ import annotations

from ..helper import negative


def double(number: int) -> int:
    return -2 * negative(number)
