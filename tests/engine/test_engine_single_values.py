"""What is one value although it could be iterated: one chunk of a stream, and the result as it is."""

from __future__ import annotations

import collections
import dataclasses
import types
from collections.abc import Iterator
from typing import Any, ClassVar

import pydantic
import pytest

from runagent_grpc.values.payload import decode, encode
from tests.engine.running import chunks_of, engine_of, result_of
from tests.waiting import on_a_loop


class Model(pydantic.BaseModel):
    a: int = 1
    b: list[int] = [2]


class ListModel(pydantic.RootModel[list[int]]):
    def __iter__(self) -> Iterator[int]:  # type: ignore[override]  # as pydantic's own documentation advises
        return iter(self.root)


@dataclasses.dataclass
class Point:
    x: int = 1
    fields: ClassVar[str] = "not one"


class OldModel:
    """Looks like a model of pydantic 1, which iterates over its fields."""

    __fields__: ClassVar[dict[str, Any]] = {"a": None}

    def __iter__(self) -> Iterator[Any]:
        return iter([("a", 1)])

    def dict(self) -> dict[str, Any]:
        return {"a": 1}


SINGLE_VALUES = [
    "text",
    "",
    b"bytes",
    bytearray(b"bytes"),
    memoryview(b"bytes"),
    {"a": [1]},
    {},
    types.MappingProxyType({"a": 1}),
    collections.UserDict({"a": 1}),
    Model(),
    ListModel([1]),
    OldModel(),
    Point(),
    None,
    1,
    2.5,
    True,
]


@pytest.mark.parametrize("value", SINGLE_VALUES, ids=lambda value: type(value).__name__)
@on_a_loop
async def test_one_value_of_a_stream_tag_is_one_chunk(value: Any) -> None:
    async def from_a_coroutine() -> Any:
        return value

    expected = decode(encode(value))
    functions = {"one_stream": lambda: value, "later_stream": from_a_coroutine, "one": lambda: value}
    async with engine_of(functions) as engine:
        assert await chunks_of(engine, "one_stream") == [expected]
        assert await chunks_of(engine, "later_stream") == [expected]
        assert await result_of(engine, "one") == expected


@pytest.mark.parametrize("value", [[1, "a"], (1, "a"), {"a": 1}, "text", None], ids=repr)
@on_a_loop
async def test_what_a_plain_tag_returns_is_one_value(value: Any) -> None:
    async with engine_of({"one": lambda: value}) as engine:
        assert await result_of(engine, "one") == (list(value) if isinstance(value, tuple) else value)
