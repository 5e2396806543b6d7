from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runagent_grpc.worker.signature.signature import Signature
from tests.worker.signature.binding import call, refusal


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
    exec(f"def one({name}: int): return {name}\ndef rest(**others): return others", namespace)  # noqa: S102 - own text
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
