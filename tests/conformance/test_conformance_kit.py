"""The kit itself: its data fits its schema, and it catches what is wrong."""

from __future__ import annotations

import fnmatch
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jsonschema_rs
import pytest

from runagent_grpc.errors import Reason
from tests.conformance.__main__ import main
from tests.conformance.cases import SCHEMA, VECTORS, cases, written_out
from tests.conformance.catalogue import KNOWN_FAILING, RUNNERS, Runner, known_failing
from tests.conformance.comparison import differences
from tests.conformance.features import FEATURES, PAGE, column_of, columns_in, page_with
from tests.conformance.kit import Kit, Result, verdict
from tests.conformance.places import served_once
from tests.conformance.process import RunnerDiedError, RunnerProcess
from tests.conformance.runners.broken import WAYS

CASES = {case.case_id: case for case in cases()}


def fits(definition: str, value: Any) -> bool:
    schema = json.loads(SCHEMA.read_text()) | {"$ref": f"#/$defs/{definition}"}
    return jsonschema_rs.validator_for(schema).is_valid(value)


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.json")), ids=lambda path: path.stem)
def test_a_suite_fits_the_schema(path: Any) -> None:
    schema = json.loads(SCHEMA.read_text()) | {"$ref": "#/$defs/suite"}
    suite = json.loads(path.read_text())
    jsonschema_rs.validator_for(schema).validate(suite)
    assert suite["suite"] == path.stem


def test_no_two_cases_share_a_name() -> None:
    assert len(CASES) == len(cases())


def test_every_reason_of_the_error_table_has_a_case() -> None:
    text = "".join(path.read_text() for path in VECTORS.glob("*.json"))
    # No client asks for a URL that no server has.
    missing = [reason for reason in Reason if f'"reason": "{reason}"' not in text]
    assert missing == [Reason.ROUTE_NOT_FOUND]


def test_what_is_known_to_fail_is_a_case_of_a_runner_and_has_a_reason() -> None:
    for path in KNOWN_FAILING.glob("*.txt"):
        assert path.stem in RUNNERS
        known = known_failing(path.stem)
        assert set(known) <= set(CASES)
        assert all(known.values())


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        ({"json": "1"}, {"json": "1.0"}),
        ({"json": "1"}, {"json": "true"}),
        ({"json": "9007199254740993"}, {"json": "9007199254740992"}),
        ({"json": "[1]"}, {"json": "[1.0]"}),
        ({"text": "QQ=="}, {"binary": "QQ=="}),
        ({"text": "null"}, {"json": "null"}),
        ({"json": '{"a": 1}'}, {"json": '{"a": 1, "b": 2}'}),
        ({"json": "0.1"}, {"json": "0.10000000000000002"}),
    ],
)
def test_values_that_only_look_alike_are_told_apart(expected: dict[str, str], value: dict[str, str]) -> None:
    assert differences({"result": expected}, {"result": value}, 0.0) != []


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        ({"text": "a"}, {"json": '"a"'}),
        ({"json": '{"a": 1, "b": [2]}'}, {"json": '{"b":[2],"a":1}'}),
        ({"json": "1e2"}, {"json": "100.0"}),
        ({"repeat": {"text": "ab"}, "times": 2}, {"text": "abab"}),
        ({"nested": 3}, {"json": "[[[]]]"}),
    ],
)
def test_values_that_are_the_same_are_taken_for_it(expected: dict[str, Any], value: dict[str, str]) -> None:
    assert differences({"result": expected}, {"result": value}, 0.0) == []


def test_a_stream_that_should_have_failed_is_caught() -> None:
    expected = {"chunks": [], "ended": "failed", "error": {"reason": "TIMEOUT"}}
    assert differences(expected, {"chunks": [], "ended": "completed"}, 0.0) != []


def test_large_values_are_written_in_short() -> None:
    assert written_out({"repeat": {"binary": "AAEC"}, "times": 2}) == {"binary": "AAECAAEC"}
    assert written_out([{"nested": 2}]) == [{"json": "[[]]"}]


