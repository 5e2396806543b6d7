"""`runagent teardown`, and the commands of a cloud that is not here."""

from __future__ import annotations

import pytest

from tests.cli.commands import AGENTS, Cli


def test_nothing_to_remove_is_told_and_makes_nothing(cli: Cli) -> None:
    outcome = cli("teardown")
    assert (outcome.code, outcome.err) == (0, f"There is nothing to remove in {cli.home / 'cache'}.\n")
    assert not cli.home.exists()


def test_everything_of_ours_is_removed_after_asking(cli: Cli) -> None:
    cache = cli.home / "cache"
    cli("config", "set-api-key", "secret")
    with cli.serving(AGENTS / "probe") as server:
        server.process.terminate()
        server.wait()

    refused = cli("teardown", stdin=b"n\n")
    assert refused.code == 130
    for name, what in {
        "runagent_local.db": "registry and history",
        "servers": "which servers run",
        "user_data.json": "settings",
    }.items():
        assert (cache / name).exists()
        assert f"  {cache / name} ({what})\n" in refused.err

    removed = cli("teardown", "--yes")
    assert (removed.code, removed.err.splitlines()[-1]) == (0, "Removed.")
    assert not cache.exists()


def test_what_is_not_ours_stays(cli: Cli) -> None:
    cli("config", "set-api-key", "secret")
    (cli.home / "cache" / "other").touch()
    assert cli("teardown", "-y").code == 0
    assert [path.name for path in (cli.home / "cache").iterdir()] == ["other"]


def test_nothing_is_removed_under_a_server_that_runs_unless_told(cli: Cli) -> None:
    with cli.serving(AGENTS / "probe") as server:
        refused = cli("teardown", "--yes")
        assert (refused.code, refused.error) == (1, "❌ An agent is being served: probe.")
        assert "--force" in refused.err
        assert cli("teardown", "--yes", "--force").code == 0
        assert not (cli.home / "cache" / "runagent_local.db").exists()
        assert cli("describe", "--host", "127.0.0.1", "--port", str(server.port)).code == 0


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("upload", "has nowhere to upload to"),
        ("deploy", "has nowhere to deploy to"),
        ("start", "has nothing to start"),
        ("setup", "has no account to sign in to"),
    ],
)
@pytest.mark.parametrize("arguments", [(), (".", "--overwrite"), ("--id", "x", "--config", "{}"), ("--again",)])
def test_commands_of_a_cloud_say_what_to_do_instead(
    cli: Cli, command: str, text: str, arguments: tuple[str, ...]
) -> None:
    outcome = cli(command, *arguments)
    assert (outcome.code, outcome.out) == (1, b"")
    assert outcome.error == f"❌ `runagent {command}` {text}: agents are served by you, not in a cloud."
    instead = outcome.err.splitlines()[1]
    words = ["config set-base-url"] if command == "setup" else ["`runagent serve PATH`", "--host", "--api-key-file"]
    assert [word for word in words if word not in instead] == []
