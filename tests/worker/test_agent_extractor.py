from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.errors import ExecutionFailedError
from runagent_grpc.worker import Extractor
from runagent_grpc.worker.extractor import MAX_VALUES, JsonPath, UnusablePathError

VALUE = {
    "messages": [
        {"role": "user", "content": "Hi", "tool-calls": [{"name": "first"}]},
        {"role": "ai", "content": "Hello"},
    ],
    "choices": [{"delta": {"content": "word"}, "index": 0}],
    "tool_call": {"name": "search", "arguments": "{}"},
    "scores": [5, 1, 4, 2, 3],
    "name": "top",
    "a.b": "dotted",
    "my key": "spaced",
    "@type": "marked",
    "0": "nought",
    "größe": "sized",
    "none": None,
    "empty": [],
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$", VALUE),
        ("$.name", "top"),
        ("name", "top"),
        ("messages[-1].content", "Hello"),
        ("$.messages[0].content", "Hi"),
        ("$['messages'][0]['role']", "user"),
        ("$.choices[0].delta.content", "word"),
        ("choices.[0].delta.content", "word"),
        ("choices[*].delta", {"content": "word"}),
        ("$.tool_call", {"name": "search", "arguments": "{}"}),
        ("$.tool_call[name]", "search"),
        ("$..content", "Hi"),
        ("$.messages..name", "first"),
        ("$..name", "top"),
        ("$.tool_call.*", "search"),
        ("$.messages.*.role", "user"),
        ("$.scores[1:3]", 1),
        ("$.scores[-2:]", 2),
        ("$.scores[::2]", 5),
        ("$.scores[1,2]", 1),
        ("$.messages[0].tool-calls[0].name", "first"),
        ("$.messages[0]['tool-calls'][0].name", "first"),
        ('$.messages[0]."tool-calls"[0].name', "first"),
        ("$['a.b']", "dotted"),
        ('$["a.b"]', "dotted"),
        ("$.'a.b'", "dotted"),
        ("$['my key']", "spaced"),
        ("$.@type", "marked"),
        ("$.0", "nought"),
        ("$['größe']", "sized"),
        ("$['nothing','name']", "top"),
        ("$.nothing | $.name", "top"),
        ("$.messages[?(@.role == 'ai')].content", "Hello"),
        ("$.messages[?(@.role != 'user')].content", "Hello"),
        ("$.messages[?(@.content =~ '^He')].role", "ai"),
        ("$.scores[?(@ > 4)]", 5),
        ("messages.`len`", 2),
        ("$.none", None),
        ("$.nothing", None),
        ("$.none.deeper", None),
        ("$.name.deeper", None),
        ("$.name[0]", None),
        ("$.messages.content", None),
        ("$.messages[7]", None),
        ("$.messages[-7]", None),
        ("$.empty[0]", None),
        ("$.tool_call[0]", None),
    ],
)
def test_a_path_gives_what_it_finds_first(path: str, value: Any) -> None:
    assert JsonPath.of(path).first(VALUE) == value


@pytest.mark.parametrize("value", [None, True, 5, 1.5, "text", [], [1], {}])
def test_a_value_without_members_has_nothing_to_find(value: Any) -> None:
    assert JsonPath.of("$.name").first(value) is None
    assert JsonPath.of("$..name").first(value) is None
    assert JsonPath.of("$").first(value) == value


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "the path is empty."),
        (" ", "the path is empty."),
        ("$.", "ends too early, at column 3."),
        ("$.messages[", "ends too early, at column 12."),
        ("$.messages[0", "ends too early, at column 13."),
        ("$['a", "ends too early, at column 5."),
        (".name", "is no path from column 1 on, `.name`."),
        ("$name", "is no path from column 2 on, `name`."),
        ("$.my key", "is no path from column 6 on, `key`."),
        ("$.größe", "is no path from column 5 on, `öße`."),
        ("$.list[(@.length-1)]", "is no path from column 8 on, `(@.length-1)]`."),
        ("$.messages.last()", "is no path from column 16 on, `()`."),
        ("$.`parent`", "it leads out of the value, or is too long."),
        ("a." * 20_000 + "a", "it leads out of the value, or is too long."),
        (f"$[{'9' * 5000}]", "holds something that no path can."),
        ("$.a\x1b[31m", "is no path from column 4 on, `\\x1b[31m`."),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_path_is_told_with_its_place_and_what_to_do(path: str, words: str) -> None:
    with pytest.raises(UnusablePathError) as caught:
        JsonPath.of(path)
    text = str(caught.value)
    assert words in text
    assert text.endswith(
        "Write it like `$.messages[-1].content`, and a name with other characters in it like `$['a name']`."
    )
    assert len(text) < 300


