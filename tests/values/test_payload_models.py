"""Models of pydantic, as frameworks make them: what each says of itself, and nothing that it keeps back."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import pydantic
import pytest
import typing_extensions

from runagent_grpc.values.payload import encode, plain
from tests.values.values import OldTree, Shouting, Tree


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


class Failing(pydantic.BaseModel):
    @pydantic.computed_field  # type: ignore[prop-decorator]  # as above
    @property
    def broken(self) -> int:
        raise KeyError("the author's own")


def test_what_a_computed_field_raises_comes_through() -> None:
    with pytest.raises(KeyError, match="the author's own"):
        encode([Failing()])
