"""Frameworks that ask for an older protobuf put it in the place of ours. Nothing works then, and that is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import AGENTS, Cli

AS_IF_OLD = """
from google.protobuf import runtime_version

runtime_version.MAJOR, runtime_version.MINOR, runtime_version.PATCH = 5, 29, 6
"""


@pytest.mark.parametrize(
    "command",
    [["serve", str(AGENTS / "probe")], ["run", "--host", "127.0.0.1", "--port", "1", "--tag", "add"]],
    ids=["serve", "run"],
)
def test_a_protobuf_that_is_too_old_is_told_with_what_to_do(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "sitecustomize.py").write_text(AS_IF_OLD)
    outcome = Cli(tmp_path, PYTHONPATH=str(tmp_path))(*command)
    assert outcome.code == 1
    assert outcome.err == (
        "❌ The protobuf that is installed here, 5.29.6, is too old for this package; another one has asked for it.\n"
        "Put a newer one in its place: pip install --upgrade protobuf\n"
    )
