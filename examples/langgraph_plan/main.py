"""Plans a meal with one pair of hands: a graph of LangGraph that needs no model, served by its own methods.

    understand -> expand (until nothing is left to look into) -> schedule (until all has its time) -> review

`app.invoke` and `app.astream` are entrypoints as they are. `tell` is `app.astream` once more, for people: of all that a
graph can stream it gives the lines that the nodes write on the side.
"""

from __future__ import annotations

import functools
import operator
from typing import Annotated, Any, NotRequired

from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from .kitchen import MEALS, TASKS


class Wish(TypedDict):
    """What to make, and in how many minutes."""

    goal: str
    minutes: NotRequired[int]


class Step(TypedDict):
    """A task with its time, in minutes from the start."""

    task: str
    start: int
    end: int


class Plan(Wish):
    """What the nodes read, and add to."""

    unknown: list[str]
    """Tasks of which nobody has looked yet what they need."""
    tasks: Annotated[list[str], operator.add]
    steps: Annotated[list[Step], operator.add]
    summary: str


def understand(state: Wish) -> dict[str, Any]:
    meals = [meal for meal in MEALS if meal in state["goal"].lower()]
    if not meals:
        raise ValueError(f"There is no plan for {state['goal']!r}. Ask for {', '.join(MEALS)}, or several of them.")
    _say(f"For {' and '.join(meals)}:")
    return {"unknown": [task for meal in meals for task in MEALS[meal]]}


def expand(state: Plan) -> dict[str, Any]:
    """Looks into one task, and finds what has to be done before it."""
    task, *others = state["unknown"]
    needed = [before for before in TASKS[task].after if before not in (*others, *state["tasks"])]
    return {"tasks": [task], "unknown": others + needed}


def schedule(state: Plan) -> dict[str, Any]:
    """Gives the next task its time: of those that can begin, the one on which most depends."""
    ends = {step["task"]: step["end"] for step in state["steps"]}
    ready = [task for task in state["tasks"] if task not in ends and ends.keys() >= set(TASKS[task].after)]
    task = max(ready, key=lambda task: _minutes_from(task, state["tasks"]))
    start = max((ends[before] for before in TASKS[task].after), default=0)
    if not TASKS[task].by_itself:
        start = _first_gap(start, TASKS[task].minutes, state["steps"])
    step = Step(task=task, start=start, end=start + TASKS[task].minutes)
    _say(f"  {step['start']:>3} to {step['end']:>3} min  {task}")
    return {"steps": [step]}


def review(state: Plan) -> dict[str, str]:
    total, limit = max(step["end"] for step in state["steps"]), state.get("minutes")
    summary = f"{total} minutes in all"
    if limit is not None:
        summary += ", in time." if total <= limit else f", which is {total - limit} too many."
    else:
        summary += "."
    _say(summary)
    return {"summary": summary}


def _minutes_from(task: str, tasks: list[str]) -> int:
    """Returns how long it takes from the start of a task to the end of all that waits for it."""
    waiting = (_minutes_from(other, tasks) for other in tasks if task in TASKS[other].after)
    return TASKS[task].minutes + max(waiting, default=0)


def _first_gap(start: int, minutes: int, steps: list[Step]) -> int:
    """Returns when a pair of hands is free for so long."""
    for step in sorted(steps, key=lambda step: step["start"]):
        if not TASKS[step["task"]].by_itself and step["start"] < start + minutes and start < step["end"]:
            start = step["end"]
    return start


def _say(line: str) -> None:
    get_stream_writer()(f"{line}\n")


graph = StateGraph(Plan, input_schema=Wish)
graph.add_node("understand", understand)
graph.add_node("expand", expand)
graph.add_node("schedule", schedule)
graph.add_node("review", review)
graph.add_edge(START, "understand")
graph.add_edge("understand", "expand")
graph.add_conditional_edges("expand", lambda plan: "expand" if plan["unknown"] else "schedule")
graph.add_conditional_edges(
    "schedule", lambda plan: "schedule" if len(plan["steps"]) < len(plan["tasks"]) else "review"
)
graph.add_edge("review", END)

# A step of the graph for each task, once to look into it and once to give it a time.
app = graph.compile().with_config(recursion_limit=2 * len(TASKS) + 10)

tell = functools.partial(app.astream, stream_mode="custom")
