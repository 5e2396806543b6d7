"""The documentation says what is there: its links lead somewhere, its tables are the code's, its examples run."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

import pytest

from runagent_grpc.errors import TABLE
from runagent_grpc.local.registry import RegisteredAgent, Registry

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "CHANGELOG.md", ROOT / "README.md", *sorted(ROOT.glob("examples/*/*.md"))]
SOURCES = ("runagent_grpc", "runagent", "cli", "protos", "tests", "benchmarks", "examples", "sdks")
SOURCE_SUFFIXES = {".go", ".js", ".mjs", ".proto", ".py", ".pyi", ".rs", ".sh", ".toml", ".ts", ".txt", ".yaml"}

# annotationlib is Python 3.14's.
STANDARD = sys.stdlib_module_names | {"annotationlib"}

_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (?P<title>.+)$", re.MULTILINE)
_REFERENCE = re.compile(r"\bdocs/(?P<page>[\w-]+\.md)(?:, (?P<section>[\w -]+\w))?")
_PATH = re.compile(r"`(?P<path>[\w./-]+\.(?:proto|py|binpb))`")
# What may stand between two words of a comment that go on in the next line.
_LINE_BREAK = re.compile(r"\s*\n\s*(?:#|//[/!]?|\*)?\s*")


def runnable_examples() -> Iterator[object]:
    for page in PAGES:
        text = page.read_text()
        for fence in _FENCE.finditer(text):
            language, *marks = fence["info"].split() or [""]
            if language == "python" and "runnable" in marks:
                line = text.count("\n", 0, fence.start()) + 1
                yield pytest.param(fence["body"], line, id=f"{page.name}-line-{line}")


@pytest.mark.parametrize(("code", "line"), list(runnable_examples()))
def test_an_example_marked_runnable_runs_as_it_is_printed(code: str, line: int, tmp_path: Path) -> None:
    example = tmp_path / "example.py"
    # A failure's line number is then that of the page.
    example.write_text("\n" * line + code)
    runpy.run_path(str(example), run_name="__main__")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.finditer(_FENCE.sub("", page.read_text())):
        path, _, anchor = link["target"].partition("#")
        if "://" in path or path.startswith("mailto:"):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link["target"])
    assert broken == []


def test_every_section_that_the_code_refers_to_is_there() -> None:
    references = list(references_in_code())
    assert len(references) > 10
    missing = [
        f"{file}: docs/{page}, {section}" if section else f"{file}: docs/{page}"
        for file, page, section in references
        if not (DOCS / page).is_file() or (section and section.lower() not in titles_of(DOCS / page))
    ]
    assert missing == []


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    author_files = {"main.py", "example.py"}
    places = (ROOT, ROOT / "runagent_grpc")
    names = {match["path"] for match in _PATH.finditer(page.read_text())} - author_files
    assert [name for name in sorted(names) if not any((place / name).exists() for place in places)] == []


def test_the_error_table_is_the_one_in_the_code() -> None:
    written = [tuple(row[:5]) for row in table_in(DOCS / "design.md", "Errors")]
    assert written == [
        (reason.value, row.grpc, str(row.http), row.code, row.error.__name__) for reason, row in TABLE.items()
    ]


def test_the_registry_has_the_columns_that_are_documented(tmp_path: Path) -> None:
    file = tmp_path / "runagent_local.db"
    Registry(file).register(RegisteredAgent(agent_id="a", agent_path="a", host="127.0.0.1", port=1))
    with closing(connect(file)) as connection:
        columns = [(name, kind) for _, name, kind, *_ in connection.execute("PRAGMA table_info(agents)")]
    written = [(name.strip("`"), kind) for name, kind, _ in table_in(DOCS / "wire.md", "Local registry")]
    assert written == columns


def test_every_dependency_is_documented_with_its_lower_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for section, requirements in {
        "At run time": project["dependencies"],
        "For tests": extras["test"],
        "For development": [requirement for requirement in extras["dev"] if not requirement.startswith("runagent")],
    }.items():
        rows = table_in(DOCS / "dependencies.md", section)
        bounds = [requirement.partition(";")[0] for requirement in requirements]
        assert sorted(f"{row[0].strip('`')}>={row[1]}" for row in rows) == sorted(bounds)


def test_every_folder_is_in_the_folder_map() -> None:
    written = {row[0].strip("`") for row in table_in(DOCS / "architecture.md", "Folder map")}
    folders = [*ROOT.iterdir(), *(ROOT / "runagent_grpc").iterdir()]
    passing = {"build", "dist", "node_modules", "target"}
    there = {
        f"{folder.relative_to(ROOT)}/"
        for folder in folders
        if folder.is_dir() and not folder.name.startswith((".", "__")) and folder.name not in passing
    }
    assert written - {".ci/"} == there


def test_imports_point_the_way_that_the_table_says() -> None:
    rule = {
        row[0].strip("`"): ({*re.findall(r"`(\w+)`", row[1])}, {*re.findall(r"`(\w+)`", row[2])})
        for row in table_in(DOCS / "architecture.md", "The import rule")
    }
    broken = []
    for part, module, imported in imports():
        if part not in rule:
            broken.append(f"{module}: `{part}` has no row in the table.")
            continue
        ours, others = rule[part]
        package, *path = imported.split(".")
        if package == "runagent_grpc":
            allowed = bool(path) and path[0] in {part, *ours}
        elif package == "runagent_cli":
            allowed = part == "cli"
        else:
            # The standard library is everybody's, but for what makes a part know HTTP or SQL.
            allowed = package in others or package in STANDARD - {"http", "sqlite3"}
        if not allowed:
            broken.append(f"{module} imports {imported}.")
    assert broken == []


def test_the_command_line_says_what_is_documented(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    for command, text, exit_code in table_in(DOCS / "wire.md", "CLI texts"):
        words = shlex.split(command.strip("`"))[1:]
        ended = subprocess.run(
            [sys.executable, "-m", "runagent_cli", *words], cwd=tmp_path, capture_output=True, encoding="utf-8"
        )
        text = text.removeprefix("``").removesuffix("``") if text.startswith("``") else text.strip("`")
        assert (ended.returncode, ended.stdout) == (int(exit_code), "")
        assert {"1": "❌ ", "2": "Error: "}[exit_code] + text in ended.stderr.splitlines()


def anchors_of(page: Path) -> set[str]:
    """Returns the anchors that a page's headings have on GitHub."""
    return {re.sub(r"[^\w -]", "", title).replace(" ", "-") for title in titles_of(page)}


