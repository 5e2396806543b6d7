from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import json
import math
import pathlib
import re
import time
import types
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runagent_grpc.errors import InvalidRequestError, Reason
from runagent_grpc.payload import MAX_DEPTH, MAX_INTEGER_DIGITS, Json, Payload, decode, encode, parse_json, size_of


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2)
    NUMBER = 5


class Size(enum.StrEnum):
    SMALL = "small"


class MixedIn(str, enum.Enum):  # noqa: UP042  # the form that predates StrEnum is still the common one
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


@pytest.mark.parametrize("sign", [1, -1])
def test_an_integer_keeps_4300_digits(sign: int) -> None:
    number = sign * (10**MAX_INTEGER_DIGITS - 1)

    assert decode(encode(number)) == parse_json(str(number)) == number
    assert decode(encode([number, set()])) == [number, []]


class HugeEnum(enum.Enum):
    HUGE = 10**MAX_INTEGER_DIGITS


@pytest.mark.parametrize(
    "value",
    [
        10**MAX_INTEGER_DIGITS,
        -(10**MAX_INTEGER_DIGITS),
        [10**100_000],
        {"a": {Count(10**MAX_INTEGER_DIGITS)}},
        {10**MAX_INTEGER_DIGITS: 1},
        HugeEnum.HUGE,
        Plain(a=10**MAX_INTEGER_DIGITS),
    ],
    ids=["positive", "negative", "huge", "converted", "key", "enum", "field"],
)
def test_an_integer_of_more_digits_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRequestError, match=r"more than 4,300 digits\.$"):
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
        with pytest.raises(InvalidRequestError, match=r"deeper than 100 levels\.$"):
            encode(nested(wrap, levels))


def test_a_wide_value_is_not_a_deep_one() -> None:
    value: list[Any] = [[{}] for _ in range(MAX_DEPTH * 3)]

    assert decode(encode(value)) == value
    assert parse_json(json.dumps(value)) == value


class Mirror:
    """Gives another of itself, and another."""

    def to_dict(self) -> dict[str, Any]:
        return {"again": Mirror()}


class Corridor:
    def to_dict(self) -> Corridor:
        return Corridor()


def cycles() -> Iterator[Any]:
    a_list: list[Any] = [1]
    a_list.append([a_list])
    a_dict: dict[str, Any] = {}
    a_dict["a"] = [{"b": a_dict}]
    an_object = types.SimpleNamespace()
    an_object.again = an_object
    a_point = Point(1)
    a_point.y = (a_point,)
    yield from (a_list, a_dict, an_object, a_point, [an_object], {"a": a_list})


@pytest.mark.parametrize("value", list(cycles()), ids=lambda value: type(value).__name__)
def test_a_value_that_holds_itself_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRequestError, match=r"^The value holds itself at `.+`; JSON cannot say that\.$"):
        encode(value)


@pytest.mark.parametrize("value", [Mirror(), Corridor()], ids=lambda value: type(value).__name__)
def test_a_value_without_end_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRequestError, match="deeper than 100 levels"):
        encode(value)


def test_the_place_where_a_value_holds_itself_is_named() -> None:
    value: dict[str, Any] = {"first": 1, "items": [0, {}]}
    value["items"][1]["parent"] = value

    with pytest.raises(InvalidRequestError, match=re.escape("`items[1].parent`")):
        encode(value)


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


@given(st.text(max_size=60) | st.binary(max_size=60) | st.text('[]{}:,"\\u0123456789dDeE+-.truefalsn ', max_size=60))
def test_parsing_gives_what_json_says_or_an_error_of_ours(text: str | bytes) -> None:
    try:
        value = parse_json(text)
    except InvalidRequestError:
        return
    assert value == json.loads(text)


