from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runagent_grpc.errors import InternalError
from runagent_grpc.local.presence import Presence, ServerRecord, forget_dead_servers, servers_beside
from runagent_grpc.local.registration import Registration
from runagent_grpc.local.registry import RegisteredAgent, Registry


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "cache" / "runagent_local.db")


def a_record(agent_id: str = "chat", port: int = 8450) -> ServerRecord:
    return ServerRecord(
        agent_id=agent_id, agent_path="/srv/chat", host="127.0.0.1", http_port=port, grpc_port=50051, pid=1
    )


def a_registration(registry: Registry, port: int, agent_path: str = "/srv/chat") -> Registration:
    agent = RegisteredAgent(agent_id="chat", agent_path=agent_path, host="127.0.0.1", port=port, agent_name="Chat")
    return Registration(registry, agent, http_port=port, grpc_port=None)


def a_server_that_was_killed(registry: Registry, port: int) -> None:
    """Registers a server in a process that dies without a word."""
    script = (
        "import os, sys; from pathlib import Path; from tests.local.test_presence import *\n"
        "a_registration(Registry(Path(sys.argv[1])), int(sys.argv[2])).enter(); os._exit(1)\n"
    )
    command = [sys.executable, "-c", script, str(registry.path), str(port)]
    assert subprocess.run(command, cwd=Path(__file__).parents[1], timeout=60).returncode == 1


def address_of(registry: Registry) -> tuple[int, str] | None:
    row = registry.find("chat")
    return None if row is None else (row.port, row.status)


def test_a_server_is_present_until_it_closes(registry: Registry) -> None:
    presence, other = Presence(registry.path, a_record()), Presence(registry.path, a_record("other"))

    assert servers_beside(registry.path, "chat") == ([a_record()], [])
    assert len(registry.living()) == 2
    presence.close()
    assert servers_beside(registry.path) == ([a_record("other")], [])
    other.close()
    assert list((registry.path.parent / "runagent_local.servers").iterdir()) == []


def test_a_killed_server_is_known_as_dead_until_it_is_forgotten(registry: Registry) -> None:
    a_server_that_was_killed(registry, 8450)

    living, dead = servers_beside(registry.path, "chat")
    assert (living, [server.port for server in dead]) == ([], [8450])
    forget_dead_servers(registry.path, "other")
    assert servers_beside(registry.path)[1]
    forget_dead_servers(registry.path, "chat")
    assert servers_beside(registry.path) == ([], [])


def test_what_is_no_servers_file_is_passed_over(registry: Registry) -> None:
    presence = Presence(registry.path, a_record())
    for name, content in {"a.json": "", "b.json": "[]", "c.json": '{"agent_id": 1}', "d.lock": ""}.items():
        (registry.path.parent / "runagent_local.servers" / name).write_text(content)

    assert servers_beside(registry.path) == ([a_record()], [])
    presence.close()


def test_two_servers_of_one_agent_do_not_hide_each_other(registry: Registry) -> None:
    first, second = a_registration(registry, 1), a_registration(registry, 2, "/srv/copy")
    first.enter()
    second.enter()
    assert address_of(registry) == (1, "deployed")

    second.leave()
    assert address_of(registry) == (1, "deployed")

    second = a_registration(registry, 2, "/srv/copy")
    second.enter()
    first.leave()
    written = registry.written("chat")
    assert written is not None
    assert (written.port, written.agent_path, written.agent_name, written.status) == (
        2,
        "/srv/copy",
        "Chat",
        "deployed",
    )

    second.leave()
    assert address_of(registry) == (2, "stopped")


def test_a_killed_servers_row_says_that_it_is_gone_and_is_taken_over(registry: Registry) -> None:
    a_server_that_was_killed(registry, 1)
    assert address_of(registry) == (1, "gone")
    assert [agent.status for agent in registry.agents()] == ["gone"]

    next_one = a_registration(registry, 1)
    next_one.enter()
    assert address_of(registry) == (1, "deployed")
    assert servers_beside(registry.path)[1] == []
    next_one.leave()
    assert address_of(registry) == (1, "stopped")


def test_a_copy_is_found_where_the_server_with_the_row_was_killed(registry: Registry) -> None:
    copy = a_registration(registry, 2)
    copy.enter()
    # The killed one has the row, as if it had been there first.
    registry.register(RegisteredAgent(agent_id="chat", agent_path="", host="127.0.0.1", port=1))

    assert address_of(registry) == (2, "deployed")
    copy.leave()


def test_a_row_that_no_server_of_ours_wrote_is_believed(registry: Registry) -> None:
    registry.register(RegisteredAgent(agent_id="chat", agent_path="", host="127.0.0.1", port=1))

    assert address_of(registry) == (1, "deployed")


def test_a_folder_that_cannot_be_written_to_is_an_error(registry: Registry) -> None:
    registry.path.parent.mkdir()
    (registry.path.parent / "runagent_local.servers").write_text("in the way")

    with pytest.raises(InternalError, match="RUNAGENT_CACHE_DIR") as caught:
        a_registration(registry, 1).enter()
    assert caught.value.suggestion is not None
