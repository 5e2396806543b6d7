"""Entrypoints that hand work to other interpreters, and values that outlive the server."""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from pydantic import BaseModel

from .helper import Note, negative
from .parts import double
from .parts.deep import Leaf, cube

VERSION = 1
SECONDS = 45


class Color(Enum):
    RED = "red"


@dataclass
class Profile:
    name: str
    color: Color


class Model(BaseModel):
    profile: Profile
    note: Note


def square(number: int) -> int:
    return number * number


FUNCTIONS = {"main": square, "helper": negative, "package": double, "deep": cube}


def values() -> list[Any]:
    profile = Profile("Ada", Color.RED)
    return [profile, Color.RED, Note(text="a note"), Leaf("green"), Model(profile=profile, note=Note(text="of it"))]


def pooled(method: str, where: str) -> list[int]:
    with multiprocessing.get_context(method).Pool(2) as pool:
        return pool.map_async(FUNCTIONS[where], range(4)).get(SECONDS)


async def pooled_from_a_coroutine(method: str, where: str) -> list[int]:
    return await asyncio.to_thread(pooled, method, where)


def executed(method: str, where: str) -> list[int]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        return list(pool.map(FUNCTIONS[where], range(4), timeout=SECONDS))


async def executed_on_the_loop(method: str, where: str) -> list[int]:
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        return await asyncio.gather(*(loop.run_in_executor(pool, FUNCTIONS[where], number) for number in range(4)))


def _there_and_back(value: Any) -> tuple[str, Any]:
    return type(value).__module__, value


def exchanged(method: str) -> list[Any]:
    with multiprocessing.get_context(method).Pool(1) as pool:
        answers = pool.map_async(_there_and_back, values()).get(SECONDS)
    return [names for names, value in answers if value in values()]


def _in_a_grandchild(queue: Any) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        queue.put(pool.map_async(cube, [3]).get(SECONDS))


def from_a_child(method: str) -> list[int]:
    context = multiprocessing.get_context(method)
    queue = context.SimpleQueue()
    child = context.Process(target=_in_a_grandchild, args=(queue,))  # type: ignore[attr-defined]  # all have it
    child.start()
    answer: list[int] = queue.get()
    child.join(SECONDS)
    return answer


def kept(path: str) -> None:
    kind, data = JsonPlusSerializer().dumps_typed(values())
    Path(path).write_bytes(pickle.dumps((pickle.dumps(values()), kind, data)))


def found(path: str) -> dict[str, Any]:
    pickled, kind, data = pickle.loads(Path(path).read_bytes())  # noqa: S301 - this agent has written it
    wanted = values()
    unpickled = pickle.loads(pickled)  # noqa: S301 - as above
    checkpoint = JsonPlusSerializer().loads_typed((kind, data))
    return {
        "pickle": [value == expected for value, expected in zip(unpickled, wanted, strict=True)],
        "checkpoint": [value == expected for value, expected in zip(checkpoint, wanted, strict=True)],
        "version": VERSION,
    }


class RefusedError(Exception):
    """Is known by its own name in a traceback."""


def refused() -> None:
    raise RefusedError("not today")


def names() -> list[str]:
    return [type(value).__module__ for value in values()]
