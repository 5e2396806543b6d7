"""Parameters whose annotations say little: type variables, protocols, and what an object declares itself."""

from __future__ import annotations

import functools
import sys
import typing
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Generic, Literal, Protocol

import pytest
import typing_extensions
from pydantic import BaseModel

from runagent_grpc.worker.signature.signature import Signature
from tests.worker.signature.binding import Person, Point, call, refusal, taking

T = typing.TypeVar("T")
Model = typing.TypeVar("Model", bound=BaseModel)
Either = typing.TypeVar("Either", int, Person)
TextOrNumber = typing.TypeVar("TextOrNumber", str, int)


class LikeATypedDict(Protocol):
    __required_keys__: typing.ClassVar[frozenset[str]]


class LikeText(Protocol):
    def upper(self) -> str: ...


class Unbuildable(typing.TypedDict):
    """What pydantic refuses to build on Python 3.11, and anybody writes."""

    depth: int


class Odd:
    pass


State = typing.TypeVar("State", bound=LikeATypedDict | BaseModel)
Context = typing_extensions.TypeVar("Context", bound=LikeATypedDict | None, default=None)


@pytest.mark.parametrize(
    "annotation", [State, State | Odd | None, Context, Context | None, LikeATypedDict, Odd | Point]
)
def test_json_text_is_read_where_nothing_but_structure_can_be_meant(annotation: Any) -> None:
    echo = taking(annotation)
    assert call(echo, '{"a": [1]}') == {"a": [1]}
    assert call(echo, '["a"]') == ["a"]
    assert call(echo, x="null") is None
    assert call(echo, {"a": 1}) == {"a": 1}
    # What is no array, object or null is not touched: the function knows what to make of it.
    assert [call(echo, text) for text in ("plain", "5", '"a"', "{")] == ["plain", "5", '"a"', "{"]


@pytest.mark.parametrize(
    "annotation",
    [
        T,
        T | None,
        TextOrNumber,
        State | str,
        State | Any,
        LikeText,
        Hashable | Odd,
        Sequence[Odd] | Odd | LikeText,
        Odd,
        Odd | Literal["a"] | Point,
    ],
)
def test_json_text_stays_text_where_text_can_be_meant_or_no_structure(annotation: Any) -> None:
    assert call(taking(annotation), '{"a": 1}') == '{"a": 1}'


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="pydantic builds it, and checks what is in it.")
def test_a_typed_dict_that_pydantic_cannot_build_is_still_no_text() -> None:
    assert call(taking(Unbuildable), '{"depth": 2}') == {"depth": 2}
    assert call(taking(Unbuildable | None, None), None) is None


def test_a_bound_is_checked_where_it_can_be() -> None:
    assert refusal(taking(Model), ["plain"]).violations
    assert call(taking(Either), '{"name": "Ada"}') == Person(name="Ada")
    assert refusal(taking(Either), ["x"]).violations


def test_a_default_of_a_type_variable_is_no_bound() -> None:
    assert call(taking(Context | None, None), {"user": "ada"}) == {"user": "ada"}
    assert call(taking(Context), [{"user": "ada"}]) == [{"user": "ada"}]


def test_stars_read_json_as_well() -> None:
    def collect(*items: State, **named: State) -> Any:
        return items, named

    assert call(collect, '{"a": 1}', b="[1]") == (({"a": 1},), {"b": [1]})


class Runnable(Generic[T]):
    """An object that knows better than its annotations what it takes, as LangChain's and LangGraph's do."""

    def __init__(self, schema: Any) -> None:
        self.schema = schema

    def get_input_jsonschema(self, config: Any = None) -> Any:
        if isinstance(self.schema, Exception):
            raise self.schema
        return self.schema

    def invoke(self, input: T, config: Mapping[str, Any] | None = None, **kwargs: Any) -> Any:  # noqa: A002 - its name
        return input

    def other(self, value: T) -> Any:
        return value


TOPIC = {"type": "object", "title": "In", "properties": {"topic": {"type": "string"}}, "required": ["topic"]}


def test_an_object_that_declares_its_input_is_described_by_it() -> None:
    schema = Signature.of(Runnable(TOPIC).invoke).json_schema
    assert schema["properties"]["input"] == {
        "type": "object",
        "properties": {"topic": {"type": "string"}},
        "required": ["topic"],
    }
    assert schema["required"] == ["input"]
    partial = functools.partial(Runnable(TOPIC).invoke, config={})
    assert Signature.of(partial).json_schema["properties"]["input"] == schema["properties"]["input"]
    assert Signature.of(Runnable(TOPIC).other).json_schema["properties"]["value"] == {}


def test_json_text_is_read_where_the_declared_input_is_no_text() -> None:
    assert call(Runnable(TOPIC).invoke, input='{"topic": "rain"}') == {"topic": "rain"}
    assert call(Runnable(TOPIC).invoke, '{"topic": "rain"}') == {"topic": "rain"}
    assert call(Runnable({"type": "array"}).invoke, "[1]") == [1]
    for text_too in ({"type": "string"}, {"anyOf": [{"type": "string"}, TOPIC]}, {"type": ["null", "string"]}, {}):
        assert call(Runnable(text_too).invoke, '{"topic": "rain"}') == '{"topic": "rain"}'


def test_definitions_of_a_declared_input_are_left_out() -> None:
    """They run to twenty thousand characters where a chat model's messages are among them."""
    declared = {
        "$defs": {"Human": {"type": "object"}, "Ai": {"type": "object"}},
        "type": "object",
        "properties": {
            "messages": {"type": "array", "items": {"oneOf": [{"$ref": "#/$defs/Human"}, {"$ref": "#/$defs/Ai"}]}},
            "$ref": {"type": "string"},
        },
    }
    described = Signature.of(Runnable(declared).invoke).json_schema["properties"]["input"]
    assert described == {
        "type": "object",
        "properties": {"messages": {"type": "array", "items": {}}, "$ref": {"type": "string"}},
    }
    root = {"$defs": {"In": TOPIC}, "$ref": "#/$defs/In"}
    assert Signature.of(Runnable(root).invoke).json_schema["properties"]["input"] == {
        "type": "object",
        "properties": {"topic": {"type": "string"}},
        "required": ["topic"],
    }


@pytest.mark.parametrize("schema", [ValueError("no"), None, [], {"type": {}}, {"properties": 3, "anyOf": 4, "$ref": 5}])
def test_an_object_that_declares_nonsense_counts_as_one_that_declares_nothing(schema: Any) -> None:
    signature = Signature.of(Runnable(schema).invoke)
    assert call(Runnable(schema).invoke, "text") == "text"
    assert "input" in signature.json_schema["properties"]


def test_a_function_that_is_not_bound_declares_nothing() -> None:
    assert Signature.of(Runnable.invoke).json_schema["properties"]["input"] == {}
