"""Objects of the shapes that frameworks hand out, as small classes; the frameworks themselves are elsewhere."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import enum
import types
import unittest.mock
from collections.abc import Iterator
from typing import Any

import pytest

from runagent_grpc.values.payload import decode, encode, plain
from tests.values.values import AttrsLike, Colour, Model, Plain


@dataclasses.dataclass
class Event:
    """As Agno's: a dataclass that says itself what is worth telling."""

    content: str
    session: Any = None
    at: datetime.date = datetime.date(2024, 1, 2)

    def to_dict(self) -> dict[str, Any]:
        return {"content": self.content, "at": self.at}


def test_a_dataclass_that_has_a_to_dict_is_what_that_says() -> None:
    assert plain([Event("hi", session=object())]) == [{"content": "hi", "at": "2024-01-02"}]


@dataclasses.dataclass
class Parametrised:
    content: str

    def to_dict(self, style: str) -> dict[str, Any]:
        raise AssertionError(style)


def test_a_to_dict_that_needs_arguments_is_not_called() -> None:
    assert plain(Parametrised("hi")) == {"content": "hi"}


class Struct:
    """Looks like a Struct of msgspec's."""

    __struct_fields__ = ("name", "unset", "_private")
    __slots__ = __struct_fields__

    def __init__(self) -> None:
        self.name, self._private = "n", 1


class SlottedAttrs:
    __attrs_attrs__ = (types.SimpleNamespace(name="a"), types.SimpleNamespace(name="_b"))
    __slots__ = ("_b", "a")

    def __init__(self) -> None:
        self.a, self._b = {1}, 2


class Number:
    """Looks like a number of NumPy's, which is neither an int nor a float."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def tolist(self) -> Any:
        return self._value

    def __repr__(self) -> str:
        return f"np.float32({self._value})"


class Series(Number):
    """Looks like a Series of pandas's."""

    def to_dict(self) -> dict[int, Any]:
        return dict(enumerate(self._value))


class Row:
    """Looks like a row of SQLite's: looked up by name, and no mapping."""

    def keys(self) -> list[str]:
        return ["a", "b"]

    def __getitem__(self, key: str) -> Any:
        return {"a": 1, "b": {2}}[key]

    def __iter__(self) -> Iterator[Any]:
        return iter((1, {2}))


class Loud(dict[str, Any]):
    """A dict with items of its own."""

    def items(self) -> Any:
        return [(key.upper(), value) for key, value in super().items()]


class Shared(collections.OrderedDict[str, Any]): ...


class Weight(float, enum.Enum):
    LIGHT = 0.5


def numbers() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Struct(), {"name": "n"}),
        (SlottedAttrs(), {"a": [1]}),
        (AttrsLike(), {"a": 1}),
        (Number(1.5), 1.5),
        (Number([[1, float("nan")], [Colour.RED, None]]), [[1, None], ["red", None]]),
        (Series([1, 2]), [1, 2]),
        (array.array("d", [1.5]), [1.5]),
        (Row(), {"a": 1, "b": [2]}),
        (Loud(a=1), {"A": 1}),
        (Loud(a={1}), {"A": [1]}),
        (Shared(a=Shared(b=1)), {"a": {"b": 1}}),
        (collections.defaultdict(list, {"a": [1]}), {"a": [1]}),
        ({"a": 1}.keys(), ["a"]),
        ({"a": {1}}.values(), [[1]]),
        ({"a": 1}.items(), [["a", 1]]),
        (collections.ChainMap({"a": 1}), {"a": 1}),
        (Weight.LIGHT, 0.5),
        (types, str(types)),
        (Model, str(Model)),
        (list[int], "list[int]"),
        (KeyError("a"), "'a'"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_of_this_kind_becomes_plain(value: Any, expected: Any) -> None:
    assert plain(value) == expected
    assert decode(encode([value, {1}])) == [*decode(encode([value])), [1]]


class AnswersEverything:
    """As proxies and mocks do."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self

    def __str__(self) -> str:
        return "a proxy"


class LazySlots:
    __slots__ = ("a", "unset")

    def __init__(self) -> None:
        self.a = 1

    def __getattr__(self, name: str) -> Any:
        return "made up"


class Meta(type):
    def __getattr__(cls, name: str) -> Any:
        return lambda self: "made up"


class OfMeta(metaclass=Meta):
    def __init__(self) -> None:
        self.a = 1


class Unwilling:
    """None stands where a base class has a method: the class wants not to have it."""

    to_dict = None

    def __init__(self) -> None:
        self.a = 1


class Property:
    def __init__(self) -> None:
        self.a = 1

    @property
    def broken(self) -> Any:
        raise AssertionError("A property is not to be asked.")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (AnswersEverything(), "a proxy"),
        (LazySlots(), {"a": 1}),
        (OfMeta(), {"a": 1}),
        (Unwilling(), {"a": 1}),
        (Property(), {"a": 1}),
        (Plain(a=AnswersEverything()), {"a": "a proxy"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_object_is_taken_for_nothing_that_its_class_is_not(value: Any, expected: Any) -> None:
    assert plain([value]) == [expected]


@pytest.mark.parametrize("spec", [None, dict, int, list, Model, Event])
def test_a_mock_is_a_mock(spec: Any) -> None:
    mock = unittest.mock.MagicMock(spec=spec, name="a mock")

    assert plain([mock]) == [str(mock)]


def test_a_generator_within_a_value_is_its_text_and_is_not_consumed() -> None:
    generator = numbers()
    told = plain({"numbers": generator})

    assert told == {"numbers": str(generator)}
    assert list(generator) == [1]


def test_an_attribute_whose_name_is_no_text_is_none() -> None:
    holder = types.SimpleNamespace(a=1)
    attributes: dict[Any, Any] = vars(holder)
    attributes[5] = 2
    assert plain(holder) == {"a": 1}