def test_a_path_that_is_to_go_from_the_library_is_read_without_a_warning() -> None:
    # Warnings fail a test.
    assert JsonPath.of("name | nothing").first(VALUE) == "top"


def test_an_extractor_gives_every_name_in_its_order() -> None:
    extractor = Extractor(
        {name: JsonPath.of(path) for name, path in {"z": "$.name", "a": "$.x", "m": "$.none"}.items()}
    )
    assert list(extractor.apply(VALUE).items()) == [("z", "top"), ("a", None), ("m", None)]
    assert extractor.paths == {"z": "$.name", "a": "$.x", "m": "$.none"}


def test_a_path_that_fails_on_a_value_says_which_it_was() -> None:
    extractor = Extractor({"half": JsonPath.of("$.a[?(@.b =~ '[')]")})
    assert extractor.apply({}) == {"half": None}
    with pytest.raises(ExecutionFailedError, match=r"^The extractor `half` failed on what the entrypoint returned"):
        extractor.apply({"a": [{"b": "text"}]})


def test_the_first_match_is_found_without_looking_at_the_rest() -> None:
    # A list of all matches takes seconds.
    value = {"rows": [{"x": number, "parts": [1, 2, 3]} for number in range(200_000)]}
    began = time.perf_counter()
    assert JsonPath.of("$..x").first(value) == 0
    assert JsonPath.of("$..parts[1]").first(value) == 2
    assert JsonPath.of("$.rows[150000].x").first(value) == 150_000
    assert time.perf_counter() - began < 0.5


def test_a_search_without_an_end_is_given_up() -> None:
    extractor = Extractor({"text": JsonPath.of("$..nothing")})
    assert extractor.apply([0] * (MAX_VALUES - 1)) == {"text": None}
    with pytest.raises(ExecutionFailedError) as caught:
        extractor.apply([0] * MAX_VALUES)
    assert str(caught.value) == (
        "The extractor `text` looked at 100,000 values without a match. Write a narrower path."
    )


@pytest.mark.parametrize("path", ["$..a..a..a..a..nothing", "$..nothing | $..a..a..a..a..nothing"])
def test_a_search_within_a_search_is_given_up_as_soon(path: str) -> None:
    value: Any = {}
    for _ in range(90):
        value = {"a": value}
    with pytest.raises(ExecutionFailedError, match="looked at 100,000 values without a match"):
        Extractor({"text": JsonPath.of(path)}).apply(value)


def test_either_of_two_paths_is_found() -> None:
    assert JsonPath.of("$.x | $..c").first({"a": 1, "b": {"c": 2}}) == 2


def test_every_path_that_is_none_is_told_when_the_agent_is_loaded(
    make_folder: Callable[..., Path], problems_of: Callable[[Path], tuple[str, ...]]
) -> None:
    function = {"file": "main.py", "module": "run", "tag": "run", "extractor": {"good": "$.a", "bad": "$.a["}}
    webhook = {"webhook_url": "https://example.com", "method": "GET", "tag": "hook", "extractor": {"worse": "$.a b"}}
    missing = {"file": "missing.py", "module": "run", "tag": "third", "extractor": {"too": "$["}}
    problems = problems_of(make_folder(entrypoints=[function, webhook, missing]))
    assert [problem.partition(": `")[0] for problem in problems[:3]] == [
        "runagent.config.json: the entrypoint `run`, extractor `bad`",
        "runagent.config.json: the entrypoint `hook`, extractor `worse`",
        "runagent.config.json: the entrypoint `third`, extractor `too`",
    ]
    assert len(problems) == 4
