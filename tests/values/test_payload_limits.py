from __future__ import annotations

import collections
import enum
import functools
import json
import re
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runagent_grpc.errors import InvalidRequestError
from runagent_grpc.values.payload import MAX_DEPTH, MAX_INTEGER_DIGITS, Json, decode, encode, parse_json
from tests.values.values import AttrsClass, Count, OldTree, OwnMapping, Plain, Point, Shouting, Tree


@pytest.mark.parametrize("sign", [1, -1])
def test_an_integer_keeps_4300_digits(sign: int) -> None:
    number = sign * (10**MAX_INTEGER_DIGITS - 1)

    assert decode(encode(number)) == parse_json(str(number)) == number
    assert decode(encode([number, set()])) == [number, []]


class HugeEnum(enum.Enum):
    HUGE = 10**MAX_INTEGER_DIGITS


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (10**MAX_INTEGER_DIGITS, ""),
        (-(10**MAX_INTEGER_DIGITS), ""),
        ([10**100_000], " at `[0]`"),
        ({"a": {Count(10**MAX_INTEGER_DIGITS)}}, " at `a[0]`"),
        ({"b": {10**MAX_INTEGER_DIGITS: 1}}, " at `b`"),
        (HugeEnum.HUGE, ""),
        ([0, Plain(a=10**MAX_INTEGER_DIGITS)], " at `[1].a`"),
    ],
    ids=["positive", "negative", "huge", "converted", "key", "enum", "field"],
)
def test_an_integer_of_more_digits_is_refused(value: Any, where: str) -> None:
    with pytest.raises(InvalidRequestError, match=rf"more than 4,300 digits{re.escape(where)}\.$"):
        encode(value)


def nested(wrap: Callable[[Any], Any], levels: int) -> Any:
    return functools.reduce(lambda value, _: wrap(value), range(levels), 1)


WRAPS: dict[str, Callable[[Any], Any]] = {
    "list": lambda value: [value],
    "tuple": lambda value: (value,),
    "dict": lambda value: {"a": value},
    "mapping": lambda value: OwnMapping(a=value),
    "deque": lambda value: collections.deque([value]),
    "object": lambda value: Plain(a=value),
    "dataclass": lambda value: Point(1, value),
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_values_nest_100_levels_and_no_more(wrap: Callable[[Any], Any]) -> None:
    text = encode(nested(wrap, MAX_DEPTH))

    assert isinstance(text, Json)
    assert parse_json(text) == decode(text)
    for levels in (MAX_DEPTH + 1, 3000):
        with pytest.raises(InvalidRequestError, match=r"deeper than 100 levels at `\S+`\.$") as caught:
            encode(nested(wrap, levels))
        assert len(caught.value.message) < 300


@pytest.mark.parametrize("wrap", [WRAPS["list"], WRAPS["tuple"], WRAPS["dict"]], ids=["list", "tuple", "dict"])
@pytest.mark.parametrize("inmost", [[], {}, (), [1], list(range(5000))], ids=["[]", "{}", "()", "[1]", "wide"])
def test_the_inmost_container_counts(wrap: Callable[[Any], Any], inmost: Any) -> None:
    def around(levels: int) -> Any:
        return functools.reduce(lambda value, _: wrap(value), range(levels), inmost)

    assert decode(encode(around(MAX_DEPTH - 1)))
    with pytest.raises(InvalidRequestError, match="deeper than 100 levels"):
        encode(around(MAX_DEPTH))


def test_a_wide_value_is_not_a_deep_one() -> None:
    value: list[Any] = [[{}] for _ in range(MAX_DEPTH * 3)]

    assert decode(encode(value)) == value
    assert parse_json(json.dumps(value)) == value


class Told:
    def __init__(self) -> None:
        self.told: dict[str, Any] = {}

    def to_dict(self) -> dict[str, Any]:
        return self.told


class Mirror:
    """Gives another of itself, and another."""

    def to_dict(self) -> dict[str, Any]:
        return {"again": Mirror()}


class Corridor:
    def to_dict(self) -> Corridor:
        return Corridor()


class Narcissus:
    def to_dict(self) -> Narcissus:
        return self


def cycles() -> Iterator[Any]:
    a_list: list[Any] = [1]
    a_list.append([a_list])
    a_dict: dict[str, Any] = {}
    a_dict["a"] = [{"b": a_dict}]
    an_object = types.SimpleNamespace()
    an_object.again = an_object
    a_point = Point(1)
    a_point.y = (a_point,)
    a_struct = AttrsClass()
    a_struct.parts.append(a_struct)
    a_model = Tree()
    a_model.parts.append(a_model)
    a_loose_model = Tree()
    a_loose_model.anything = {"again": [a_loose_model]}
    a_serializing_model = Shouting(word="a")
    a_serializing_model.again = a_serializing_model
    an_old_model = OldTree()
    an_old_model.parts.append(an_old_model)
    a_dict_of_its_own = Told()
    a_dict_of_its_own.told = {"me": [a_dict_of_its_own]}
    its_own_dict = Told()
    its_own_dict.told["again"] = its_own_dict.told
    yield from (a_list, a_dict, an_object, a_point, [an_object], {"a": a_list}, a_struct, a_model, a_loose_model)
    a_wide_list: list[Any] = list(range(1000))
    a_wide_list += [{"again": a_wide_list}]
    a_wide_dict: dict[str, Any] = dict.fromkeys(map(str, range(1000)), 0)
    a_wide_dict["again"] = [0, a_wide_dict]
    yield from (a_wide_list, a_wide_dict)
    yield from ([a_serializing_model], an_old_model, a_dict_of_its_own, its_own_dict)


@pytest.mark.parametrize("value", list(cycles()), ids=lambda value: type(value).__name__)
def test_a_value_that_holds_itself_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRequestError, match=r"^The value holds itself at `.+`; JSON cannot say that\.$"):
        encode(value)


@pytest.mark.parametrize("value", [Mirror(), Corridor()], ids=lambda value: type(value).__name__)
def test_a_value_without_end_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRequestError, match="deeper than 100 levels"):
        encode(value)


def test_an_object_that_becomes_itself_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match=r"^The value holds itself; JSON cannot say that\.$"):
        encode(Narcissus())
    with pytest.raises(InvalidRequestError, match=re.escape("holds itself at `[0]`")):
        encode([Narcissus()])


def test_the_place_where_a_value_holds_itself_is_named() -> None:
    value: dict[str, Any] = {"first": 1, "items": [0, {}]}
    value["items"][1]["parent"] = value

    with pytest.raises(InvalidRequestError, match=re.escape("`items[1].parent`")):
        encode(value)
