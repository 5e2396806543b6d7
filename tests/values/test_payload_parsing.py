from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runagent_grpc.errors import InvalidRequestError, Reason
from runagent_grpc.values.payload import MAX_INTEGER_DIGITS, parse_json


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
    ("text", "where"),
    [
        ('{"a":["","\\ud800"]}', "a[1]"),
        ('[{"\\ud800":1}]', "[0].?"),
        ('{"a":{"b":"\\udc00"}}', "a.b"),
    ],
)
def test_the_place_of_a_lone_surrogate_is_named(text: str, where: str) -> None:
    with pytest.raises(InvalidRequestError, match=re.escape(f"a character, at `{where}`.")):
        parse_json(text)


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
