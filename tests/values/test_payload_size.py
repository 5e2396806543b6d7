"""Values that refer to the same things many times: small in memory, and without end once written."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runagent_grpc.errors import InvalidRequestError, Reason, ResourceExhaustedError
from runagent_grpc.values.payload import decode, encode, plain, size_of
from tests.values.values import AttrsClass, OwnMapping, Plain, Point, Tree

MIB = 1024 * 1024

LEAF = "x" * MIB


def doubled(wrap: Callable[[Any, Any], Any], levels: int = 60) -> Any:
    """Returns a value of 2 to the power of `levels` leaves, in `levels` objects."""
    value: Any = 1
    for _ in range(levels):
        value = wrap(value, value)
    return value


def attrs_of(*parts: Any) -> AttrsClass:
    value = AttrsClass()
    value.parts = list(parts)
    return value


BOMBS: dict[str, Any] = {
    "lists": doubled(lambda one, other: [one, other]),
    "tuples": doubled(lambda one, other: (one, other)),
    "dicts": doubled(lambda one, other: {"a": one, "b": other}),
    "mappings": doubled(lambda one, other: OwnMapping(a=one, b=other)),
    "objects": doubled(lambda one, other: Plain(a=one, b=other)),
    "dataclasses": doubled(Point),
    "models": doubled(lambda one, other: Tree(parts=[], anything=[one, other]), 45),
    "attrs": doubled(attrs_of, 45),
    "a set beside lists": [{1}, doubled(lambda one, other: [one, other], 40)],
    "a list a million times": [list(range(10_000))] * 1_000_000,
    "a dict of long lists": {str(key): row for key, row in enumerate([[0] * 1_000_000] * 400)},
    "a string a million times": [LEAF] * 1_000_000,
    "a string in every row": [{"document": LEAF, "n": n} for n in range(10_000)],
    "a string in every object": [Point(1, LEAF)] * 1_000_000,
    "a string in every key": [{LEAF: n} for n in range(10_000)],
    "bytes in every row": [{"document": b"x" * MIB}] * 10_000,
}


@pytest.mark.parametrize("convert", [encode, plain], ids=["encode", "plain"])
@pytest.mark.parametrize("name", BOMBS)
def test_a_value_that_would_grow_beyond_what_may_travel_is_refused_before_it_does(
    name: str, convert: Callable[..., Any]
) -> None:
    began = time.process_time()
    with pytest.raises(ResourceExhaustedError, match="takes more than 8,388,608 bytes") as caught:
        convert(BOMBS[name], limit=8 * MIB)

    assert caught.value.reason is Reason.PAYLOAD_TOO_LARGE
    # Half a second is usual on a busy machine; all of it would take years.
    assert time.process_time() - began < 10


@pytest.mark.parametrize("name", ["lists", "objects", "models", "a list a million times", "a string in every object"])
def test_refusing_takes_little_memory(name: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ResourceExhaustedError):
            encode(BOMBS[name], limit=MIB)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 64 * MIB


def test_the_place_where_a_value_grows_too_large_is_named() -> None:
    value = {"small": {1}, "rows": [Point(1, "x" * 600), Point(1, "x" * 600)]}

    with pytest.raises(ResourceExhaustedError, match=r"at `rows\[1\]\.y`\. Send it in parts\.$"):
        encode(value, limit=1000)


def test_what_one_object_became_is_shared_where_it_is_referred_to_again() -> None:
    row = Plain(a={1})
    value = plain([row, row, {"row": row}])

    assert value == [{"a": [1]}, {"a": [1]}, {"row": {"a": [1]}}]


@pytest.mark.parametrize("inmost", [{1}, list(range(1000))], ids=["converted", "plain"])
@pytest.mark.parametrize("levels", [10, 98])
def test_a_shared_value_is_no_deeper_where_it_is_met_again(inmost: Any, levels: int) -> None:
    shared: Any = inmost
    for _ in range(levels):
        shared = [shared]
    deeper = shared
    for _ in range(99 - levels):
        deeper = [deeper]

    assert decode(encode([shared, shared])) == [plain(shared)] * 2
    with pytest.raises(InvalidRequestError, match="deeper than 100 levels"):
        encode([shared, deeper])


SMALL = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("aé☃", max_size=9),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text("aé☃", max_size=9), inner, max_size=6)
    ),
    max_leaves=9,
)

# More parts than are written at one go, here and there with a larger one among them.
MANY: dict[str, Callable[[Any, Any, int], Any]] = {
    "list": lambda item, other, count: [item] * count + [other],
    "tuple": lambda item, other, count: (other, *[item] * count, other),
    "dict": lambda item, other, count: {**dict.fromkeys(map(str, range(count)), item), "other": other},
    "nested": lambda item, other, count: {"rows": [[item, other]] * count},
    "uneven": lambda item, other, count: [[item] * (n % 97) for n in range(count // 40)] + [{"": other}],
    "lists of lists": lambda item, other, count: [[item] * count, [other] * count],
}


@given(SMALL, SMALL, st.integers(min_value=0, max_value=2000), st.sampled_from(sorted(MANY)))
def test_a_large_value_is_written_as_json_dumps_writes_it(item: Any, other: Any, count: int, many: str) -> None:
    value = MANY[many](item, other, count)

    assert encode(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@given(SMALL, SMALL, st.integers(min_value=0, max_value=2000), st.sampled_from(sorted(MANY)))
def test_nothing_that_fits_is_refused(item: Any, other: Any, count: int, many: str) -> None:
    value = MANY[many](item, other, count)
    payload = encode(value)

    assert encode(value, limit=size_of(payload)) == payload
    assert plain(value, limit=size_of(payload)) == json.loads(str(payload))


@given(SMALL, st.integers(min_value=600, max_value=5000), st.integers(min_value=2, max_value=100))
def test_what_is_let_through_is_not_much_larger_than_allowed(item: Any, count: int, limit: int) -> None:
    with pytest.raises(ResourceExhaustedError):
        encode([item] * count, limit=limit)
    with pytest.raises(ResourceExhaustedError):
        encode([[item] * count, {1}], limit=limit)
