"""What an agent's modules are called: for the interpreters that it starts, and for what it keeps on disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.errors import RunAgentError
from tests.cli.commands import AGENTS, Cli, ServeProcess

MODULES = ["main", "main", "helper", "parts.deep", "main"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    with Cli(tmp_path_factory.mktemp("home")).serving(AGENTS / "pools") as server:
        yield server


def run(server: ServeProcess, tag: str, **arguments: Any) -> Any:
    with server.client("grpc", "pools", tag) as client:
        return client.run(**arguments)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("tag", ["pooled", "pooled_from_a_coroutine", "executed", "executed_on_the_loop"])
def test_a_pool_of_other_interpreters_finds_the_agents_functions(server: ServeProcess, tag: str, method: str) -> None:
    assert run(server, tag, method=method, where="main") == [0, 1, 4, 9]


@pytest.mark.parametrize(
    ("where", "result"), [("helper", [0, -1, -2, -3]), ("package", [0, 2, 4, 6]), ("deep", [0, 1, 8, 27])]
)
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_finds_functions_of_every_file(server: ServeProcess, method: str, where: str, result: list[int]) -> None:
    assert run(server, "pooled", method=method, where=where) == result


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_values_of_the_agents_classes_go_to_a_child_and_back(server: ServeProcess, method: str) -> None:
    assert run(server, "exchanged", method=method) == MODULES


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_child_has_children_of_its_own(server: ServeProcess, method: str) -> None:
    assert run(server, "from_a_child", method=method) == [27]


def test_classes_are_named_as_a_script_beside_the_file_names_them(server: ServeProcess) -> None:
    assert run(server, "names") == MODULES


def test_a_traceback_names_the_authors_modules_alone(server: ServeProcess) -> None:
    with pytest.raises(RunAgentError, match="not today"):
        run(server, "refused")
    server.wait_for("main.RefusedError: not today")
    assert "_runagent_agents" not in server.err


def test_what_one_server_keeps_the_next_one_finds(cli: Cli, tmp_path: Path) -> None:
    path = str(tmp_path / "kept")
    with cli.serving(AGENTS / "pools") as server:
        run(server, "kept", path=path)
    with cli.serving(AGENTS / "pools") as server:
        found = run(server, "found", path=path)
    assert found == {"pickle": [True] * 5, "checkpoint": [True] * 5, "version": 1}


def test_what_is_kept_before_a_reload_is_found_after_it(cli: Cli, tmp_path: Path) -> None:
    folder, path = tmp_path / "agent", str(tmp_path / "kept")
    shutil.copytree(AGENTS / "pools", folder)
    with cli.serving(folder, "--reload") as server:
        run(server, "kept", path=path)
        main = folder / "main.py"
        beside = folder / "main.py.new"
        beside.write_text(main.read_text().replace("VERSION = 1", "VERSION = 2"))
        beside.replace(main)
        server.wait_for("main.py has changed")
        assert run(server, "found", path=path) == {"pickle": [True] * 5, "checkpoint": [True] * 5, "version": 2}
        assert run(server, "pooled", method="spawn", where="main") == [0, 1, 4, 9]
