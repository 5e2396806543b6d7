"""A review of an agent: every warning where it belongs, and none where it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.lint import WARNINGS, Review, Severity, review_agent

MakeFolder = Callable[..., Path]

EXAMPLES = Path(__file__).parents[2] / "examples"


def told(review: Review) -> list[tuple[str, str, int | None]]:
    return [(finding.kind, finding.file, finding.line) for finding in review.findings]


def webhook(url: str, **more: Any) -> Mapping[str, Any]:
    return {"webhook_url": url, "method": "POST", "tag": "hook", **more}


@pytest.mark.parametrize("agent", ["quickstart", "data_report"])
def test_a_sound_agent_gives_no_finding(agent: str) -> None:
    review = review_agent(EXAMPLES / agent)
    assert review.findings == ()
    assert review.agent is not None


def test_errors_and_warnings_are_told_together_each_with_its_place(make_folder: MakeFolder) -> None:
    main = "def chat(message):\n    yield message\n\n\n"
    main += "async def wait_stream():\n    import time\n    time.sleep(1)\n    yield 1\n"
    folder = make_folder(
        {"main.py": main, "broken.py": "import no_such_thing\n"},
        [
            {"file": "main.py", "module": "chat", "tag": "chat"},
            {"file": "main.py", "module": "wait_stream", "tag": "wait_stream"},
            {"file": "main.py", "module": "chta", "tag": "typo"},
            {"file": "broken.py", "module": "run", "tag": "broken"},
        ],
        framework="langraph",
        env_vars={"KEY": "${OUR_TEST_UNSET}", "OPENAI_API_KEY": "changeme"},
    )
    review = review_agent(folder)
    assert review.agent is None
    assert [finding.severity for finding in review.findings] == [Severity.ERROR] * 4 + [Severity.WARNING] * 3
    assert {(kind, file) for kind, file, _ in told(review)} == {
        ("configuration", "runagent.config.json"),
        ("environment", "runagent.config.json"),
        ("entrypoint", "runagent.config.json"),
        ("import", "broken.py"),
        ("generator-without-stream", "main.py"),
        ("blocking-call", "main.py"),
        ("placeholder", "runagent.config.json"),
    }
    assert [line for kind, _, line in told(review) if kind in ("import", "generator-without-stream")] == [1, 1]
    assert [line for kind, _, line in told(review) if kind == "blocking-call"] == [7]


def test_what_the_import_sets_is_taken_back(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OUR_TEST_KEPT", "before")
    monkeypatch.chdir(tmp_path)
    main = (
        "import os, sys\nos.environ['OUR_TEST_KEPT'] = 'after'\nos.environ['OUR_TEST_NEW'] = '1'\n"
        "os.chdir('/')\nsys.path.append('/nowhere')\nsys.stdout = None\nimport helper\ndef run(): ...\n"
    )
    path, modules, environment, stdout = list(sys.path), set(sys.modules), dict(os.environ), sys.stdout
    review_agent(make_folder({"main.py": main, "helper.py": "", ".env": "OUR_TEST_ENV=1\n"}))
    assert (sys.path, dict(os.environ), Path.cwd(), sys.stdout) == (path, environment, tmp_path, stdout)
    assert set(sys.modules) - modules <= {"_runagent_agents"}


def test_no_function_of_the_authors_is_called(make_folder: MakeFolder) -> None:
    main = (
        "class Loud:\n    def __call__(self): raise SystemExit('called')\n    def method_stream(self): yield self()\n"
    )
    main += "loud = Loud()\ndef run(): raise SystemExit('called')\ndef run_stream(): return loud()\n"
    tags = {"call_stream": "loud", "method_stream": "loud.method_stream", "run": "run", "run_stream": "run_stream"}
    entries = [{"file": "main.py", "module": module, "tag": tag} for tag, module in tags.items()]
    assert review_agent(make_folder({"main.py": main}, entries)).findings == ()


def test_a_yaml_configuration_is_reviewed_with_its_lines(tmp_path: Path) -> None:
    (tmp_path / "runagent.config.yaml").write_text(
        "agent_name: A\nagent_id: an-id\nframework: default\n\nagent_architecture:\n  entrypoints:\n"
        "    - tag: run\n      file: main.py\n      module: rum\n      extractor:\n        x: 'a['\n"
        "env_vars:\n  # for the model\n  OPENAI_API_KEY: your-key\n"
    )
    (tmp_path / "main.py").write_text("def run(): ...\n")
    assert told(review_agent(tmp_path)) == [
        ("entrypoint", "runagent.config.yaml", 10),
        ("entrypoint", "runagent.config.yaml", 9),
        ("placeholder", "runagent.config.yaml", 14),
    ]


def test_a_second_configuration_is_told(make_folder: MakeFolder) -> None:
    folder = make_folder()
    (folder / "runagent.config.yml").write_text("agent_name: other\n")
    (finding,) = review_agent(folder).findings
    assert (finding.kind, finding.file) == ("configuration-not-read", "runagent.config.yml")
    assert finding.text.endswith("Remove one of the two.")


def test_an_agent_without_an_id_is_told_which_one_it_has(make_folder: MakeFolder) -> None:
    review = review_agent(make_folder(agent_id=None))
    assert review.agent is not None
    (finding,) = review.findings
    assert (finding.kind, review.agent.agent_id in finding.text) == ("id-of-folder", True)


@pytest.mark.parametrize(
    ("url", "more", "kinds"),
    [
        ("https://example.com/hook", {}, []),
        ("http://example.com/hook", {}, ["webhook-without-tls"]),
        ("http://example.com/hook", {"allow_private_addresses": True}, []),
        ("http://localhost:5678/hook", {"allow_private_addresses": True}, []),
        ("http://n8n:5678/hook", {}, []),
        ("http://10.0.0.7/hook", {}, []),
        ("http://flows.internal/hook", {}, []),
        ("https://ada:s3cretpassword@example.com/hook", {}, ["webhook-credentials"]),
        ("https://ada:your-password@example.com/hook", {}, []),
        ("https://example.com/hook?token=a8Fk29Lq01ZxPw7T4mNb", {}, ["webhook-credentials"]),
        ("https://example.com/hook?token=test", {}, []),
        ("https://example.com/hook?page=a8Fk29Lq01ZxPw7T4mNb", {}, []),
    ],
)
def test_an_address_that_gives_something_away_is_told(
    make_folder: MakeFolder, url: str, more: dict[str, Any], kinds: list[str]
) -> None:
    review = review_agent(make_folder({}, [webhook(url, **more)]))
    assert [finding.kind for finding in review.findings] == kinds
    for finding in review.findings:
        assert "`agent_architecture.entrypoints[0].webhook_url`" in finding.text
        assert not {"s3cretpassword", "a8Fk29Lq01ZxPw7T4mNb"} & set(finding.text.replace("=", " ").split())


@pytest.fixture
def repository(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An agent with a `.env` in a git repository of its own."""
    for name in list(os.environ):
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    folder = make_folder({"main.py": "def run(): ...\n", ".env": "OUR_TEST_KEY=1\n"})
    git(folder, "init", "--quiet")
    return folder


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S607 - the machine's git


