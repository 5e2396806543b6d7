from __future__ import annotations

import asyncio
import importlib
import json
import sys
import tracemalloc
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
DELIVERIES = str(EXAMPLES / "data_report" / "deliveries.csv")
DISPATCH = str(EXAMPLES / "data_report" / "dispatch.log")


def load_agent(folder: str) -> Iterator[Any]:
    """Imports an agent's `main.py` so that its relative imports work, as a server does."""
    name = f"agent_{folder}"
    package = types.ModuleType(name)
    package.__path__ = [str(EXAMPLES / folder)]
    sys.modules[name] = package
    yield importlib.import_module(f"{name}.main")
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        del sys.modules[module]


@pytest.fixture(scope="module")
def quickstart() -> Iterator[Any]:
    yield from load_agent("quickstart")


@pytest.fixture(scope="module")
def data_report() -> Iterator[Any]:
    yield from load_agent("data_report")


@pytest.fixture
def at_once(quickstart: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quickstart, "WORD_DELAY_SECONDS", 0)


def write(tmp_path: Path, name: str, content: str | bytes) -> str:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


@pytest.mark.parametrize("folder", ["quickstart", "data_report"])
def test_every_configured_entrypoint_exists_and_describes_itself(folder: str, request: pytest.FixtureRequest) -> None:
    config = json.loads((EXAMPLES / folder / "runagent.config.json").read_text())
    agent = request.getfixturevalue(folder)

    assert {"agent_id", "agent_name", "framework", "description", "version"} < config.keys()
    for entrypoint in config["agent_architecture"]["entrypoints"]:
        assert entrypoint["file"] == "main.py"
        assert getattr(agent, entrypoint["module"]).__doc__


@pytest.mark.usefixtures("at_once")
def test_a_chat_that_streams_says_what_the_plain_one_says(quickstart: Any) -> None:
    for message in ("Hello there", "How are you?", ""):
        chunks = list(quickstart.chat_agent_stream(message))
        assert "".join(chunks) == quickstart.chat_agent(message)
        assert len(chunks) > 5


@pytest.mark.usefixtures("at_once")
def test_a_chat_greets_its_user_first(quickstart: Any) -> None:
    assert next(quickstart.chat_stream("Hello")) == "Hello anonymous! You said: Hello\n"
    assert "".join(quickstart.chat_stream("Hello", user_id="Ada")).startswith("Hello Ada!")


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("prompt", "hero"),
    [("Write a short story about a lighthouse.", "a lighthouse"), ("Tell me a story", "a robot"), ("", "a robot")],
)
def test_a_story_is_about_what_was_asked_for(quickstart: Any, prompt: str, hero: str) -> None:
    async def told() -> str:
        return "".join([word async for word in quickstart.story_stream(prompt)])

    assert asyncio.run(told()).startswith(f"Once there was {hero},")


@pytest.mark.usefixtures("at_once")
def test_an_expert_gets_more_steps_than_a_beginner(quickstart: Any) -> None:
    beginner = "".join(quickstart.explain_stream("Explain quantum computing"))
    expert = "".join(quickstart.explain_stream("Explain quantum computing", detail_level="expert"))

    assert beginner.startswith("How to understand quantum computing (beginner):\n1. ")
    assert (beginner.count("\n"), expert.count("\n")) == (4, 6)


@pytest.mark.parametrize("path", [DELIVERIES, DISPATCH])
def test_a_report_streams_whole_lines_that_fit_a_terminal(data_report: Any, path: str) -> None:
    chunks = list(data_report.report_stream(path))

    assert len(chunks) > 10
    assert all(chunk.endswith("\n") for chunk in chunks)
    assert max(len(line) for chunk in chunks for line in chunk.splitlines()) <= 80


def test_the_first_finding_comes_before_the_file_is_read(data_report: Any) -> None:
    report = data_report.report_stream(DELIVERIES)

    assert next(report).startswith("Report on deliveries.csv\n")
    assert "11 columns separated by commas" in next(report)
    assert "25 %" in next(report)
    report.close()


