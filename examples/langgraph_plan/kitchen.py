"""What the planner knows: meals, the tasks that they take, and what has to be done before what."""

from __future__ import annotations

from dataclasses import dataclass

MEALS = {
    "bread": ("bake the bread",),
    "pancakes": ("fry the pancakes", "brew coffee"),
    "soup": ("simmer the soup", "toast bread"),
    "salad": ("toss the salad",),
}
"""What a meal is done with, by the word for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something to do."""

    minutes: int
    after: tuple[str, ...] = ()
    """What has to be done before."""
    by_itself: bool = False
    """Whether it goes on without anybody's hands."""


TASKS = {
    "mix the dough": Task(minutes=10),
    "let the dough rise": Task(minutes=60, after=("mix the dough",), by_itself=True),
    "heat the oven": Task(minutes=15, by_itself=True),
    "bake the bread": Task(minutes=40, after=("let the dough rise", "heat the oven"), by_itself=True),
    "whisk the batter": Task(minutes=5),
    "let the batter rest": Task(minutes=15, after=("whisk the batter",), by_itself=True),
    "fry the pancakes": Task(minutes=12, after=("let the batter rest",)),
    "grind coffee": Task(minutes=2),
    "brew coffee": Task(minutes=4, after=("grind coffee",), by_itself=True),
    "chop vegetables": Task(minutes=8),
    "simmer the soup": Task(minutes=25, after=("chop vegetables",), by_itself=True),
    "toast bread": Task(minutes=3, by_itself=True),
    "wash the leaves": Task(minutes=4),
    "stir a dressing": Task(minutes=3),
    "toss the salad": Task(minutes=2, after=("wash the leaves", "stir a dressing")),
}