def test_an_env_file_that_git_would_take_is_told(repository: Path) -> None:
    (finding,) = review_agent(repository).findings
    assert (finding.kind, finding.file) == ("env-file-in-git", ".env")
    assert finding.text.endswith("Add the line `.env` to .gitignore.")


def test_an_env_file_that_git_has_is_told(repository: Path) -> None:
    git(repository, "add", "--force", ".env")
    (repository / ".gitignore").write_text(".env\n")
    (finding,) = review_agent(repository).findings
    assert "git rm --cached .env" in finding.text


def test_an_env_file_that_git_ignores_or_does_not_know_is_fine(repository: Path, make_folder: MakeFolder) -> None:
    (repository / ".gitignore").write_text(".env*\n")
    assert review_agent(repository).findings == ()
    assert review_agent(make_folder({"main.py": "def run(): ...\n", ".env": "A=1\n"})).findings == ()


def test_a_repository_has_no_program_of_its_own_run(repository: Path) -> None:
    program = repository / "monitor"
    program.write_text(f"#!/bin/sh\ntouch '{repository}/ran'\n")
    program.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(program))
    assert [finding.kind for finding in review_agent(repository).findings] == ["env-file-in-git"]
    assert not (repository / "ran").exists()


def test_requirements_that_are_a_pipe_are_not_waited_for(make_folder: MakeFolder) -> None:
    folder = make_folder({"main.py": "def run(): ...\n"})
    os.mkfifo(folder / "requirements.txt")
    assert review_agent(folder).findings == ()


def test_what_nests_deeper_than_anybody_writes_is_reviewed_all_the_same(make_folder: MakeFolder) -> None:
    main = f"async def run(a: {'|'.join(['int'] * 900)}):\n    return a{'.a' * 1500}()\n"
    assert review_agent(make_folder({"main.py": main})).findings == ()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every folder")
def test_a_folder_that_may_be_listed_and_not_looked_into_is_an_error(make_folder: MakeFolder) -> None:
    folder = make_folder({"main.py": "def run(): ...\n"})
    folder.chmod(0o444)
    try:
        findings = review_agent(folder).findings
    finally:
        folder.chmod(0o755)
    assert "runagent.config.json cannot be read" in findings[0].text


def test_requirements_that_are_not_there_are_told(make_folder: MakeFolder) -> None:
    requirements = (
        "# ours\n-r other.txt\n--index-url https://example.com\nPyTest>=1,<99  # here\nclick[extra]==8.*\n\n"
        "no-such-thing>=1\nnor_this_one\nhttps://example.com/x.whl\nnot-here ; sys_platform == 'win32'\n"
        "git+https://example.com/x\n./local\nx @ file:///x\n"
    )
    (finding,) = review_agent(make_folder({"main.py": "def run(): ...\n", "requirements.txt": requirements})).findings
    assert (finding.kind, finding.file, finding.line) == ("requirements-not-installed", "requirements.txt", 7)
    assert finding.text.startswith(f"`no-such-thing`, `nor_this_one` are not installed in {sys.prefix}")
    assert "pip install -r " in finding.text


def test_every_warning_is_a_row_with_a_name_for_programs() -> None:
    for kind, find in WARNINGS.items():
        assert kind == kind.lower()
        assert find.__doc__


def test_every_warning_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    assert set(WARNINGS) <= {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}


def test_a_field_whose_name_looks_like_a_path_is_told_as_any_other(make_folder: MakeFolder) -> None:
    (finding,) = review_agent(make_folder(**{"descri]ption": "x"})).findings
    assert (finding.kind, "Did you mean `description`?" in finding.text) == ("configuration", True)
    strange = make_folder(env_vars={"a]b": ["x"], "c.d[": ["x"]})
    assert [finding.kind for finding in review_agent(strange).findings] == ["environment"] * 2
