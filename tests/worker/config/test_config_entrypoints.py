from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.worker import PythonEntrypointConfig, WebhookEntrypointConfig, read_config
from tests.worker.config.problems import only_problem_of, problems_of

MakeFolder = Callable[..., Path]


PYTHON = {"file": "main.py", "module": "run", "tag": "run"}
WEBHOOK = {"webhook_url": "https://example.com/webhook/name", "method": "post", "tag": "hook"}


def test_the_bounds_of_an_entrypoint_are_read(make_folder: MakeFolder) -> None:
    bounds = {"timeout_seconds": 0.5, "max_timeout_seconds": 60, "max_concurrent": 2}
    unbounded = dict.fromkeys(bounds)
    folder = make_folder(entrypoints=[{**PYTHON, **bounds}, {**PYTHON, **unbounded, "tag": "free"}])
    first, second = read_config(folder).entrypoints
    assert (first.timeout_seconds, first.max_timeout_seconds, first.max_concurrent) == (0.5, 60, 2)
    assert (second.timeout_seconds, second.max_timeout_seconds, second.max_concurrent) == (None, None, None)


@pytest.mark.parametrize(
    ("bound", "words"),
    [
        ({"timeout_seconds": 0}, "expected a value greater than 0, got the integer 0"),
        ({"timeout_seconds": -1.5}, "expected a value greater than 0, got the number -1.5"),
        ({"timeout_seconds": "30"}, "expected a number, got the string '30'"),
        ({"timeout_seconds": float("inf")}, "expected a finite number"),
        ({"max_timeout_seconds": True}, "expected a number, got the boolean true"),
        ({"max_timeout_seconds": float("nan")}, "expected a finite number"),
        ({"max_timeout_seconds": 10**400}, "expected a number, got a very large integer"),
        ({"max_concurrent": 0}, "expected a value greater than 0, got the integer 0"),
        ({"max_concurrent": 1.5}, "expected an integer, got the number 1.5"),
        ({"max_concurrent": True}, "expected an integer, got the boolean true"),
        ({"max_concurent": 1}, "there is no such field. Did you mean `max_concurrent`?"),
        ({"timeout_seconds": 60, "max_timeout_seconds": 30}, "60 is more than its `max_timeout_seconds`, 30."),
    ],
    ids=str,
)
def test_a_bound_of_an_entrypoint_is_a_number_that_makes_sense(
    make_folder: MakeFolder, bound: dict[str, Any], words: str
) -> None:
    problem = only_problem_of(make_folder(entrypoints=[PYTHON | bound]))
    assert problem.startswith(f"runagent.config.json: `agent_architecture.entrypoints[0].{next(iter(bound))}`: ")
    assert words in problem


def test_a_required_field_that_is_missing_may_be_any_name_that_is_a_little_like_it(make_folder: MakeFolder) -> None:
    entry = {"tga": "ask", "file": "main.py", "modul": "ask", "titel": "Ask"}
    problems = [problem.partition("entrypoints[0].")[2] for problem in problems_of(make_folder(entrypoints=[entry]))]
    assert problems[:2] == [
        "tga`: there is no such field. Did you mean `tag`?",
        "modul`: there is no such field. Did you mean `module`?",
    ]
    assert sorted(problems[2:]) == ["module`: required, but missing.", "tag`: required, but missing."]


def test_tags_are_unique(make_folder: MakeFolder) -> None:
    entry = PYTHON | {"tag": "twice"}
    problem = only_problem_of(make_folder(entrypoints=[entry, entry, {**entry, "tag": "once"}]))
    assert problem == (
        "runagent.config.json: `agent_architecture.entrypoints[1].tag`: "
        "All entrypoint tags must be unique: rename one of 'twice'."
    )
    assert "'twice'" in problem
    assert "once" not in problem


def test_a_webhook_is_read_with_its_defaults(make_folder: MakeFolder) -> None:
    (webhook,) = read_config(make_folder(entrypoints=[WEBHOOK])).entrypoints
    assert webhook == WebhookEntrypointConfig(
        tag="hook", webhook_url="https://example.com/webhook/name", method="POST", timeout=30.0
    )


def test_every_field_of_a_webhook_is_read(make_folder: MakeFolder) -> None:
    fields = {
        "timeout": 60,
        "description": "What it answers.",
        "extractor": {"text": "$.a"},
        "follow_redirects": True,
        "allow_private_addresses": True,
        "timeout_seconds": 5,
        "max_timeout_seconds": 6,
        "max_concurrent": 7,
    }
    (webhook,) = read_config(make_folder(entrypoints=[WEBHOOK | fields])).entrypoints
    assert isinstance(webhook, WebhookEntrypointConfig)
    assert {name: getattr(webhook, name) for name in fields} == fields


