from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import json
import math
import pathlib
import re
import types
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runagent_grpc.errors import InvalidRequestError
from runagent_grpc.values.payload import Json, Payload, decode, encode, parse_json, plain, size_of
from tests.values.values import (
    AttrsLike,
    Cents,
    Chatty,
    Colour,
    Count,
    Empty,
    Level,
    ListModel,
    MixedIn,
    Model,
    MoreSlots,
    OldModel,
    OwnMapping,
    Pair,
    Plain,
    Point,
    Record,
    Rows,
    Size,
    Slotted,
    Text,
    Wordy,
)

AWARE = datetime.datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=datetime.UTC)


UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")


class Case:
    def __init__(self, name: str, value: Any, payload: Payload) -> None:
        self.name, self.value, self.payload = name, value, payload


CASES = [
    # Text and bytes.
    Case("string", "héllo ☃", "héllo ☃"),
    Case("empty string", "", ""),
    Case("text that looks like JSON", '{"a": 1}', '{"a": 1}'),
    Case("subclass of str", Text("a\nb"), "a\nb"),
    Case("JSON text is a string, too", Json("[1]"), "[1]"),
    Case("bytes", b"\x00\xff", b"\x00\xff"),
    Case("bytearray", bytearray(b"ab"), b"ab"),
    Case("memoryview", memoryview(b"abcdef")[::2], b"ace"),
    Case("nested bytes", [b"\x00\xff", bytearray(b"ab"), memoryview(b"abcdef")[::2]], Json('["AP8=","YWI=","YWNl"]')),
    # Numbers and constants.
    Case("None", None, Json("null")),
    Case("true", True, Json("true")),
    Case("false nested", [False], Json("[false]")),
    Case("zero", 0, Json("0")),
    Case("an integer is none but an integer", 1, Json("1")),
    Case("a float stays a float", 1.0, Json("1.0")),
    Case("negative zero", -0.0, Json("-0.0")),
    Case("subclass of int", Count(7), Json("7")),
    Case("subclass of float", Cents(2.5), Json("2.5")),
    Case("beyond a double", 2**53 + 1, Json("9007199254740993")),
    Case("NaN", math.nan, Json("null")),
    Case("infinity", math.inf, "inf"),
    Case("negative infinity", -math.inf, "-inf"),
    Case("NaN nested", {"a": [math.nan, math.inf, -math.inf]}, Json('{"a":[null,"inf","-inf"]}')),
    Case("NaN of a subclass", [Cents("nan"), Cents("inf")], Json('[null,"inf"]')),
    Case("Decimal", decimal.Decimal("1.10"), "1.10"),
    Case("Decimal that is no number", [decimal.Decimal("NaN")], Json('["NaN"]')),
    Case("complex", 1 + 2j, "(1+2j)"),
    Case("fraction", fractions.Fraction(1, 3), "1/3"),
    # Times.
    Case("datetime", AWARE, "2024-02-29T23:59:59.999999+00:00"),
    Case("naive datetime", datetime.datetime(2024, 1, 2), "2024-01-02T00:00:00"),
    Case("date", [datetime.date(2024, 1, 2)], Json('["2024-01-02"]')),
    Case("time", datetime.time(1, 2, 3), "01:02:03"),
    Case("timedelta", datetime.timedelta(seconds=61), "0:01:01"),
    # Identifiers and places.
    Case("UUID", UUID, str(UUID)),
    Case("path", pathlib.PurePosixPath("/a/b"), "/a/b"),
    Case("nested path", {"p": pathlib.PurePosixPath("a/../b")}, Json('{"p":"a/../b"}')),
    # Enums.
    Case("Enum", Colour.RED, "red"),
    Case("Enum of a tuple", Colour.PAIR, Json("[1,2]")),
    Case("Enum of a number", Colour.NUMBER, Json("5")),
    Case("StrEnum", Size.SMALL, "small"),
    Case("str and Enum", MixedIn.OLD, "old"),
    Case("IntEnum", Level.HIGH, Json("3")),
    Case("enums nested", [Colour.RED, Size.SMALL, MixedIn.OLD, Level.HIGH], Json('["red","small","old",3]')),
    Case("enums nested with JSON's words alone", [Size.SMALL, MixedIn.OLD, Level.HIGH], Json('["small","old",3]')),
    # Containers.
    Case("list", [], Json("[]")),
    Case("tuple", (1, "a"), Json('[1,"a"]')),
    Case("named tuple", Pair(1, UUID), Json(f'[1,"{UUID}"]')),
    Case("set", {1}, Json("[1]")),
    Case("frozenset", frozenset({"a"}), Json('["a"]')),
    Case("deque", collections.deque([1, None]), Json("[1,null]")),
    Case("subclass of list", Rows([1]), Json("[1]")),
    Case("dict keeps its order", {"b": 1, "a": 2}, Json('{"b":1,"a":2}')),
    Case("subclass of dict", Record(a=1), Json('{"a":1}')),
    Case("other mapping", OwnMapping({"a": {1}}), Json('{"a":[1]}')),
    Case("proxy of a mapping", types.MappingProxyType({"a": 1}), Json('{"a":1}')),
    Case("one object twice", [[one := {"a": 1}], one, {"b": one}], Json('[[{"a":1}],{"a":1},{"b":{"a":1}}]')),
    Case("one object twice, converted", [one_set := {1}, one_set], Json("[[1],[1]]")),
    # Objects.
    Case("dataclass", Point(1, {3}), Json('{"x":1,"y":[3]}')),
    Case("dataclass with slots", Slotted("n"), Json('{"name":"n"}')),
    Case("pydantic", Model(name="n", tags={"t"}), Json('{"name":"n","tags":["t"],"when":null}')),
    Case("pydantic nested", {"m": [Model(name="n", when=datetime.date(2024, 1, 2))]}, Json(
        '{"m":[{"name":"n","tags":[],"when":"2024-01-02"}]}'
    )),
    Case("pydantic root", ListModel([1, 2]), Json("[1,2]")),
    Case("pydantic 1", OldModel(), Json('{"a":"red"}')),
    Case("attrs", AttrsLike(), Json('{"a":1}')),
    Case("to_dict", Chatty(), Json('{"said":"small","at":"01:02:00"}')),
    Case("to_dict that gives no dict", [Wordy()], Json('[[1,"red"]]')),
    Case("plain object", Plain(a=1, _b=2, c=Plain(d="e")), Json('{"a":1,"c":{"d":"e"}}')),
    Case("namespace", types.SimpleNamespace(a=(1,)), Json('{"a":[1]}')),
    Case("slots, inherited and unset", MoreSlots(), Json('{"b":2,"a":1}')),
    # Anything else.
    Case("object without public fields", Empty(), "nothing in it"),
    Case("exception", ValueError("bad"), "bad"),
    Case("class", Point, str(Point)),
    Case("function", len, str(len)),
    Case("range", range(3), "range(0, 3)"),
    Case("pattern", [re.compile("a")], Json("[\"re.compile('a')\"]")),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_value_travels_by_the_documented_rules(case: Case) -> None:
    payload = encode(case.value)

    assert payload == case.payload
    assert isinstance(payload, Json) == isinstance(case.payload, Json)
    assert isinstance(payload, bytes) == isinstance(case.payload, bytes)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_value_is_the_same_next_to_one_that_json_has_no_word_for(case: Case) -> None:
    assert decode(encode([case.value, set()])) == [*decode(encode([case.value])), []]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_plain_form_of_a_value_is_what_its_receiver_reads(case: Case) -> None:
    converted = plain([case.value])

    assert repr(converted) == repr(decode(encode([case.value])))
    assert converted == [plain(case.value)]


def test_the_plain_form_of_a_value_shares_nothing_with_it() -> None:
    value = {"items": [{"n": 1}]}
    converted = plain(value)
    converted["items"][0]["n"] = 2

    assert value == {"items": [{"n": 1}]}


KEYS = ["a", Text("b"), True, False, None, 0, -1, Count(4), 1.5, 1e22, math.nan, math.inf, -math.inf, 2**64, Level.HIGH]


@pytest.mark.parametrize("key", [*KEYS, Size.SMALL, MixedIn.OLD], ids=repr)
@pytest.mark.parametrize("item", [0, {0}], ids=["plain", "converted"])
def test_a_key_is_written_as_json_dumps_writes_it(key: Any, item: Any) -> None:
    [expected] = json.loads(json.dumps({key: 0}))

    assert list(decode(encode({key: item}))) == [expected]


@pytest.mark.parametrize(
    ("key", "expected"), [((1, 2), "(1, 2)"), (UUID, str(UUID)), (Colour.RED, "red"), (b"k", "b'k'")], ids=repr
)
def test_a_key_that_json_dumps_refuses_is_its_text(key: Any, expected: str) -> None:
    assert encode({key: 1}) == f'{{"{expected}":1}}'


def test_one_and_one_point_zero_and_true_stay_different() -> None:
    assert encode([1, 1.0, True, "1"]) == '[1,1.0,true,"1"]'
    assert list(map(repr, parse_json('[1, 1.0, true, "1", 1e0]'))) == ["1", "1.0", "True", "'1'", "1.0"]


class Grumpy:
    def __init__(self, error: BaseException) -> None:
        self._error = error

    def to_dict(self) -> dict[str, Any]:
        raise self._error


@pytest.mark.parametrize("error", [ValueError("no"), TypeError("no"), RecursionError("no"), SystemExit(1)], ids=repr)
def test_what_a_value_raises_comes_through(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        encode([Grumpy(error)])

    assert caught.value is error


LONE_SURROGATES = [
    ("a\ud800b", "a\ufffdb"),
    ("\udc00\ud800", "\ufffd\ufffd"),
    ("\ud83d\ude00", "😀"),
    ("\ud83d\ud83d\ude00", "\ufffd😀"),
]


@pytest.mark.parametrize(("text", "replaced"), LONE_SURROGATES)
def test_a_lone_surrogate_becomes_the_replacement_character_in_output(text: str, replaced: str) -> None:
    assert encode(text) == encode(Text(text)) == encode(pathlib.PurePosixPath(text)) == replaced
    assert encode(ValueError(text)) == replaced
    values: list[Any] = [{text: [text]}, {text: (text, set())}, Plain(**{text: text})]
    for value in values:
        text_of_value = encode(value)
        assert isinstance(text_of_value, Json)
        assert text_of_value.encode().decode().count(replaced) == 2


@pytest.mark.parametrize(("text", "replaced"), LONE_SURROGATES)
def test_a_lone_surrogate_is_refused_in_arguments(text: str, replaced: str) -> None:
    for value in (text, Text(text), [text], {text: 1}, {"a": {text}}, ValueError(text)):
        with pytest.raises(InvalidRequestError, match="lone surrogate"):
            encode(value, surrogates="refuse")


ANY_TEXT = st.text(st.characters(codec=None), max_size=20)


ANY_VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | ANY_TEXT
    | st.binary(max_size=9)
    | st.decimals()
    | st.datetimes(timezones=st.none() | st.just(datetime.UTC))
    | st.uuids()
    | st.sampled_from([*Colour, *Size, *Level, Chatty(), Empty(), MoreSlots()]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(ANY_TEXT | st.integers() | st.none() | st.floats() | st.booleans(), inner, max_size=4)
        | st.builds(Point, st.integers(), inner)
        | st.builds(lambda value: Plain(field=value), inner)
    ),
    max_leaves=12,
)


@given(ANY_VALUE)
def test_whatever_comes_out_is_strict_json_in_strict_utf_8(value: Any) -> None:
    payload = encode(value)

    if isinstance(payload, Json):
        # Only the numbers that JSON has; keys may stand twice, as 1 and "1" do in a dict of Python's.
        json.loads(payload.encode(), parse_constant=pytest.fail)
        assert json.loads(payload) == decode(payload)
    assert size_of(payload) == len(payload if isinstance(payload, bytes) else payload.encode())


@given(ANY_VALUE)
def test_the_fast_way_and_the_table_agree(value: Any) -> None:
    assert encode([value, []]) == encode([value, set()])


@given(st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.none() | st.booleans())
def test_what_json_has_words_for_comes_back_as_it_was(value: Any) -> None:
    assert repr(decode(encode([value]))) == repr([value])
    assert repr(parse_json(json.dumps(value))) == repr(value)
