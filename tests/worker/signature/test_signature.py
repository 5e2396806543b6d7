from __future__ import annotations

import enum
import math
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, field_validator
from typing_extensions import TypedDict

from runagent_grpc.worker.signature.signature import Signature

if TYPE_CHECKING:
    from decimal import Decimal as Unimportable
from tests.worker.signature.binding import Person, Point, call, refusal, taking


class Options(TypedDict):
    depth: int


class Pair(typing.NamedTuple):
    left: int
    right: int


class Colour(enum.Enum):
    RED = "red"


class Unfinished(BaseModel):
    other: NotDefinedAnywhere  # type: ignore[name-defined]  # noqa: F821 - what the test is about


class Deferred(BaseModel, defer_build=True):
    x: int


class Moody(BaseModel):
    x: int

    @field_validator("x")
    @classmethod
    def never(cls, value: int) -> int:
        raise KeyError(value)


@pytest.mark.parametrize(
    ("annotation", "value", "seen"),
    [
        (int, "5", 5),
        (int, 5.0, 5),
        (float, 1, 1.0),
        (float, "1.5", 1.5),
        (bool, "true", True),
        (str, 5, "5"),
        (str, 1.5, "1.5"),
        (str, '{"a": 1}', '{"a": 1}'),
        (str | None, 5, "5"),
        (list[str], [1, "a"], ["1", "a"]),
        (list[int], "[1, 2]", [1, 2]),
        (list[int], ' ["1"] ', [1]),
        (list, "[1]", [1]),
        (list[int] | None, "[1]", [1]),
        (list[int] | None, "null", None),
        (tuple[int, ...], "[1, 2]", (1, 2)),
        (set[int], "[1, 1]", {1}),
        (frozenset[int], "[1]", frozenset({1})),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (dict, '{"a": 1}', {"a": 1}),
        (Sequence[int], "[1]", [1]),
        (Mapping[str, int], '{"a": 1}', {"a": 1}),
        (Iterable[int], ["1", 2], [1, 2]),
        (Iterable[int], "[1, 2]", [1, 2]),
        (Person, {"name": "Ada"}, Person(name="Ada")),
        (Person, '{"name": "Ada", "age": "36"}', Person(name="Ada", age=36)),
        (Person | None, '{"name": "Ada"}', Person(name="Ada")),
        (Point, '{"x": 1, "y": "2"}', Point(x=1, y=2)),
        (Point, {"x": 1, "y": 2}, Point(x=1, y=2)),
        (Options, '{"depth": 3}', {"depth": 3}),
        (Pair, "[1, 2]", Pair(1, 2)),
        (list[Person], [{"name": "Ada"}], [Person(name="Ada")]),
        (list[int] | str, "[1]", "[1]"),
        (Person | str, '{"name": "Ada"}', '{"name": "Ada"}'),
        (list[int] | int, "5", 5),
        (list[str] | Literal["all"], "all", "all"),
        (list[str] | Literal["all"], '["a"]', ["a"]),
        (Path, "a/b", Path("a/b")),
        (datetime, "2025-01-02T03:04:05", datetime(2025, 1, 2, 3, 4, 5)),
        (Colour, "red", Colour.RED),
        (Literal["a", "b"], "a", "a"),
        (Annotated[int, Field(gt=3)], "4", 4),
        ("int", "5", 5),
        ("list[Person]", [{"name": "Ada"}], [Person(name="Ada")]),
        ("Unimportable", {"any": "thing"}, {"any": "thing"}),
        ("not an annotation", 1, 1),
        (42, 1, 1),
        (Deferred, '{"x": "1"}', Deferred(x=1)),
        (Unfinished, {"any": "thing"}, {"any": "thing"}),
        (math, 1, 1),
        (object, "x", "x"),
        (bytes, b"x", b"x"),
    ],
)
def test_a_value_arrives_as_its_parameter_says(annotation: Any, value: Any, seen: Any) -> None:
    result = call(taking(annotation), x=value)
    assert result == seen
    assert type(result) is type(seen)
    assert call(taking(annotation), value) == seen