def titles_of(page: Path) -> set[str]:
    return {heading["title"].strip().lower() for heading in _HEADING.finditer(_FENCE.sub("", page.read_text()))}


def table_in(page: Path, section: str) -> list[list[str]]:
    """Returns the cells of the first table below a heading, without its head."""
    _, found, rest = page.read_text().partition(f"# {section}\n")
    assert found, f"{page.name} has no section {section!r}."
    lines = rest.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def references_in_code() -> Iterator[tuple[str, str, str | None]]:
    """Yields every `docs/page.md, section` in the sources, and which file it is in."""
    files = [ROOT / "Makefile", ROOT / "pyproject.toml"]
    for folder in SOURCES:
        files += [path for path in (ROOT / folder).rglob("*") if path.suffix in SOURCE_SUFFIXES and path.is_file()]
    for file in files:
        if file == Path(__file__) or {"node_modules", "target"} & set(file.parts):
            continue
        text = _LINE_BREAK.sub(" ", file.read_text(encoding="utf-8"))
        for reference in _REFERENCE.finditer(text):
            yield str(file.relative_to(ROOT)), reference["page"], reference["section"]


def imports() -> Iterator[tuple[str, str, str]]:
    """Yields the part, the file, and the absolute name of everything that the package imports."""
    for package in ("runagent_grpc", "runagent", "cli"):
        for file in (ROOT / package).rglob("*.py"):
            inside = file.relative_to(ROOT / package).with_suffix("").parts
            if inside[0] in {"_gen", "__init__"} and package == "runagent_grpc":
                continue
            # A template becomes an author's file; it is data here.
            if "templates" in inside:
                continue
            part = inside[0] if package == "runagent_grpc" else package
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                else:
                    continue
                for name in names:
                    yield part, str(file.relative_to(ROOT)), name
