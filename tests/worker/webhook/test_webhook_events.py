"""Lines and server-sent events, from pieces of any size."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runagent_grpc.worker.webhook.events import EventReader, LineReader, ServerSentEvent, TooLongError


def cut(text: str, at: list[int]) -> list[str]:
    places = [0, *sorted(place % (len(text) + 1) for place in at), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(places)]


@given(
    st.text(alphabet="ab\r\n", max_size=40),
    st.lists(st.integers(min_value=0, max_value=40), max_size=6),
)
def test_lines_are_the_same_wherever_the_text_is_cut(text: str, at: list[int]) -> None:
    reader = LineReader(100)
    lines = [line for piece in cut(text, at) for line in reader.feed(piece)]
    assert [*lines, reader.rest()] == text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def test_characters_that_only_python_takes_for_line_ends_are_none() -> None:
    assert list(LineReader(100).feed("a\u2028b\x0bc\x85d\n")) == ["a\u2028b\x0bc\x85d"]


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("data: a\n\n", [ServerSentEvent("", "a")]),
        ("data:a\r\n\r\ndata: b\r\r", [ServerSentEvent("", "a"), ServerSentEvent("", "b")]),
        ("data:  two blanks\n\n", [ServerSentEvent("", " two blanks")]),
        ("data: a\ndata: b\ndata\n\n", [ServerSentEvent("", "a\nb\n")]),
        ("event: news\nid: 7\nretry: 10\ndata: a\n\n", [ServerSentEvent("news", "a")]),
        ("event: news\n\ndata: a\n\n", [ServerSentEvent("", "a")]),
        (": alive\n\n:\n\ndata: a\n\n", [ServerSentEvent("", "a")]),
        ("data\n\n", [ServerSentEvent("", "")]),
        ("unknown: x\nDATA: x\n\n", []),
        ("data: a\n", []),
    ],
)
def test_events_are_read_as_the_standard_has_them(text: str, events: list[ServerSentEvent]) -> None:
    assert list(EventReader(100).feed(text)) == events
    reader = EventReader(100)
    assert [event for character in text for event in reader.feed(character)] == events


def test_the_rest_of_a_text_is_the_event_that_was_not_ended() -> None:
    reader = EventReader(100)
    assert list(reader.feed("data: a\ndata: b")) == []
    assert reader.rest() == ServerSentEvent("", "a\nb")
    assert reader.rest() is None


@pytest.mark.parametrize("text", ["data: " + "x" * 100, "data: xxxx\n" * 25])
def test_a_line_and_an_event_have_a_limit(text: str) -> None:
    reader = EventReader(100)
    with pytest.raises(TooLongError):
        list(reader.feed(text))
    reader = EventReader(100)
    with pytest.raises(TooLongError):
        [list(reader.feed(character)) for character in text]
