from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runagent_grpc.worker import PythonEntrypointConfig, WebhookEntrypointConfig, read_config
from runagent_grpc.worker.config.file import read_config_file
from runagent_grpc.worker.config.source_values import UnreadableTextError, repeated_keys
from runagent_grpc.worker.config.yaml_text import compose, lines_of, read_yaml
from tests.worker.config.problems import only_problem_of, problems_of

CONFIG = """\
# What is served, and under which names.
agent_id: greeter
agent_name: Greeter's agent
framework: langgraph
version: 0.10
created_at: 2025-06-17 18:14:15
description: >
  Greets, and
  waves.
env_vars:
  DEBUG: on
  PORT: 8080
  V: 1.10
  OCTAL: 010
  TIME: 12:30
  DATE: 2025-06-17
  YES: true
  QUOTED: "8080"
  KEY: ${OTHER:-none}
  EMPTY: ""
  NOTHING:
  NULL: ~
  8450: text
agent_architecture:
  entrypoints:
    - tag: greet
      file: main.py
      module: greet
      timeout_seconds: 5
      max_timeout_seconds: 1e1
      max_concurrent: 2
      extractor: {text: "$.messages[-1].content", id: $.id}
    - {tag: hook, webhook_url: https://example.com/x, method: post, timeout: 2.5, follow_redirects: yes}
persistent_folders: [memory, 2024]
auth_settings:
  type: none
"""


def write(folder: Path, text: str) -> Path:
    (folder / "runagent.config.yaml").write_text(text, encoding="utf-8")
    return folder


def test_what_is_written_without_quotes_is_text_where_text_is_meant(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, CONFIG))
    assert (config.version, config.created_at) == ("0.10", "2025-06-17 18:14:15")
    assert config.description == "Greets, and waves.\n"
    assert config.env_vars == {
        "DEBUG": "on",
        "PORT": "8080",
        "V": "1.10",
        "OCTAL": "010",
        "TIME": "12:30",
        "DATE": "2025-06-17",
        "YES": "true",
        "QUOTED": "8080",
        "KEY": "${OTHER:-none}",
        "EMPTY": "",
        "8450": "text",
    }
    assert config.persistent_folders == ("memory", "2024")
    assert config.auth_settings.type == "none"


def test_numbers_and_booleans_are_what_they_are_where_a_field_takes_them(tmp_path: Path) -> None:
    assert read_config(write(tmp_path, CONFIG)).entrypoints == (
        PythonEntrypointConfig(
            tag="greet",
            file="main.py",
            module="greet",
            timeout_seconds=5.0,
            max_timeout_seconds=10.0,
            max_concurrent=2,
            extractor={"text": "$.messages[-1].content", "id": "$.id"},
        ),
        WebhookEntrypointConfig(
            tag="hook", webhook_url="https://example.com/x", method="POST", timeout=2.5, follow_redirects=True
        ),
    )


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("timeout_seconds: 5", 'timeout_seconds: "5"', "entrypoints[0].timeout_seconds", "expected a number"),
        ("timeout_seconds: 5", "timeout_seconds: soon", "entrypoints[0].timeout_seconds", "got the string 'soon'"),
        ("timeout_seconds: 5", "timeout_seconds: 010", "entrypoints[0].timeout_seconds", "got the string '010'"),
        ("timeout_seconds: 5", "timeout_seconds: 1:30", "entrypoints[0].timeout_seconds", "got the string '1:30'"),
        ("timeout_seconds: 5", "timeout_seconds: yes", "entrypoints[0].timeout_seconds", "got the boolean true"),
        ("timeout_seconds: 5", "timeout_seconds: .inf", "entrypoints[0].timeout_seconds", "got the string '.inf'"),
        ("max_concurrent: 2", "max_concurrent: 2.0", "entrypoints[0].max_concurrent", "expected an integer"),
        ("follow_redirects: yes", "follow_redirects: 1", "entrypoints[1].follow_redirects", "expected a boolean"),
        ("agent_name: Greeter's agent", "agent_name:", "agent_name", "expected a string, got null"),
        ("agent_name: Greeter's agent", "agent_name: [a]", "agent_name", "expected a string, got an array of 1 item"),
        ("  PORT: 8080", "  PORT: {a: 1}", "env_vars.PORT", "expected a string, got an object of 1 member"),
        ("  type: none", "  type: null", "auth_settings.type", "got null"),
        ("  type: none", "  none", "auth_settings", "expected an object, got the string 'none'"),
    ],
)
def test_a_value_that_does_not_fit_is_named_as_in_json(
    tmp_path: Path, old: str, new: str, place: str, words: str
) -> None:
    assert old in CONFIG
    problem = only_problem_of(write(tmp_path, CONFIG.replace(old, new, 1)))
    place = f"agent_architecture.{place}" if place.startswith("entrypoints") else place
    assert problem.startswith(f"runagent.config.yaml: `{place}`: ")
    assert words in problem