def test_a_known_failure_that_passes_is_told() -> None:
    known = {"values/null": "a limit"}
    assert "off the list" in verdict(Result(case_id="values/null"), known)[0]
    assert verdict(Result(case_id="values/null", problems=("wrong",)), known) == ()
    assert verdict(Result(case_id="values/true", problems=("wrong",)), known) == ("wrong",)


# What each broken client is caught by, and a case that it gets right all the same.
CAUGHT = {
    "drops-the-terminal-event": ("streams/without-its-terminal-event", "streams/many"),
    "swallows-an-error": ("errors/the-entrypoint-raised", "values/text"),
    "repeats-a-chunk": ("resume/after-an-end-that-is-none", "values/text"),
    "rounds-integers": ("values/integer-beyond-doubles", "values/integer-one"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_broken_client_is_caught(kit_of: Callable[[Runner], Kit], way: str) -> None:
    wrong, right = CAUGHT[way]
    runner = replace(
        RUNNERS["python-grpc"], name=way, command=(sys.executable, "-m", "tests.conformance.runners.broken", way)
    )
    kit = kit_of(runner)
    assert kit.run(CASES[wrong]).problems != ()
    assert kit.run(CASES[right]).passed


@pytest.mark.parametrize(
    "way", ["", "print('no outcome')", "input(); print('{}', flush=True)", "raise SystemExit('broken')"]
)
def test_a_runner_that_is_no_runner_is_told(way: str) -> None:
    with (
        RunnerProcess([sys.executable, "-c", way], RUNNERS["python-grpc"].cwd) as process,
        pytest.raises(RunnerDiedError),
    ):
        process.ask({"id": "values/null#1"})


def test_a_runner_that_does_not_start_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runner", f"{sys.executable} -c pass", "--case", "values/"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[-2:] == [
        "yours is given up, for it does not start.",
        "yours: 0 passed, 3 failed, 0 known to fail, 0 skipped.",
    ]


def test_the_table_of_features_says_what_is_known_to_fail() -> None:
    page = PAGE.read_text()
    columns = columns_in(page)
    assert {name for name in RUNNERS if name.startswith(("python", "raw"))} <= set(columns)
    assert page_with(page, {name: column_of(RUNNERS[name], known_failing(name)) for name in columns}) == page


def test_every_case_shows_a_feature() -> None:
    patterns = [pattern for patterns in FEATURES.values() for pattern in patterns]
    shown = [name for name in CASES if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    of_values = [name for name in CASES if name.startswith("values/")]
    assert set(CASES) - set(shown) <= set(of_values)


def test_outcomes_of_our_runners_fit_the_schema() -> None:
    case = CASES["streams/fails-behind-one-chunk"]
    runner = RUNNERS["python-grpc"]
    with RunnerProcess(runner.command, runner.cwd) as process, Kit(runner) as kit, kit.place_of(case) as place:
        call = kit.call_of(case, case.steps[0], place)
        assert fits("call", call)
        assert fits("outcome", process.ask(call))


def test_the_command_takes_any_runner_to_any_server(capsys: pytest.CaptureFixture[str]) -> None:
    runner = RUNNERS["python-grpc"]
    assert not served_once("shared")
    with Kit(runner) as kit, kit.place_of(CASES["values/null"]) as place:
        command = f"{sys.executable} -m tests.conformance.runners.python_client"
        where = f"{place.host}:{place.http_port}"
        options = ["--runner", command, "--cwd", str(runner.cwd), "--server", where]
        assert main([*options, "--name", "theirs", "--case", "arguments/", "--case", "shutdown/", "-v"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "theirs: 17 passed, 0 failed, 0 known to fail, 4 skipped."
    assert "passed   arguments/positional" in said


def test_the_command_fails_where_a_case_does(capsys: pytest.CaptureFixture[str]) -> None:
    command = f"{sys.executable} -m tests.conformance.runners.broken swallows-an-error"
    options = ["--runner", command, "--cwd", str(RUNNERS["python-grpc"].cwd)]
    assert main([*options, "--case", "errors/the-entrypoint-raised"]) == 1
    assert "FAILED   errors/the-entrypoint-raised" in capsys.readouterr().out
    assert main([*options, "--case", "no-such-case"]) == 2
    assert main([*options, "--write-table"]) == 2
