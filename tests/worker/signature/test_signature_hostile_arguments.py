from __future__ import annotations

import timeit
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from runagent_grpc.errors import InvalidRequestError
from runagent_grpc.worker.signature.signature import BoundArguments, Signature

if TYPE_CHECKING:
    pass
from tests.worker.signature.binding import Person, Point, Tree, refusal, taking


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


def test_values_nested_without_end_are_refused() -> None:
    nested: dict[str, Any] = {}
    for _ in range(100_000):
        nested = {"children": [nested]}
    assert refusal(taking(Tree), (), {"x": nested}).field is not None
    assert refusal(taking(list), (), {"x": "[" * 100_000}).field == "x"


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
