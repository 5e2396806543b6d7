"""Objects of the shapes that frameworks hand out, as small classes; the frameworks themselves are elsewhere."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import enum
import types
import unittest.mock
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import pydantic
import pytest
import typing_extensions

from runagent_grpc.payload import decode, encode, plain
from tests.payload.values import AttrsLike, Colour, Model, OldTree, Plain, Shouting, Tree


class Message(pydantic.BaseModel):
    """As LangChain's: a base class that fields are declared with, and subclasses that stand in them."""

    model_config = pydantic.ConfigDict(extra="allow")

    content: str
    type: str = "base"


class AiMessage(Message):
    type: str = "ai"
    tool_calls: list[dict[str, Any]] = []


class Generation(pydantic.BaseModel):
    message: Message
    messages: list[Message] = []
    structured: pydantic.BaseModel | None = None


def test_a_model_keeps_what_its_subclass_adds_whatever_its_field_was_declared_as() -> None:
    message = AiMessage(content="hi", tool_calls=[{"name": "look"}])
    told = plain(Generation(message=message, messages=[message], structured=message))

    expected = {"content": "hi", "type": "ai", "tool_calls": [{"name": "look"}]}
    assert told == {"message": expected, "messages": [expected], "structured": expected}


class Outcome(pydantic.BaseModel):
    """As AutoGen's: pydantic has a serializer of its own for any sequence."""

    messages: Sequence[Message] = ()


def test_a_model_in_a_sequence_of_any_kind_keeps_what_its_subclass_adds() -> None:
    told = plain(Outcome(messages=[AiMessage(content="hi", tool_calls=[{"name": "look"}])]))
    assert told == {"messages": [{"content": "hi", "type": "ai", "tool_calls": [{"name": "look"}]}]}


def test_a_model_tells_what_it_was_given_besides() -> None:
    assert plain(Message.model_validate({"content": "hi", "id": 7})) == {"content": "hi", "type": "base", "id": 7}


class Careful(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(populate_by_name=True)

    key: pydantic.SecretStr = pydantic.SecretStr("never told")
    code: pydantic.SecretBytes = pydantic.SecretBytes(b"never told")
    internal: str = pydantic.Field(default="never told", exclude=True)
    long_name: int = pydantic.Field(default=3, alias="longName")
    _cache: str = pydantic.PrivateAttr(default="never told")

    @pydantic.computed_field  # type: ignore[prop-decorator]  # mypy has no properties below a decorator
    @property
    def doubled(self) -> int:
        return self.long_name * 2


def test_a_model_tells_no_secrets_and_nothing_that_it_excludes() -> None:
    told = plain([Careful(), {"nested": Careful()}])

    assert told[0] == {"key": "**********", "code": "b'**********'", "long_name": 3, "doubled": 6}
    assert "never told" not in str(told)
    assert "never told" not in str(encode(pydantic.SecretStr("never told")))
    assert plain(OldTree()) == {"name": "n", "parts": [], "secret": "**********"}


@pydantic.dataclasses.dataclass
class CarefulRecord:
    name: str = "n"
    internal: str = pydantic.Field(default="never told", exclude=True)


class CarefulDict(typing_extensions.TypedDict):
    name: str
    internal: Annotated[str, pydantic.Field(exclude=True)]


class HoldsCareful(pydantic.BaseModel):
    record: CarefulRecord = CarefulRecord()
    members: list[CarefulDict] = [{"name": "n", "internal": "never told"}]


def test_what_a_dataclass_or_a_dict_of_pydantics_excludes_is_not_told_either() -> None:
    assert plain(CarefulRecord()) == {"name": "n"}
    assert plain({"it": HoldsCareful()}) == {"it": {"record": {"name": "n"}, "members": [{"name": "n"}]}}


class Line(pydantic.BaseModel):
    count: Annotated[int, pydantic.PlainSerializer(lambda count: f"{count} pieces")] = 2
    counts: list[Annotated[int, pydantic.PlainSerializer(lambda count: f"{count} pieces")]] = [1]


class Wrapped(pydantic.BaseModel):
    word: str = "a"

    @pydantic.model_serializer(mode="wrap")
    def _with_class_name(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return {**handler(self), "class_name": "Wrapped"}


class Dumping(pydantic.BaseModel):
    word: str = "a"

    def model_dump(self) -> dict[str, Any]:  # type: ignore[override]  # as an author may write it
        return {"said": self.word}


class ByAlias(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(serialize_by_alias=True)

    long_name: int = pydantic.Field(default=3, serialization_alias="longName")


class Names(pydantic.RootModel[dict[str, Message]]): ...


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Line(), {"count": "2 pieces", "counts": ["1 pieces"]}),
        (Wrapped(), {"word": "a", "class_name": "Wrapped"}),
        (Shouting(word="a", again={1}), {"word": "A", "again": [1]}),
        (Dumping(), {"said": "a"}),
        (Tree(anything=Dumping()), {"parts": [], "anything": {"said": "a"}}),
        (Names({"a": AiMessage(content="hi")}), {"a": {"content": "hi", "type": "ai", "tool_calls": []}}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_model_is_what_its_class_says_that_it_is(value: Any, expected: Any) -> None:
    assert plain([value, {"nested": value}]) == [expected, {"nested": expected}]


def test_aliases_are_used_where_model_dump_uses_them() -> None:
    assert plain(ByAlias()) == ByAlias().model_dump()


class Deferred(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(defer_build=True)

    count: Annotated[int, pydantic.PlainSerializer(str)] = 2


def test_a_model_whose_schema_is_built_late_is_what_it_says() -> None:
    assert plain([Deferred.model_construct(), Deferred()]) == [{"count": "2"}, {"count": "2"}]


class Chunk(pydantic.BaseModel):
    """As an SDK makes its chunks: of what the service sent, checked or not."""

    id: str
    choices: list[Message]

    def to_dict(self) -> dict[str, Any]:
        return {"part": "of it"}


def test_a_model_that_holds_what_it_should_not_is_told_as_it_is_without_a_warning() -> None:
    sent: dict[str, Any] = {"id": 7, "choices": [{"index": "zero"}, None]}
    worse: dict[str, Any] = {"id": None, "choices": "none"}
    chunk = Chunk.model_construct(**sent)
    odd = Shouting.model_construct(word="a", again=Chunk.model_construct(**worse))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        told = plain([chunk, odd])

    assert told == [sent, {"word": "A", "again": worse}]
    assert caught == []


def test_the_fields_of_a_model_win_over_a_to_dict_that_tells_a_part() -> None:
    assert plain(Chunk(id="1", choices=[])) == {"id": "1", "choices": []}


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


class Failing(pydantic.BaseModel):
    @pydantic.computed_field  # type: ignore[prop-decorator]  # as above
    @property
    def broken(self) -> int:
        raise KeyError("the author's own")


def test_what_a_computed_field_raises_comes_through() -> None:
    with pytest.raises(KeyError, match="the author's own"):
        encode([Failing()])


def test_an_attribute_whose_name_is_no_text_is_none() -> None:
    holder = types.SimpleNamespace(a=1)
    attributes: dict[Any, Any] = vars(holder)
    attributes[5] = 2
    assert plain(holder) == {"a": 1}