def test_the_sample_table_has_the_mistakes_that_were_put_into_it(data_report: Any) -> None:
    report = data_report.report(DELIVERIES)

    columns = {column["name"]: column for column in report["columns"]}
    assert (report["kind"], report["delimiter"], report["count"]) == ("table", ",", 400)
    assert (report["duplicate_rows"], report["uneven_rows"]) == (1, 1)
    assert [outlier["value"] for outlier in columns["minutes"]["numbers"]["outliers"]] == ["412", "268"]
    assert columns["tip_eur"]["misfit"]["value"] == "cash"
    assert (columns["placed_at"]["type"], columns["zone"]["type"], columns["rating"]["missing"]) == ("date", "text", 62)
    assert json.loads(json.dumps(report)) is not None


def test_the_sample_log_has_its_burst_of_errors(data_report: Any) -> None:
    report = data_report.report(DISPATCH)

    assert (report["kind"], report["count"]) == ("log", 200)
    assert report["entries"] < 200
    assert sum(report["levels"].values()) == report["entries"]
    assert [burst["start"][:15] for burst in report["bursts"]] == ["2026-02-14 14:0"]
    assert report["error_messages"][0][0] == "payment gateway did not answer within # ms for order D-#"


@pytest.mark.parametrize(("delimiter", "word"), [(",", "commas"), (";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_delimiters_are_told_apart(data_report: Any, tmp_path: Path, delimiter: str, word: str) -> None:
    rows = [["name", "note"], ["a", '"x,y;z"'], ["b", "plain"], ["c", "also"]]
    path = write(tmp_path, "notes.txt", "\n".join(delimiter.join(row) for row in rows))

    assert f"2 columns separated by {word}" in "".join(data_report.report_stream(path))
    assert data_report.report(path)["count"] == 3


def test_a_table_without_a_header_loses_no_row(data_report: Any, tmp_path: Path) -> None:
    report = data_report.report(write(tmp_path, "numbers.csv", "1,2\n3,4\n5,6\n"))

    assert report["count"] == 3
    assert [column["name"] for column in report["columns"]] == ["column 1", "column 2"]


def test_a_table_of_nothing_but_a_header_is_reported(data_report: Any, tmp_path: Path) -> None:
    path = write(tmp_path, "header.csv", "name,age\n")

    assert data_report.report(path)["count"] == 0
    assert "Nothing: no gaps" in "".join(data_report.report_stream(path))


def test_codes_with_leading_zeros_are_no_numbers(data_report: Any, tmp_path: Path) -> None:
    path = write(tmp_path, "codes.csv", "code,score\n01234,1.5\n00987,-2e3\n04410,.5\n")

    assert [column["type"] for column in data_report.report(path)["columns"]] == ["text", "number"]


def test_numbers_at_the_edge_of_what_fits_break_nothing(data_report: Any, tmp_path: Path) -> None:
    rows = ["1e308", "-1e308", "1e999", "nan", "inf", "1e-300", "0", "٣", "e5", "+", "."] * 30
    path = write(tmp_path, "edge.csv", "a,b\n" + "".join(f"{cell},1\n" for cell in rows))

    column = data_report.report(path)["columns"][0]

    assert (column["present"], column["missing"], column["type"]) == (300, 30, "mixed")
    assert "".join(data_report.report_stream(path))


def test_dates_that_there_are_not_are_text(data_report: Any, tmp_path: Path) -> None:
    rows = "2026-02-30,1\n2026-13-01 10:00,2\n0001-01-01T00:00+05:00,3\n2026-03-01 soon,4\n"
    path = write(tmp_path, "dates.csv", f"when,n\n{rows}")

    assert data_report.report(path)["columns"][0]["type"] == "text"


def test_a_column_of_dates_spans_them_in_utc(data_report: Any, tmp_path: Path) -> None:
    path = write(tmp_path, "dates.csv", "when,n\n2026-03-01T10:00:00+02:00,1\n2026-03-01 09:00,2\n")

    column = data_report.report(path)["columns"][0]

    assert (column["first_date"], column["last_date"]) == ("2026-03-01 08:00", "2026-03-01 09:00")


def test_bytes_that_are_not_utf_8_are_shown_as_replaced(data_report: Any, tmp_path: Path) -> None:
    path = write(tmp_path, "latin.csv", "name,n\ncaf\xe9,1\ncaf\xe9,2\n".encode("latin-1"))

    assert data_report.report(path)["columns"][0]["top"] == [("caf\ufffd", 2)]


def test_a_byte_order_mark_is_no_part_of_the_first_name(data_report: Any, tmp_path: Path) -> None:
    report = data_report.report(write(tmp_path, "excel.csv", "\ufeffname,n\na,1\n"))

    assert report["columns"][0]["name"] == "name"
    assert report["columns"][0]["top"] == [("a", 1)]


def test_control_characters_never_reach_the_terminal(data_report: Any, tmp_path: Path) -> None:
    path = write(tmp_path, "red\x1b[31m.csv", "na\x1b[31mme,n\n\x1b]0;owned\x07,1\nplain,2\n")

    text = "".join(data_report.report_stream(path))

    assert all(character.isprintable() or character == "\n" for character in text)


def test_a_log_without_times_or_levels_is_still_counted(data_report: Any, tmp_path: Path) -> None:
    report = data_report.report(write(tmp_path, "plain.log", "started\nstopped after 3 s\nstopped after 12 s\n\n"))

    assert (report["count"], report["entries"], report["levels"]) == (4, 3, {})
    assert report["messages"][0] == ("stopped after # s", 2)


@pytest.mark.parametrize(
    "line",
    [
        "2026-03-01T10:00:00Z ERROR disk full",
        "[2026-03-01 11:00:00,123 +0100] [error] ERROR: disk full",
        '{"time": "2026-03-01T10:00:00.5+00:00", "level": "error", "message": "disk full"}',
        '10.0.0.1 - - [01/Mar/2026:12:00:00 +0200] "GET / HTTP/1.1" 500 level=error',
    ],
)
def test_common_shapes_of_log_lines_are_understood(data_report: Any, tmp_path: Path, line: str) -> None:
    report = data_report.report(write(tmp_path, "app.log", f"{line}\n"))

    assert report["first_time"] == "2026-03-01 10:00:00"
    assert report["levels"] == {"ERROR": 1}


def test_a_stack_trace_belongs_to_the_line_before_it(data_report: Any, tmp_path: Path) -> None:
    text = "2026-03-01 10:00:00 ERROR failed\nTraceback (most recent call last):\n  File x\nValueError: no\n"

    report = data_report.report(write(tmp_path, "app.log", text))

    assert (report["count"], report["entries"]) == (4, 1)


def test_a_log_of_many_years_keeps_few_buckets(data_report: Any, tmp_path: Path) -> None:
    lines = [
        f"{1990 + month // 12}-{month % 12 + 1:02}-{day:02} 00:00:00 ERROR no\n"
        for month in range(400)
        for day in (1, 9, 20)
    ]

    report = data_report.report(write(tmp_path, "old.log", "".join(lines)))

    assert report["entries"] == sum(report["timeline"]) == sum(report["error_timeline"]) == 1200


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("empty.csv", b"", "is empty"),
        ("binary.csv", b"\x7fELF\0\0", "binary"),
        ("utf16.csv", "a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        ("open.csv", b'a,b\n1,"' + b"x\n" * 200_000, "never closed"),
    ],
)
def test_a_file_that_cannot_be_reported_on_says_why(
    data_report: Any, tmp_path: Path, name: str, content: bytes, text: str
) -> None:
    path = write(tmp_path, name, content)

    with pytest.raises(ValueError, match=text):
        data_report.report(path)
    with pytest.raises(ValueError, match=text):
        list(data_report.report_stream(path))


def test_a_path_that_is_no_file_says_what_to_do(data_report: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no file 'nowhere\.csv'"):
        data_report.report("nowhere.csv")
    with pytest.raises(IsADirectoryError, match="is a folder; give a CSV or log file in it"):
        data_report.report(str(tmp_path))
    with pytest.raises(ValueError, match="not a regular file"):
        data_report.report("/dev/null")


@pytest.mark.parametrize("pace", [-1.0, 11.0, float("nan")])
def test_a_pace_nobody_would_wait_for_is_refused(data_report: Any, pace: float) -> None:
    with pytest.raises(ValueError, match="pace is a number of seconds from 0 to 10"):
        next(data_report.report_stream(DELIVERIES, pace=pace))


def test_memory_does_not_grow_with_the_file(data_report: Any, tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        path = write(tmp_path, f"{rows}.csv", "id,text\n" + "".join(f"{row},value {row}\n" for row in range(rows)))
        tracemalloc.start()
        try:
            data_report.report(path)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # The hashes of the rows are the one thing that still grows at these sizes, up to its own bound.
    assert peak(24_000) < peak(6_000) + 4_000_000
