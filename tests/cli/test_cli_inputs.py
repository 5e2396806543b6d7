"""What a JSON Schema of an entrypoint's input says, in words."""

from __future__ import annotations

import datetime
import enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from runagent_cli.inputs import Input, inputs_of, takes_anything
from runagent_grpc.worker import Signature


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Tree(BaseModel):
    leaves: list[Tree] = []


class Wish(BaseModel):
    what: str
    count: int
    colour: Colour | None = None


class Grove(BaseModel):
    name: str
    first: Wish
    grove: Grove


class Long(BaseModel):
    a: str
    b: int
    c: int
    d: int
    e: int


def labelled(
    size: int, label: Annotated[str, Field(description="What it is\n called.")] = "ä", **rest: str
) -> None: ...


def input_of(annotation: Any) -> Input:
    def function(value): ...  # type: ignore[no-untyped-def] # annotated below

    function.__annotations__ = {"value": annotation}
    (parameter,) = inputs_of(Signature.of(function).json_schema)
    return parameter


@pytest.mark.parametrize(
    ("annotation", "kind", "example"),
    [
        (str | Literal["gpt", "gemma"] | None, "string or null", "Hello"),
        (str, "string", "Hello"),
        (int, "integer", "3"),
        (float, "number", "1.5"),
        (bool, "boolean", "true"),
        (int | None, "integer or null", "3"),
        (int | str | float, "integer or string or number", "3"),
        (list[str], "array of string", "[]"),
        (list[Any], "array", "[]"),
        (dict[str, int], "object", "{}"),
        (Literal["low", "high"], '"low" or "high"', "low"),
        (Literal[7], "7", "7"),
        (Colour, '"red" or "blue"', "red"),
        (list[Colour], 'array of "red" or "blue"', "[]"),
        (datetime.date, "date", "Hello"),
        (Tree, "object", "{}"),
        (Wish, "object with what, count", '{"what": "Hello", "count": 3}'),
        (Wish | None, "object with what, count or null", '{"what": "Hello", "count": 3}'),
        (Grove, "object with name, first, grove", '{"name": "Hello", "first": {}, "grove": {}}'),
        (list[Wish], "array of object with what, count", "[]"),
        (Long, "object with a, b, c, d, ...", '{"a": "Hello", "b": 3, "c": 3, "d": 3, "e": 3}'),
        (Annotated[str, Field(examples=["oak"])], "string", "oak"),
        (Any, "anything", "Hello"),
    ],
)
def test_a_kind_has_words_and_an_example(annotation: Any, kind: str, example: str) -> None:
    parameter = input_of(annotation)
    assert (parameter.kind, parameter.example, parameter.required) == (kind, example, True)


def test_defaults_and_descriptions_are_told() -> None:
    schema = Signature.of(labelled).json_schema
    size, label = inputs_of(schema)
    assert (size.name, size.required, size.default, size.description) == ("size", True, None, "")
    assert (label.name, label.required, label.default) == ("label", False, '"ä"')
    assert label.description == "What it is called."
    assert takes_anything(schema)


def test_a_schema_that_says_nothing_takes_anything() -> None:
    assert inputs_of({}) == []
    assert takes_anything({})
    assert inputs_of({"properties": {"x": True, "y": {"$ref": "#/$defs/Missing"}}})[0].kind == "anything"
