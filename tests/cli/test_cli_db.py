"""`runagent db` on a history that a server left, and on one that a server is writing."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.errors import ExecutionFailedError
from runagent_grpc.local.registry import RegisteredAgent, Registry
from runagent_grpc.store import HistoryStore
from runagent_grpc.values.payload import Json, TruncatedPayload
from tests.cli.commands import AGENTS, Cli
from tests.cli.terminals import at_a_terminal
from tests.store.recording import begin, end, log, record
from tests.waiting import eventually

COMMANDS = ("status", "invocations", "invocation", "logs", "cleanup", "cleanup-logs")
NOW = datetime.now(UTC)


def file_of(cli: Cli) -> Path:
    return cli.home / "cache" / "runagent_local.db"


def recording(cli: Cli) -> HistoryStore:
    """A store where the commands look."""
    return HistoryStore(file_of(cli), agent_id="agent")


def test_the_group_tells_its_commands(cli: Cli) -> None:
    outcome = cli("db", "--help")
    assert outcome.code == 0
    assert all(f"  {name} " in outcome.out.decode() for name in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "note"),
    [
        (("status",), "No agent has been served on this machine yet."),
        (("invocations",), "No such invocation is recorded."),
        (("logs",), "No line is recorded."),
        (("cleanup", "--yes"), "No invocation is that old."),
        (("cleanup-logs", "--yes"), "No line is that old."),
    ],
)
def test_where_nothing_was_recorded_nothing_is_shown_and_no_file_is_made(
    cli: Cli, arguments: tuple[str, ...], note: str
) -> None:
    outcome = cli("db", *arguments)
    assert (outcome.code, outcome.out, outcome.err.strip()) == (0, b"", note)
    if arguments[0] not in ("cleanup", "cleanup-logs"):
        assert json.loads(cli("db", *arguments, "--format", "json").out) == []
    assert not cli.home.exists()


def test_invocations_are_a_table_of_eighty_columns(cli: Cli) -> None:
    with recording(cli) as store:
        invocation = begin(store, tag="summary" * 9 + "_stream", agent_id="漢字" * 30 + "\x1b[31m\n")
        end(store, invocation, chunk_count=1_000_000, first_chunks=["x"])
        end(store, begin(store), state=InvocationState.TIMED_OUT)
    outcome = cli("db", "invocations")
    lines = outcome.out.decode().splitlines()
    assert [line.split()[0] for line in lines] == ["ID", *(line[:8] for line in lines[1:])]
    assert "TIMED_OUT" in lines[1]
    assert lines[2].startswith(invocation.invocation_id[:8])
    assert lines[2].endswith("1,000,000")
    wide = lines[2].count("漢") + lines[2].count("字")
    assert wide
    assert max(len(lines[0]), len(lines[1]), len(lines[2]) + wide) <= 80
    assert "\x1b" not in outcome.out.decode()


def test_invocations_are_plain_json_at_any_width(cli: Cli) -> None:
    with recording(cli) as store:
        invocation_id = record(store, Json("[]"), "in" * 500, user_id="é\x1b", transport="http")
    for columns in ("20", "400"):
        outcome = cli.with_variables(COLUMNS=columns)("db", "invocations", "--format", "json")
        (told,) = json.loads(outcome.out)
        assert told["invocation_id"] == invocation_id
        assert (told["state"], told["user_id"], told["transport"]) == ("COMPLETED", "é\x1b", "http")
        assert (told["elapsed"], told["result_size"], told["cause"]) == (2.0, 2, None)
        assert datetime.fromisoformat(told["start_time"]) < datetime.fromisoformat(told["end_time"])


def test_invocations_can_be_chosen(cli: Cli) -> None:
    with recording(cli) as store:
        ids = {}
        for state in (InvocationState.COMPLETED, InvocationState.FAILED, InvocationState.CANCELLED):
            invocation = begin(store)
            end(store, invocation, state=state)
            ids[state.name] = invocation.invocation_id
        other = record(store, agent_id="other")

    def chosen(*options: str) -> list[str]:
        return [told["invocation_id"] for told in json.loads(cli("db", "invocations", "--format=json", *options).out)]

    assert chosen("--status", "failed") == [ids["CANCELLED"], ids["FAILED"]]
    assert chosen("--status", "cancelled") == [ids["CANCELLED"]]
    assert chosen("--status", "pending") == []
    assert chosen("--agent-id", "other") == [other]
    assert chosen("--limit", "2") == [other, ids["CANCELLED"]]


def test_an_invocation_is_shown_whole_for_a_prefix_of_its_id(cli: Cli) -> None:
    with recording(cli) as store:
        invocation = begin(store, {"deep": [1]}, kwargs={"password": "x"}, user_id="ada")
        end(
            store,
            invocation,
            state=InvocationState.FAILED,
            error=ExecutionFailedError("no\nway \x1b[2J"),
            chunk_count=9,
            first_chunks=["one"],
            last_chunks=[TruncatedPayload(beginning="long", size=99_999)],
        )
        record(store)
    prefix = invocation.invocation_id[:20]
    shown = cli("db", "invocation", prefix).out.decode()
    assert f"id          {invocation.invocation_id}\n" in shown
    assert (
        "state       FAILED\nreason      EXECUTION_FAILED\ncause       no\nway \N{REPLACEMENT CHARACTER}[2J\n" in shown
    )
    assert '"password": "***"' in shown
    told = json.loads(cli("db", "invocation", prefix, "--format", "json").out)
    assert (told["message"], told["user_id"]) == ("no\nway \x1b[2J", "ada")
    assert told["input"] == {"args": [{"deep": [1]}], "kwargs": {"password": "***"}}
    assert told["output"] == {"first_chunks": ["one"], "last_chunks": [{"excerpt": "long", "size": 99_999}]}


def test_a_prefix_that_may_mean_several_says_so(cli: Cli) -> None:
    with recording(cli) as store:
        ids = [record(store) for _ in range(7)]
    outcome = cli("db", "invocation", "")
    assert (outcome.code, outcome.out) == (1, b"")
    assert outcome.error == "❌ The ids of several invocations begin with :"
    assert sum(f"{invocation_id}\n" in outcome.err for invocation_id in ids) == 5
    assert outcome.err.endswith("...\nGive more of it.\n")


def test_a_prefix_of_nothing_says_so(cli: Cli) -> None:
    outcome = cli("db", "invocation", "none")
    assert (outcome.code, outcome.error) == (1, "❌ No invocation is recorded whose id begins with none.")


def test_logs_are_the_last_lines_in_order(cli: Cli) -> None:
    with recording(cli) as store:
        one, two = record(store), record(store, agent_id="other")
        for number in range(3):
            log(store, one, f"line {number}")
        log(store, two, "bell\x07", level="ERROR")
    lines = cli("db", "logs", "--limit", "2").out.decode().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [f"{one[:8]} INFO line 2", f"{two[:8]} ERROR bell\x07"]
    told = json.loads(cli("db", "logs", "--invocation", one[:20], "--format", "json").out)
    assert [line["text"] for line in told] == ["line 0", "line 1", "line 2"]
    assert {line["invocation_id"] for line in told} == {one}
    assert [line["text"] for line in json.loads(cli("db", "logs", "--agent-id=other", "--format=json").out)] == [
        "bell\x07"
    ]


def test_a_terminal_gets_no_control_characters_from_logs(cli: Cli) -> None:
    with recording(cli) as store:
        log(store, record(store), "\x1b]0;title\x07two\nlines\x9b2J")
    with at_a_terminal(cli, "db", "logs") as screen:
        shown = screen.to_the_end()
    assert shown.endswith("INFO \ufffd]0;title\ufffdtwo\nlines\ufffd2J\n")


def test_logs_are_followed_until_ctrl_c(cli: Cli) -> None:
    with recording(cli) as store:
        invocation_id = record(store)
        log(store, invocation_id, "before")
        store.flush()
        with cli.started("db", "logs", "--follow", "--format", "json") as process:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["text"] == "before"
            for text in ("after", "more"):
                log(store, invocation_id, text)
                assert json.loads(process.stdout.readline())["text"] == text
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130


def test_cleanup_forgets_what_is_old_and_asks_first(cli: Cli) -> None:
    with recording(cli) as store:
        for days in (1, 40, 50):
            invocation_id = record(store, start_time=NOW - timedelta(days=days))
            log(store, invocation_id, "said", time=NOW - timedelta(days=days))
    asked = cli("db", "cleanup", stdin=b"n\n")
    # Older versions of click let one space of its question out there.
    assert (asked.code, asked.out.strip()) == (130, b"")
    assert "Remove 2 invocations of more than 30 days ago? [y/N]" in asked.err
    assert cli("db", "cleanup-logs", "--days", "45", "--yes").err == "Removed 1 line.\n"
    assert cli("db", "cleanup", "--days", "45", "--yes").err == "Removed 1 invocation.\n"
    assert cli("db", "cleanup", stdin=b"y\n").err.endswith("Removed 1 invocation.\n")
    assert len(json.loads(cli("db", "logs", "--format", "json").out)) == 1
    assert len(json.loads(cli("db", "invocations", "--format", "json").out)) == 1


def test_status_tells_which_agents_answer_and_how_they_fared(cli: Cli) -> None:
    registry = Registry(file_of(cli))
    registry.register(RegisteredAgent(agent_id="gone", agent_path="", host="127.0.0.1", port=1))
    with cli.serving(AGENTS / "probe"):
        cli("run", "--id", "probe", "--local", "--tag", "greet", "--name=Ada")
        cli("run", "--id", "probe", "--local", "--tag", "fail", "--text=no")
        # Another agent's address by now.
        port = next(agent.port for agent in registry.agents() if agent.agent_id == "probe")
        registry.register(RegisteredAgent(agent_id="moved" * 20, agent_path="", host="127.0.0.1", port=port))
        told = {agent["agent_id"]: agent for agent in json.loads(cli("db", "status", "--format", "json").out)}
        assert {agent_id: agent["answers"] for agent_id, agent in told.items()} == {
            "gone": False,
            "moved" * 20: False,
            "probe": True,
        }
        assert told["probe"]["invocations"] == {"total": 2, "completed": 1, "failed": 1, "running": 0}
        assert told["gone"]["invocations"]["total"] == 0
        lines = cli("db", "status").out.decode().splitlines()
        assert max(map(len, lines)) <= 80
        assert lines[0].split()[:3] == ["AGENT", "ADDRESS", "ANSWERS"]
        # However long the ids beside it are, an address is of use as a whole alone.
        assert [line.split()[1] for line in lines[1:]].count(f"127.0.0.1:{port}") == 2
        (line,) = cli("db", "status", "--agent-id", "probe").out.decode().splitlines()[1:]
        assert line.split()[2:6] == ["yes", "2", "1", "0"]
    unknown = cli("db", "status", "--agent-id", "unknown")
    assert (unknown.code, unknown.error) == (1, "❌ No agent unknown has been served on this machine.")


def test_a_server_that_is_stopped_has_written_everything(cli: Cli) -> None:
    with cli.serving(AGENTS / "probe") as server:
        cli("run", "--id", "probe", "--local", "--tag", "chatty")
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0
    (told,) = json.loads(cli("db", "invocations", "--format", "json").out)
    assert (told["state"], told["transport"]) == ("COMPLETED", "grpc")
    assert [line["text"] for line in json.loads(cli("db", "logs", "--format", "json").out)] == [
        "printed by the entrypoint"
    ]


@pytest.mark.parametrize(
    ("options", "given", "came"),
    [
        ((), {"args": [], "kwargs": {"name": "x" * 300}}, f"Hello, {'x' * 300}!"),
        (("--max-recorded-bytes", "256"), {"args": [], "kwargs": {"name": f"{'x' * 128}... (300 characters)"}}, None),
        (("--no-payloads",), None, None),
    ],
    ids=["all", "cut", "nothing"],
)
def test_a_server_keeps_as_much_of_payloads_as_it_is_told_to(
    cli: Cli, options: tuple[str, ...], given: object, came: str | None
) -> None:
    with cli.serving(AGENTS / "probe", *options):
        cli("run", "--id", "probe", "--local", "--tag", "greet", f"--name={'x' * 300}")
        (invocation,) = json.loads(cli("db", "invocations", "--format", "json").out)
        told = json.loads(cli("db", "invocation", invocation["invocation_id"], "--format", "json").out)
    assert (told["state"], told["input"]) == ("COMPLETED", given)
    if "--max-recorded-bytes" in options:
        assert told["output"] == {"excerpt": f"Hello, {'x' * 249}", "size": 308}
    else:
        assert told["output"] == came


def test_what_runs_when_its_server_is_killed_is_lost(cli: Cli, tmp_path: Path) -> None:
    def states() -> list[str]:
        return [told["state"] for told in json.loads(cli("db", "invocations", "--format", "json").out)]

    with (
        cli.serving(AGENTS / "probe") as server,
        cli.started("run", "--id", "probe", "--local", "--tag", "wait", f"--folder={tmp_path}"),
    ):
        eventually(lambda: (tmp_path / "started").exists())
        assert states() == ["RUNNING"]
        server.process.kill()
        server.wait()
        assert states() == ["LOST"]
