from __future__ import annotations

import dataclasses
import enum
import functools
import math
import timeit
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator
from typing_extensions import TypedDict

from runagent_grpc.agent.signature import BoundArguments, Signature
from runagent_grpc.errors import InvalidRequestError, Reason

if TYPE_CHECKING:
    from decimal import Decimal as Unimportable


class Person(BaseModel):
    name: str
    age: int = 0


@dataclasses.dataclass
class Point:
    x: int
    y: int


class Options(TypedDict):
    depth: int


class Pair(typing.NamedTuple):
    left: int
    right: int


class Colour(enum.Enum):
    RED = "red"


class Tree(BaseModel):
    children: list[Tree] = []


class Unfinished(BaseModel):
    other: NotDefinedAnywhere  # type: ignore[name-defined]  # noqa: F821  # what the test is about


class Deferred(BaseModel, defer_build=True):
    x: int


class Moody(BaseModel):
    x: int

    @field_validator("x")
    @classmethod
    def never(cls, value: int) -> int:
        raise KeyError(value)


def call(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    bound = Signature.of(function).bind(args, kwargs)
    return function(*bound.args, **bound.kwargs)


def refusal(function: Callable[..., Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
    with pytest.raises(InvalidRequestError) as caught:
        Signature.of(function).bind(args, kwargs or {})
    error = caught.value
    assert error.reason is Reason.VALIDATION_ERROR
    assert error.violations
    assert "pydantic" not in error.message
    for violation in error.violations:
        assert violation.description.endswith((".", "?"))
    return error


def taking(annotation: Any, default: Any = ...) -> Callable[..., Any]:
    """A function with one parameter `x` of that annotation, which it returns."""

    def function(x: Any) -> Any:
        return x

    function.__annotations__ = {"x": annotation}
    if default is not ...:
        function.__defaults__ = (default,)
    return function


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


def test_a_million_unknown_names_are_refused_in_few_words() -> None:
    error = refusal(lambda x: x, kwargs={f"name{number}": number for number in range(1_000_000)})
    assert len(error.violations) == 16
    assert len(error.message) < 1024
    assert error.message.endswith("There is more that does not fit.")


def test_a_hostile_name_is_told_in_a_printable_form() -> None:
    error = refusal(lambda x=1: x, kwargs={"\x1b\ud800" + "n" * 1000: 1})
    assert error.field is not None
    assert error.field.isascii()
    assert len(error.field) < 100
    error.message.encode()


def test_positions_are_counted() -> None:
    def function(a: int, b: int = 2) -> Any:
        return a, b

    assert call(function, "1", b="3") == (1, 3)
    assert "at most 2 positional arguments, got 3" in refusal(function, (1, 2, 3)).message
    twice = refusal(function, (1,), {"a": 2})
    assert (twice.field, len(twice.violations)) == ("a", 1)
    assert "by position and by name" in twice.message


def test_positional_only_parameters_go_by_position_alone() -> None:
    def function(a: int, /, b: int, **rest: Any) -> Any:
        return a, b, rest

    assert call(function, "1", b="2", a="kept") == (1, 2, {"a": "kept"})
    assert "by position alone" in refusal(function, (), {"a": 1, "b": 2}).message

    def strict(a: int = 1, /) -> int:
        return a

    assert "by position alone" in refusal(strict, (), {"a": 1}).message
    assert Signature.of(strict).json_schema["properties"] == {}


def test_keyword_only_parameters_go_by_name_alone() -> None:
    def function(*, a: int, b: int = 2) -> Any:
        return a, b

    assert call(function, a="1") == (1, 2)
    assert {violation.field for violation in refusal(function, (1,)).violations} == {"args", "a"}


def test_stars_take_the_rest_and_check_it_where_they_are_annotated() -> None:
    def free(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    def typed(a: int, *args: int, **kwargs: int) -> Any:
        return a, args, kwargs

    value: list[int] = []
    assert call(free, value, x=value)[0][0] is value
    assert call(typed, "1", "2", "3", x="4") == (1, (2, 3), {"x": 4})
    error = refusal(typed, (1, 2, "b"), {"x": "c", "y": 5})
    assert [violation.field for violation in error.violations] == ["args[1]", "x"]
    assert len(refusal(typed, ["a"] * 1000).violations) == 16
    assert len(refusal(typed, [1], {f"k{n}": "a" for n in range(1000)}).violations) == 16


@pytest.mark.parametrize(
    "name",
    [
        "self",
        "cls",
        "__class__",
        "model_config",
        "model_fields",
        "copy",
        "json",
        "args",
        "kwargs",
        "schema",
        "__init__",
    ],
)
def test_any_name_can_be_an_arguments(name: str) -> None:
    namespace: dict[str, Any] = {}
    # Names such as these cannot be parametrised otherwise.
    exec(f"def one({name}: int): return {name}\ndef rest(**others): return others", namespace)  # noqa: S102  # own text
    one, rest = namespace["one"], namespace["rest"]
    bound = Signature.of(one).bind((), {name: "5"})
    assert one(**bound.kwargs) == 5
    assert refusal(one, (), {name: "x"}).field == name
    assert list(Signature.of(one).json_schema["properties"]) == [name]
    bound = Signature.of(rest).bind((), {name: 5})
    assert rest(**bound.kwargs) == {name: 5}


class Service:
    def method(self, x: int, **rest: Any) -> Any:
        return x, rest

    def __call__(self, x: int, **rest: Any) -> Any:
        return x, rest

    @classmethod
    def made(cls, x: int, **rest: Any) -> Any:
        return x, rest

    @staticmethod
    def fixed(x: int, **rest: Any) -> Any:
        return x, rest

    def sealed(self, /, x: int, **rest: Any) -> Any:
        return x, rest


class Static:
    @staticmethod
    def __call__(x: int, **rest: Any) -> Any:
        return x, rest


class Made:
    def __init__(self, x: int, **rest: Any) -> None:
        self.seen = (x, rest)


def passing_on(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Decorated:
    @passing_on
    def method(self, x: int, **rest: Any) -> Any:
        return x, rest


def first_then_rest(first: int, x: int, **rest: Any) -> Any:
    return x, rest


@pytest.mark.parametrize(
    ("function", "taken"),
    [
        (Service().method, "self"),
        (Service(), "self"),
        (Service.made, "cls"),
        (Service().made, "cls"),
        (Decorated().method, "self"),
        (passing_on(Service().method), "self"),
        (functools.partial(Service().method), "self"),
        (functools.partial(first_then_rest, 1), "first"),
        (Made, "self"),
    ],
)
def test_a_name_that_python_fills_in_itself_is_refused(function: Callable[..., Any], taken: str) -> None:
    bound = Signature.of(function).bind((), {"x": "5", "other": 1})
    function(*bound.args, **bound.kwargs)
    assert refusal(function, (), {"x": 5, taken: 1}).field == taken
    with pytest.raises(TypeError):
        function(**{"x": 5, taken: 1})


@pytest.mark.parametrize("function", [Service().fixed, Service().sealed, Static(), passing_on(Service.fixed)])
def test_self_is_free_where_nothing_takes_it(function: Callable[..., Any]) -> None:
    assert call(function, x="5", self=1) == (5, {"self": 1})


def test_partials_keep_what_they_were_given() -> None:
    def function(a: int, b: int, c: int = 3) -> Any:
        return a, b, c

    assert call(functools.partial(function, 1), b="2") == (1, 2, 3)
    assert call(functools.partial(function, b=2), a="1", c="4") == (1, 2, 4)
    assert call(functools.partial(function, b=2), "1", b="5") == (1, 5, 3)
    assert refusal(functools.partial(function, 1), (), {"a": 1, "b": 2}).field == "a"


def test_a_decorated_function_is_checked_as_what_it_wraps() -> None:
    @passing_on
    def function(x: int) -> int:
        return x

    assert call(function, x="5") == 5
    assert refusal(function, (), {"x": "a"}).field == "x"


def test_generators_and_coroutines_have_signatures_like_all_functions() -> None:
    def chunks_stream(n: int) -> Iterator[int]:
        yield from range(n)

    async def answer(x: int) -> int:
        return x

    assert list(call(chunks_stream, n="3")) == [0, 1, 2]
    assert refusal(answer, (), {"x": "a"}).field == "x"


def test_a_builtin_without_a_signature_takes_everything() -> None:
    assert call(dict, a=1) == {"a": 1}
    assert call(math.hypot, 3, 4) == 5
    assert Signature.of(dict).json_schema["additionalProperties"] is True


class Answers:
    """Answers every question with itself, as some proxies do."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> str:
        return "called"


def test_an_object_that_answers_everything_with_itself_does_not_keep_us() -> None:
    assert call(Answers(), 1, x=2) == "called"


def test_values_nested_without_end_are_refused() -> None:
    nested: dict[str, Any] = {}
    for _ in range(100_000):
        nested = {"children": [nested]}
    assert refusal(taking(Tree), (), {"x": nested}).field is not None
    assert refusal(taking(list), (), {"x": "[" * 100_000}).field == "x"


def test_the_schema_describes_the_keyword_arguments() -> None:
    def function(
        a: int,
        title: str = "t",
        items: list[int] | None = None,
        limit: int = None,  # type: ignore[assignment]  # noqa: RUF013  # as authors write it
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


def test_binding_a_small_call_takes_microseconds() -> None:
    def function(name: str, count: int, ratio: float = 1.0) -> None: ...

    signature = Signature.of(function)
    arguments = {"name": "a", "count": 3, "ratio": 0.5}
    best = min(timeit.repeat(lambda: signature.bind((), arguments), number=1000, repeat=5)) / 1000
    # It is 4 us; ten times that is a mistake on any machine.
    assert best < 40e-6


def reference(
    a: int,
    b: str = "",
    c: list[int] | None = None,
    d: dict[str, float] | None = None,
    e: Person | Point | None = None,
    f: bool | Literal["x"] = False,
    *rest: int | list[str],
    g: Tree | None = None,
    h: tuple[int, str] | None = None,
    i: datetime | None = None,
    **others: set[str] | int,
) -> None: ...


REFERENCE = Signature.of(reference)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.builds(lambda: 10**4400),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["name", "x", "children"]), inner),
    max_leaves=8,
)
json_texts = st.sampled_from(["[1, 2]", '{"name": "a"}', '{"x": 1, "y": 2}', "null", "[", "[[[]]]", '"a"', "1e400"])
arguments = json_values | json_texts
names = st.sampled_from([*"abcdefghi", "rest", "others", "self"]) | st.text(st.characters())


@settings(max_examples=200, deadline=None)
@given(args=st.lists(arguments, max_size=8), kwargs=st.dictionaries(names, arguments, max_size=8))
def test_json_like_arguments_are_bound_or_refused_and_nothing_else(args: list[Any], kwargs: dict[str, Any]) -> None:
    bound = bound_or_refused(args, kwargs)
    if isinstance(bound, InvalidRequestError):
        assert 1 <= len(bound.violations) <= 16
        assert len(bound.message.encode()) < 4000
        assert "".join(violation.field for violation in bound.violations).isprintable()
    else:
        reference(*bound.args, **bound.kwargs)
        assert set(bound.kwargs) == set(kwargs)
        assert len(bound.args) == len(args)


def bound_or_refused(args: list[Any], kwargs: dict[str, Any]) -> BoundArguments | InvalidRequestError:
    try:
        return REFERENCE.bind(args, kwargs)
    except InvalidRequestError as error:
        return error


@settings(max_examples=100, deadline=None)
@given(args=st.lists(arguments, max_size=4), kwargs=st.dictionaries(names, arguments, max_size=4))
def test_an_unannotated_function_is_refused_exactly_where_python_would_refuse_it(
    args: list[Any], kwargs: dict[str, Any]
) -> None:
    def function(a: Any, b: Any = 1, /, c: Any = 2, *, d: Any = 3) -> Any:
        return a, b, c, d

    try:
        expected = function(*args, **kwargs)
    except TypeError:
        refusal(function, args, kwargs)
    else:
        bound = Signature.of(function).bind(args, kwargs)
        assert all(map(lambda x, y: x is y, function(*bound.args, **bound.kwargs), expected))
