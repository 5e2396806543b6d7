"""Values of every kind that an author's code may hand out."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import enum
import types
from collections.abc import Mapping
from typing import Any

import pydantic
import pydantic.v1

__all__ = [
    "AttrsClass",
    "AttrsLike",
    "Cents",
    "Chatty",
    "Colour",
    "Count",
    "Empty",
    "Level",
    "ListModel",
    "MixedIn",
    "Model",
    "MoreSlots",
    "OldModel",
    "OldTree",
    "OwnMapping",
    "Pair",
    "Plain",
    "Point",
    "Record",
    "Rows",
    "Shouting",
    "Size",
    "Slotted",
    "Text",
    "Tree",
    "WithSlots",
    "Wordy",
]


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2)
    NUMBER = 5


class Size(enum.StrEnum):
    SMALL = "small"


class MixedIn(str, enum.Enum):  # noqa: UP042 - the form that predates StrEnum is still the common one
    OLD = "old"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: int
    y: Any = 2.0
    _hidden: str = "not told"


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    name: str


class Model(pydantic.BaseModel):
    name: str
    tags: set[str] = set()
    when: datetime.date | None = None
    _private: int = pydantic.PrivateAttr(default=1)


class ListModel(pydantic.RootModel[list[int]]): ...


class OldModel:
    """Looks like a model of pydantic 1."""

    __fields__: Mapping[str, Any] = types.MappingProxyType({"a": None})

    def dict(self) -> dict[str, Any]:
        return {"a": Colour.RED}


class Tree(pydantic.BaseModel):
    parts: list[Tree] = []
    anything: Any = None


class Shouting(pydantic.BaseModel):
    """Says in its own way what it is."""

    word: str
    again: Any = None

    @pydantic.field_serializer("word")
    def _shouted(self, word: str) -> str:
        return word.upper()


class OldTree(pydantic.v1.BaseModel):
    """A model of pydantic 1, as pydantic 2 keeps it."""

    name: str = "n"
    parts: list[Any] = []
    secret: pydantic.v1.SecretStr = pydantic.v1.SecretStr("never told")
    left_out: int = pydantic.v1.Field(default=1, exclude=True)
    _private = 1


class AttrsClass:
    """Looks like a class of attrs's."""

    __attrs_attrs__ = (types.SimpleNamespace(name="parts"),)

    def __init__(self) -> None:
        self.parts: list[Any] = []


class AttrsLike:
    __attrs_attrs__ = (types.SimpleNamespace(name="a"), types.SimpleNamespace(name="_b"))
    a = 1
    _b = 2
    not_a_field = 3


class Chatty:
    def to_dict(self) -> dict[str, Any]:
        return {"said": Size.SMALL, "at": datetime.time(1, 2)}


class Wordy:
    """What it says of itself is no mapping."""

    def to_dict(self) -> list[Any]:
        return [1, Colour.RED]


class Plain:
    def __init__(self, **fields: Any) -> None:
        vars(self).update(fields)


class WithSlots:
    __slots__ = ("__mangled", "_private", "a", "unset")

    def __init__(self) -> None:
        self.a, self._private, self.__mangled = 1, 2, 3


class MoreSlots(WithSlots):
    __slots__ = "b"

    def __init__(self) -> None:
        super().__init__()
        self.b = 2


class Empty:
    def __str__(self) -> str:
        return "nothing in it"


class Text(str):
    __slots__ = ()


class Count(int): ...


class Cents(float): ...


class Rows(list[Any]): ...


class Record(dict[str, Any]): ...


class Pair(collections.namedtuple("Pair", "left right")):
    __slots__ = ()


class OwnMapping(collections.UserDict[Any, Any]): ...