@pytest.mark.parametrize("method", ["GET", "get", "Get", "POST", "post"])
def test_a_method_may_be_written_in_any_case(make_folder: MakeFolder, method: str) -> None:
    (webhook,) = read_config(make_folder(entrypoints=[WEBHOOK | {"method": method}])).entrypoints
    assert isinstance(webhook, WebhookEntrypointConfig)
    assert webhook.method == method.upper()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"webhook_url": "example.com/x"},
            "begins with neither http:// nor https://. Expected the whole address, such as https://example.com/webhook",
        ),
        (
            {"webhook_url": "ftp://example.com/x"},
            "begins with neither http:// nor https://. Expected the whole address",
        ),
        ({"webhook_url": "https:///x"}, "names no host. Expected the whole address"),
        ({"webhook_url": "https://example.com:port/"}, "cannot be read as an address. Expected the whole address"),
        ({"webhook_url": "https://[::1/"}, "cannot be read as an address. Expected the whole address"),
        (
            {"webhook_url": "https://example.com/a b"},
            "holds a blank or a control character. Expected the whole address",
        ),
        (
            {"webhook_url": "https://example.com/\r\nHost: x"},
            "holds a blank or a control character. Expected the whole address",
        ),
        ({"webhook_url": ""}, "a string that is not empty"),
        ({"webhook_url": 5}, "expected a string, got the integer 5"),
        ({"method": "put"}, "expected one of 'GET' or 'POST', got the string 'put'"),
        ({"method": None}, "expected one of 'GET' or 'POST', got null"),
        ({"timeout": 0}, "expected a value greater than 0"),
        ({"timeout": "30"}, "expected a number, got the string '30'"),
        ({"follow_redirects": "yes"}, "expected a boolean, got the string 'yes'"),
        ({"allow_private_addresses": 1}, "expected a boolean, got the integer 1"),
        ({"max_concurrent": 0}, "expected a value greater than 0"),
        ({"follow_redirect": True}, "Did you mean `follow_redirects`?"),
    ],
    ids=str,
)
def test_a_webhook_is_checked_by_fields_of_its_own(make_folder: MakeFolder, change: dict[str, Any], words: str) -> None:
    problem = only_problem_of(make_folder(entrypoints=[PYTHON, WEBHOOK | change]))
    assert problem.startswith(f"runagent.config.json: `agent_architecture.entrypoints[1].{next(iter(change))}`: ")
    assert words in problem


def test_a_wrong_address_is_not_repeated_for_it_may_hold_a_password(make_folder: MakeFolder) -> None:
    problem = only_problem_of(make_folder(entrypoints=[WEBHOOK | {"webhook_url": "ada:lovelace@example.com/x"}]))
    assert "lovelace" not in problem


def test_an_entrypoint_is_a_function_or_a_webhook_and_not_both(make_folder: MakeFolder) -> None:
    problem = only_problem_of(make_folder(entrypoints=[WEBHOOK | {"file": "main.py", "module": "run"}]))
    assert "`agent_architecture.entrypoints[0]`: it has a `webhook_url` and a `file`. Keep one of them." in problem


def test_a_function_and_a_webhook_may_stand_side_by_side(make_folder: MakeFolder) -> None:
    first, second = read_config(make_folder(entrypoints=[PYTHON, WEBHOOK])).entrypoints
    assert (type(first), type(second)) == (PythonEntrypointConfig, WebhookEntrypointConfig)


@pytest.mark.parametrize("entry", [PYTHON, WEBHOOK], ids=["function", "webhook"])
@pytest.mark.parametrize("empty", [None, {}])
def test_an_extractor_without_paths_is_none(make_folder: MakeFolder, entry: dict[str, Any], empty: object) -> None:
    (entrypoint,) = read_config(make_folder(entrypoints=[entry | {"extractor": empty}])).entrypoints
    assert entrypoint.extractor == {}


@pytest.mark.parametrize("entry", [PYTHON, WEBHOOK], ids=["function", "webhook"])
@pytest.mark.parametrize(
    ("extractor", "place", "words"),
    [
        ("$.a", "extractor", "expected an object, got the string '$.a'"),
        (["$.a"], "extractor", "expected an object, got an array of 1 item"),
        ({"a": 1}, "extractor.a", "expected a string, got the integer 1"),
        ({"a": None}, "extractor.a", "expected a string, got null"),
    ],
)
def test_an_extractor_is_an_object_of_texts(
    make_folder: MakeFolder, entry: dict[str, Any], extractor: object, place: str, words: str
) -> None:
    problem = only_problem_of(make_folder(entrypoints=[entry | {"extractor": extractor}]))
    assert f"`agent_architecture.entrypoints[0].{place}`: {words}" in problem


def test_names_of_an_extractor_keep_their_order(make_folder: MakeFolder) -> None:
    extractor = {"z": "$.z", "a": "$.a", "m": "$.m"}
    (entrypoint,) = read_config(make_folder(entrypoints=[PYTHON | {"extractor": extractor}])).entrypoints
    assert list(entrypoint.extractor.items()) == list(extractor.items())
