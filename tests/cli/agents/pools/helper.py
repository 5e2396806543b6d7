"""Reached from main.py by a relative import."""

from __future__ import annotations

from pydantic import BaseModel


class Note(BaseModel):
    text: str


def negative(number: int) -> int:
    return -number
