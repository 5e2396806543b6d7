"""A server's entry, beside other servers of the same agent, and what killed servers leave."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from runagent_grpc.errors import InternalError
from runagent_grpc.local.registration import Registration
from runagent_grpc.local.registry import RegisteredAgent, Registry
from tests.local.leased import a_lease, answering_as, free_port


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "cache" / "runagent_local.db")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class Served:
    """A server that answers by its instance id, and is registered, until it stops or is killed."""

    def __init__(self, registry: Registry, name: str, *, agent_id: str = "chat", path: str = "/srv/chat") -> None:
        self._running = ExitStack()
        self.port = self._running.enter_context(answering_as(name))
        agent = RegisteredAgent(agent_id=agent_id, agent_path=path, host="127.0.0.1", port=self.port, agent_name="Chat")
        self._entry = Registration(registry, agent, instance_id=name, http_port=self.port, grpc_port=None)
        self._entry.write_lease()
        self._entry.write_row()
        self._entry.clean()

    def stop(self) -> None:
        self._entry.remove_lease()
        self._entry.leave_row()
        self._running.close()

    def kill(self) -> None:
        self._running.close()


def row_of(registry: Registry, agent_id: str = "chat") -> tuple[int, str] | None:
    row = registry.written(agent_id)
    return None if row is None else (row.port, row.status)


def found(registry: Registry, agent_id: str = "chat") -> tuple[int, str] | None:
    row = registry.find(agent_id)
    return None if row is None else (row.port, row.status)


def test_a_server_is_listed_until_it_stops(registry: Registry) -> None:
    server, other = Served(registry, "one"), Served(registry, "two", agent_id="other")

    assert [lease.port for lease in registry.living("chat")] == [server.port]
    assert len(registry.living()) == 2
    server.stop()
    assert [lease.instance_id for lease in registry.living()] == ["two"]
    other.stop()
    assert list(registry.leases.path.iterdir()) == []


def test_two_servers_of_one_agent_do_not_hide_each_other(registry: Registry) -> None:
    first, second = Served(registry, "one"), Served(registry, "two", path="/srv/copy")
    # The first keeps the row, for published clients; ours take the newest.
    assert row_of(registry) == (first.port, "deployed")
    assert found(registry) == (second.port, "deployed")

    second.stop()
    assert row_of(registry) == found(registry) == (first.port, "deployed")

    second = Served(registry, "three", path="/srv/copy")
    first.stop()
    row = registry.written("chat")
    assert row is not None
    assert (row.port, row.agent_path, row.agent_name, row.status) == (second.port, "/srv/copy", "Chat", "deployed")

    second.stop()
    assert row_of(registry) == found(registry) == (second.port, "stopped")


def test_a_killed_servers_row_says_that_it_is_gone_and_is_taken_over(registry: Registry) -> None:
    killed = Served(registry, "killed")
    killed.kill()
    assert found(registry) == (killed.port, "gone")
    assert [agent.status for agent in registry.agents()] == ["gone"]
    assert registry.living() == []

    next_one = Served(registry, "next")
    assert row_of(registry) == found(registry) == (next_one.port, "deployed")
    assert [lease.instance_id for lease in registry.leases.read().leases] == ["next"]
    next_one.stop()
    assert found(registry) == (next_one.port, "stopped")


def test_a_server_of_another_agent_removes_what_a_killed_one_left(registry: Registry) -> None:
    killed = Served(registry, "killed")
    killed.kill()
    other = Served(registry, "other", agent_id="other")

    assert [lease.instance_id for lease in registry.leases.read().leases] == ["other"]
    assert row_of(registry) == (killed.port, "stopped")
    other.stop()


def test_a_server_on_the_port_of_a_killed_one_of_its_agent_keeps_its_row(registry: Registry) -> None:
    killed = Served(registry, "killed")
    killed.kill()
    with answering_as("next", port=killed.port):
        agent = RegisteredAgent(agent_id="chat", agent_path="", host="127.0.0.1", port=killed.port)
        entry = Registration(registry, agent, instance_id="next", http_port=killed.port, grpc_port=None)
        entry.write_lease()
        entry.write_row()
        entry.clean()
        assert row_of(registry) == (killed.port, "deployed")
        assert [lease.instance_id for lease in registry.leases.read().leases] == ["next"]


def test_cleaning_leaves_servers_that_live_or_may_live_elsewhere(registry: Registry, stack: ExitStack) -> None:
    folder, here = registry.leases, socket.gethostname()
    folder.write(a_lease("lives", hostname=here, http_port=stack.enter_context(answering_as("lives"))))
    folder.write(a_lease("elsewhere", hostname=f"not-{here}", http_port=free_port()))
    silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    folder.write(a_lease("silent", pid=1, hostname=here, http_port=silent.getsockname()[1]))
    folder.write(a_lease("dead", hostname=here, http_port=free_port()))

    server = Served(registry, "new", agent_id="other")
    names = {lease.instance_id for lease in folder.read().leases}
    assert names == {"lives", "elsewhere", "silent", "new"}
    server.stop()


def test_a_copy_is_found_where_the_server_with_the_row_was_killed(registry: Registry) -> None:
    copy = Served(registry, "copy")
    # The killed one has the row, as if it had been there first.
    registry.register(RegisteredAgent(agent_id="chat", agent_path="", host="127.0.0.1", port=1))

    assert found(registry) == (copy.port, "deployed")
    copy.stop()


def test_a_row_that_no_server_of_ours_wrote_is_believed(registry: Registry) -> None:
    registry.register(RegisteredAgent(agent_id="chat", agent_path="", host="127.0.0.1", port=1))

    assert found(registry) == (1, "deployed")


def test_a_server_whose_row_could_not_be_written_is_found_by_its_lease(registry: Registry, stack: ExitStack) -> None:
    port = stack.enter_context(answering_as("one"))
    registry.leases.write(a_lease(http_port=port))

    assert found(registry) == (port, "deployed")
    assert [(agent.agent_id, agent.port) for agent in registry.agents()] == [("chat", port)]


def test_a_folder_that_cannot_be_written_to_is_an_error(registry: Registry) -> None:
    registry.path.parent.mkdir()
    registry.leases.path.write_text("in the way")

    with pytest.raises(InternalError, match="RUNAGENT_CACHE_DIR") as caught:
        Served(registry, "one")
    assert caught.value.suggestion is not None
