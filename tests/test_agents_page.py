"""docs/agents.md prints agents that load, and do what the page says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from runagent_grpc.testing import serving
from runagent_grpc.worker.extractor import JsonPath

PAGE = (Path(__file__).parents[1] / "docs" / "agents.md").read_text(encoding="utf-8")

_FENCE = re.compile(r"^```(?P<language>\w+) ?(?P<name>[\w./-]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


def files_before(position: int) -> dict[str, str]:
    """Returns the files that the page has shown so far; a later one of a name replaces an earlier one."""
    fences = list(_FENCE.finditer(PAGE))
    return {fence["name"]: fence["body"] for fence in fences if fence["name"] and fence.start() < position}


def configurations() -> Iterator[object]:
    for fence in _FENCE.finditer(PAGE):
        if fence["language"] in {"json", "yaml"} and not fence["name"]:
            line = PAGE.count("\n", 0, fence.start()) + 1
            file = f"runagent.config.{fence['language']}"
            yield pytest.param({**files_before(fence.start()), file: fence["body"]}, id=f"line-{line}")


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def section(title: str) -> str:
    """Returns what stands under a heading, up to the next of its kind."""
    return PAGE[PAGE.index(f"\n## {title}\n") + 1 :].split("\n## ")[0]


def part_on(title: str) -> dict[str, str]:
    """Returns the files of the last configuration under a heading."""
    start = PAGE.index(f"\n## {title}\n")
    *_, fence = _FENCE.finditer(PAGE, start, start + 1 + len(section(title)))
    return {**files_before(start), f"runagent.config.{fence['language']}": fence["body"]}


@pytest.mark.parametrize("files", list(configurations()))
def test_every_configuration_on_the_page_loads(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MODEL", raising=False)
    with serving(write(tmp_path, files)) as server:
        assert server.agent.entrypoints


def test_the_page_shows_both_languages_and_they_mean_the_same(tmp_path: Path) -> None:
    served: list[tuple[str, list[str], list[object]]] = []
    for files in (parameter.values[0] for parameter in list(configurations())[:2]):  # type: ignore[attr-defined]  # of pytest's own
        folder = tmp_path / str(len(served))
        folder.mkdir()
        with serving(write(folder, files)) as server, server.client("ask_stream") as client:
            served.append((server.agent.agent_id, list(server.agent.entrypoints), list(client.run(question="a b"))))
    assert served[0] == served[1]
    assert served[0][2] == [{"index": 0, "delta": {"content": "a "}}, {"index": 1, "delta": {"content": "b "}}]


def test_the_extractors_on_the_page_give_what_it_says(tmp_path: Path) -> None:
    with serving(write(tmp_path, part_on("Extractors"))) as server:
        assert server.client("ask").run(question="abc") == {"answer": "cba", "language": None}
        assert list(server.client("ask_stream").run(question="a b")) == [{"text": "a "}, {"text": "b "}]


def test_the_paths_on_the_page_find_what_it_says() -> None:
    value = json.loads(
        """{"usage": {"tokens": 5}, "messages": [{"role": "user", "content": "first"},
        {"role": "assistant", "content": "last"}], "a name": 1, "tool-calls": 2, "a.b": 3,
        "items": [{"price": 6}, {"price": 7}], "content": "other"}"""
    )
    rows = re.findall(r"^\| (`.+`) \| [^|]+ \|$", section("Extractors"), re.MULTILINE)
    found = [
        JsonPath.of(path.replace("\\|", "|")).first(value) for row in rows for path in re.findall(r"`([^`]+)`", row)
    ]
    user, assistant = value["messages"]
    assert found == [5, 5, user, assistant, 1, 2, 3, "other", 6, {"price": 7}, "last", "other"]