def test_repeated_keys_are_problems_as_in_json(tmp_path: Path) -> None:
    text = CONFIG.replace("      module: greet", "      module: greet\n      module: wave") + "agent_id: another\n"
    assert problems_of(write(tmp_path, text)) == (
        "runagent.config.yaml: `agent_id` is given more than once. Keep one of them.",
        "runagent.config.yaml: `agent_architecture.entrypoints[0].module` is given more than once. Keep one of them.",
    )


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a: b: c", 1, 5, "mapping values are not allowed here. Look at the indentation"),
        ("a: 1\n\tb: 2", 2, 1, "found character '\\t' that cannot start any token. Indent with spaces."),
        ("a:\n  - b\n c: 1", 3, 2, ""),
        ("a: [1, 2", 1, 9, "'<stream end>'. A bracket before this place is still open."),
        ("a: 'x", 1, 6, "unexpected end of stream. A quote before this place is still open."),
        ("a: @b", 1, 4, "found character '@' that cannot start any token. Quote the text."),
        ("a: \x07", 1, 4, "a character that YAML does not allow."),
        ("é: ü\nb: \x00", 2, 4, "a character that YAML does not allow."),
        ("a: 1\n---\nb: 2", 2, 1, "a second document begins here. Keep one of them."),
        ("a: *b", 1, 4, "`*b` names nothing that was written before it."),
        ("a: &b [*b]", 1, 8, "`*b` names nothing that was written before it."),
        ("{a: 1}: b", 1, 1, "a key is to be plain text."),
        ("? [a, b]\n: c", 1, 3, "a key is to be plain text."),
        ("a: 1\n<<: 2", 2, 1, "`<<` takes a mapping, or a list of them."),
        ("a: !!python/object/apply:os.system ['true']", 1, 4, "the tag `!!python/object/apply:os.system` is not read"),
        ("a: !!python/name:os.system", 1, 4, "the tag `!!python/name:os.system` is not read here."),
        ("a: !mine 5", 1, 4, "the tag `!mine` is not read here. Write the value without it."),
        ("a: !!binary aGk=", 1, 4, "the tag `!!binary` is not read here."),
        ("a: !!set {b}", 1, 4, "the tag `!!set` is not read here."),
        ("a: !!timestamp [b]", 1, 4, "the tag `!!timestamp` is not read here."),
        ("%TAG ! tag:x,2000:\n---\na: !b c", 3, 4, "the tag `tag:x,2000:b` is not read here."),
        ("[" * 200, 1, 102, "it nests deeper than 100 levels. Simplify it."),
        ("- " * 200, 1, 203, "it nests deeper than 100 levels. Simplify it."),
    ],
)
def test_what_is_no_yaml_is_told_with_line_and_column(
    tmp_path: Path, text: str, line: int, column: int, words: str
) -> None:
    problem = only_problem_of(write(tmp_path, text))
    assert problem.startswith(f"runagent.config.yaml, line {line}, column {column}: not valid YAML: ")
    assert words in problem
    assert problem.endswith(".")


@pytest.mark.parametrize(
    ("text", "got"),
    [("", "null"), ("# nothing\n", "null"), ("---\n...\n", "null"), ("- a", "an array"), ("a", "the string 'a'")],
)
def test_a_text_that_holds_no_mapping_is_one_problem(tmp_path: Path, text: str, got: str) -> None:
    assert only_problem_of(write(tmp_path, text)).startswith(f"runagent.config.yaml: expected an object, got {got}")