@pytest.mark.parametrize(
    ("annotation", "value", "sentence"),
    [
        (int, "abc", "Argument `x`: expected an integer, got the string 'abc'."),
        (int, 1.5, "Argument `x`: expected an integer, got the number 1.5."),
        (int, None, "Argument `x`: expected an integer, got null."),
        (int, "9" * 5000, f"Argument `x`: expected an integer of fewer digits, got the string '{'9' * 37}...'."),
        (int, "a" * 41, f"Argument `x`: expected an integer, got the string '{'a' * 37}...'."),
        (
            int,
            "\x1b[31m\ud800",
            "Argument `x`: expected text without lone surrogates, got the string '\\x1b[31m\\ud800'.",
        ),
        (float, [], "Argument `x`: expected a number, got an array of 0 items."),
        (bool, "maybe", "Argument `x`: expected a boolean, got the string 'maybe'."),
        pytest.param(bool, 10**5000, "Argument `x`: expected a boolean, got a very large integer.", id="huge"),
        (str, True, "Argument `x`: expected a string, got the boolean true."),
        (str, {"a": 1}, "Argument `x`: expected a string, got an object of 1 member."),
        (list[int], "abc", "Argument `x`: expected an array, got the string 'abc'."),
        (list[int], '{"a": 1}', "Argument `x`: expected an array, got an object of 1 member."),
        (list[int], "[1, NaN]", "Argument `x`: expected an array, got the string '[1, NaN]'."),
        (list[int], '[1, "b"]', "Argument `x[1]`: expected an integer, got the string 'b'."),
        (dict[str, int], {"a b": "c"}, "Argument `x['a b']`: expected an integer, got the string 'c'."),
        (Person, {"age": 1}, "Argument `x.name`: required, but missing."),
        (Person, 5, "Argument `x`: expected an object, got the integer 5."),
        (list[Person], [{"name": "A", "age": "B"}], "Argument `x[0].age`: expected an integer, got the string 'B'."),
        (int | list[int], "a", "Argument `x`: expected an integer or an array, got the string 'a'."),
        (Literal["a", "b"], "c", "Argument `x`: expected one of 'a' or 'b', got the string 'c'."),
        (Colour, "blue", "Argument `x`: expected one of 'red', got the string 'blue'."),
        (datetime, "soon", "Argument `x`: expected an ISO 8601 date with time, got the string 'soon'."),
        (Annotated[int, Field(gt=3)], 1, "Argument `x`: expected a value greater than 3, got the integer 1."),
        (Annotated[str, Field(min_length=3)], "a", "Argument `x`: string should have at least 3 characters, got the"),
        (list[int], ["a"] * 1000, "Argument `x`: does not fit in 1,000 places."),
        (Moody, {"x": 1}, "Argument `x`: its validation failed: KeyError."),
        pytest.param(str, 10**5000, "Argument `x`: its validation failed: ValueError.", id="unprintable"),
    ],
)
def test_a_value_that_does_not_fit_is_told(annotation: Any, value: Any, sentence: str) -> None:
    message = refusal(taking(annotation), kwargs={"x": value}).message
    assert message.startswith(sentence)
    message.encode()


def test_none_passes_where_it_is_the_default() -> None:
    assert call(taking(int, None), x=None) is None
    assert call(taking(int, None), x="5") == 5
    refusal(taking(int, 3), kwargs={"x": None})


def test_what_is_not_given_is_not_passed() -> None:
    sentinel = object()

    def function(x: int = sentinel, *, y: list[int] = sentinel) -> Any:  # type: ignore[assignment]
        return x, y

    bound = Signature.of(function).bind((), {})
    assert (bound.args, bound.kwargs) == ((), {})
    assert call(function) == (sentinel, sentinel)


def test_unannotated_parameters_take_the_same_object() -> None:
    value = {"a": [1]}
    assert call(lambda x: x, x=value) is value
    assert call(taking(Any), value) is value


def test_one_unresolvable_annotation_leaves_the_others_checked() -> None:
    def function(x: Unimportable, y: int) -> Any:
        return x, y

    assert call(function, x="anything", y="5") == ("anything", 5)
    assert refusal(function, kwargs={"x": 1, "y": "b"}).field == "y"


def test_unknown_missing_and_wrong_come_at_once() -> None:
    def function(count: int, name: str, mode: str = "a") -> None: ...

    error = refusal(function, kwargs={"count": "x", "nmae": "y", "zzzzz": 1})
    assert [(violation.field, violation.description) for violation in error.violations] == [
        ("count", "Expected an integer, got the string 'x'."),
        ("nmae", "Unknown. Did you mean `name`?"),
        ("zzzzz", "Unknown. Known: `count`, `name`, `mode`."),
        ("name", "Required, but missing."),
    ]
    assert error.field == "count"
    for name in ("`count`", "`nmae`", "`zzzzz`", "`name`"):
        assert name in error.message


def test_the_schema_describes_the_keyword_arguments() -> None:
    def function(
        a: int,
        title: str = "t",
        items: list[int] | None = None,
        limit: int = None,  # type: ignore[assignment]  # noqa: RUF013 - as authors write it
        anything: Any = 5,
        odd: Callable[[], int] = print,  # type: ignore[assignment]
        where: Path = Path("x"),
        *,
        person: Person,
    ) -> None: ...

    schema = Signature.of(function).json_schema
    assert schema == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            "title": {"type": "string", "default": "t"},
            "items": {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}], "default": None},
            "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
            "anything": {"default": 5},
            "odd": {},
            "where": {"type": "string", "format": "path"},
            "person": {"$ref": "#/$defs/Person"},
        },
        "required": ["a", "person"],
        "additionalProperties": False,
        "$defs": {
            "Person": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "age": {"type": "integer", "default": 0}},
                "required": ["name"],
            }
        },
    }


def test_the_schema_allows_more_names_where_the_function_does() -> None:
    def typed(**rest: int) -> None: ...

    def free(**rest: Any) -> None: ...

    assert Signature.of(typed).json_schema["additionalProperties"] == {"type": "integer"}
    assert Signature.of(free).json_schema["additionalProperties"] is True