MILLION = 10**6
MALFORMED: dict[str, str | bytes] = {
    "nothing": "",
    "blanks": "  ",
    "half": '{"a":',
    "two values": "1 2",
    "single quotes": "{'a':1}",
    "trailing comma": "[1,]",
    "leading zero": "01",
    "plus": "+1",
    "bare point": "1.",
    "hexadecimal": "0x10",
    "NaN": "NaN",
    "Infinity": "[Infinity]",
    "-Infinity": '{"a":-Infinity}',
    "beyond a double": "1e400",
    "beyond a double, nested": '{"a":[-1e400]}',
    "long exponent": "1e" + "9" * MILLION,
    "a long whole part": "1" * MILLION + ".0",
    "byte order mark": "\ufeff1",
    "not UTF-8": b'"\xff"',
    "UTF-8 that writes a surrogate": b'"\xed\xa0\x80"',
    "UTF-16": '"a"'.encode("utf-16"),
    "NUL": "\0",
    "control character": '"\x01"',
    "bad escape": '"\\x41"',
    "half an escape": '"\\u12"',
}
INVALID: dict[str, str] = {
    "100,000 arrays": "[" * 100_000,
    "100,000 arrays, closed": "[" * 100_000 + "]" * 100_000,
    "100,000 objects": '{"a":' * 100_000,
    "101 arrays": "[" * 101 + "]" * 101,
    "101 mixed": '[{"a":' * 50 + "[1]" + "}]" * 50,
    "a million digits": "9" * MILLION,
    "a million digits, negative": "-" + "9" * MILLION,
    "4301 digits": "[" + "1" * (MAX_INTEGER_DIGITS + 1) + "]",
    "a key twice": '{"a":1,"b":2,"a":3}',
    "a key twice, nested": '[{"a":{"b":1,"b":1}}]',
    "a key twice, once escaped": '{"a":1,"\\u0061":2}',
    "an empty key twice": '{"":1,"":2}',
    "a key of a million": "{" + ",".join(['"a":1'] * 200_000) + "}",
    "lone surrogate": '"\\ud800"',
    "lone low surrogate": '["\\uDC00"]',
    "lone surrogate as a key": '{"\\ud800":1}',
    "surrogates in the wrong order": '"\\udc00\\ud800"',
    "raw lone surrogate": '"\ud800"',
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_json_is_malformed(text: str | bytes) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_json(text)

    assert caught.value.reason is Reason.MALFORMED_REQUEST
    assert caught.value.message.endswith(".")
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID)
def test_json_that_cannot_be_passed_on_exactly_is_invalid(text: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_json(text)

    assert caught.value.reason is Reason.VALIDATION_ERROR
    assert caught.value.message.endswith(".")
    assert len(caught.value.message) < 200


def test_hostile_json_costs_no_time() -> None:
    began = time.process_time()
    for text in [*MALFORMED.values(), *INVALID.values()]:
        with pytest.raises(InvalidRequestError):
            parse_json(text)

    # A tenth of a second is usual; something quadratic takes minutes.
    assert time.process_time() - began < 5


def test_the_line_and_column_of_bad_json_are_named() -> None:
    with pytest.raises(InvalidRequestError, match=r"\(line 2, column 8\)\.$"):
        parse_json('{"a": 1,\n "bcd":}')


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"\\ud83d\\ude00"', "😀"),
        ('"\\\\ud800"', "\\ud800"),
        (b'"\xf0\x9f\x98\x80"', "😀"),
        (" [1 , 2]\r\n\t", [1, 2]),
        ('{"a":{"a":{"a":[]}}}', {"a": {"a": {"a": []}}}),
        ('"' + "[{" * 1000 + '"', "[{" * 1000),
        ("1e-400", 0.0),
        ("0." + "1" * MILLION, 1 / 9),
        ("-0", 0),
        ('{"__class__":1,"self":2,"":3}', {"__class__": 1, "self": 2, "": 3}),
    ],
    ids=lambda part: repr(part)[:24],
)
def test_odd_but_valid_json_is_taken(text: str | bytes, value: Any) -> None:
    assert parse_json(text) == value