def test_few_lines_that_stand_for_billions_are_refused_at_once() -> None:
    names = "abcdefghijkl"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]" for before, name in itertools.pairwise(names)]
    began = time.perf_counter()
    with pytest.raises(UnreadableTextError, match="it holds more than 10,000 values"):
        read_yaml("\n".join(lines))
    assert time.perf_counter() - began < 1


def test_a_long_text_is_refused_without_reading_all_of_it() -> None:
    began = time.perf_counter()
    with pytest.raises(UnreadableTextError, match="it holds more than 10,000 values"):
        read_yaml("- a\n" * 1_000_000)
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &x {b: 1}\nc: *x", {"a": {"b": "1"}, "c": {"b": "1"}}),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", {"a": {"b": "1", "c": "2"}, "d": {"b": "1", "c": "3"}}),
        ("a: {c: 3, <<: {c: 1}}", {"a": {"c": "3"}}),
        ("a: {<<: [{b: 1}, {b: 2, c: 3}]}", {"a": {"b": "1", "c": "3"}}),
        ('a: {"<<": 1}', {"a": {"<<": "1"}}),
        ("a: !!str 5\nb: ! 5\nc: !!int 5\nd: !!null ''", {"a": "5", "b": "5", "c": "5", "d": None}),
        ("a: !!map {b: !!seq [c]}", {"a": {"b": ["c"]}}),
        ("a: |\n  one\n  two\n", {"a": "one\ntwo\n"}),
        ("a: 'null'\nb: null\nc: Null\nd: NULL\ne: none", {"a": "null", "b": None, "c": None, "d": None, "e": "none"}),
        ('{"json": ["is", "yaml", 1.0, true, null]}', {"json": ["is", "yaml", "1.0", "true", None]}),
        ("%YAML 1.2\n---\na: no", {"a": "no"}),
    ],
)
def test_what_configurations_make_use_of_is_read(text: str, value: Any) -> None:
    assert read_yaml(text) == value
    assert repeated_keys(read_yaml(text)) == []


def test_each_field_has_its_line_and_what_an_alias_stands_for_that_of_its_first_place() -> None:
    text = "a: &x\n  b: 1\nc: [d,\n  {e f: 1}]\ng: *x\n"
    assert lines_of(compose(text)) == {
        "a": 1,
        "a.b": 2,
        "c": 3,
        "c[0]": 3,
        "c[1]": 4,
        "c[1]['e f']": 4,
        "g": 5,
    }
    assert lines_of(compose("")) == {}


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("runagent.config.json", '{\n\t"a": {"b":\t1},\n\t"a": 2}', {"a": 3, "a.b": 2}),
        ("runagent.config.json", "[" * 200 + "]" * 200, {}),
        ("runagent.config.yaml", "a:\n  b: 1\n", {"a": 1, "a.b": 2}),
    ],
)
def test_the_lines_of_a_file_are_those_of_its_text(tmp_path: Path, name: str, text: str, lines: dict[str, int]) -> None:
    (tmp_path / name).write_text(text if text.startswith(("{", "a")) else f'{{"a": {text}}}')
    assert read_config_file(tmp_path).lines() == lines


@given(st.text(st.sampled_from("ab: -[]{}&*!|>'\"#%@`,?\n\t~<=.01é\U0001f600\x00\x85\ufeff"), max_size=40))
def test_no_text_raises_anything_but_a_place_and_a_sentence(text: str) -> None:
    try:
        read_yaml(text)
    except UnreadableTextError as caught:
        error = caught
    else:
        return
    assert min(error.line, error.column) >= 1
    assert str(error).endswith(".")


# Without what PyYAML itself does not read back: line breaks that are neither Unix's nor Windows's.
TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=20)


@given(st.dictionaries(TEXT, TEXT | st.lists(TEXT, max_size=3), max_size=4))
def test_what_pyyaml_writes_is_read_back(value: dict[str, Any]) -> None:
    assert read_yaml(yaml.safe_dump(value, allow_unicode=True)) == value
