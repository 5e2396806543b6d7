"""A client finds the servers of this machine by their leases."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.client import AsyncRunAgentClient, RunAgentClient
from runagent_grpc.errors import InvalidRequestError, NotFoundError, UnavailableError
from runagent_grpc.local import LeaseFolder
from runagent_grpc.local.registry import RegisteredAgent, Registry
from runagent_grpc.testing import RunningServer, serving
from runagent_grpc.worker import Agent
from tests.local.leased import a_lease, free_port

FORMS = ["sync", "async"]


@pytest.fixture
def folder() -> LeaseFolder:
    return Registry().leases


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def write_lease_of(server: RunningServer, **changes: Any) -> None:
    where: dict[str, Any] = {"host": server.host, "http_port": server.http_port, "grpc_port": server.grpc_port}
    Registry().leases.write(a_lease(server.instance_id, **where | changes))


def call(form: str, **options: Any) -> Any:
    if form == "sync":
        with RunAgentClient("chat", "name", **options) as client:
            return client.run()

    async def run() -> Any:
        async with AsyncRunAgentClient("chat", "name", **options) as client:
            return await client.run()

    return asyncio.run(run())


def named(stack: ExitStack, name: str, **options: Any) -> RunningServer:
    return stack.enter_context(serving(Agent.from_functions({"name": lambda: name}, agent_id="chat"), **options))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("transport", ["auto", "grpc", "http"])
def test_a_server_is_found_by_its_lease_alone(form: str, transport: str, stack: ExitStack) -> None:
    write_lease_of(named(stack, "one"))
    assert call(form, transport=transport) == "one"


@pytest.mark.parametrize("ports", [{"http_port": None}, {"grpc_port": None}])
def test_a_lease_of_one_wire_leads_to_that(ports: dict[str, None], stack: ExitStack) -> None:
    write_lease_of(named(stack, "one"), **ports)
    assert call("sync") == "one"

    other = "http" if "http_port" in ports else "grpc"
    with pytest.raises(InvalidRequestError, match=f"does not speak '{other}'") as caught:
        call("sync", transport=other)
    assert caught.value.field == "transport"


def test_the_newest_server_that_lives_is_called(stack: ExitStack, folder: LeaseFolder) -> None:
    for minute, name in enumerate(("old", "new")):
        write_lease_of(named(stack, name), started_at=f"2026-03-01T12:0{minute}:00.000000Z")
    assert call("sync") == "new"

    folder.write(a_lease("killed", started_at="2026-03-01T13:00:00.000000Z", http_port=free_port()))
    assert call("sync") == "new"


@pytest.mark.parametrize("form", FORMS)
def test_a_killed_server_is_an_error_that_says_how_to_start_it(form: str, folder: LeaseFolder) -> None:
    folder.write(a_lease(http_port=free_port()))

    with pytest.raises(UnavailableError) as caught:
        call(form)
    assert caught.value.message == "The server of agent `chat` (process 4242) has ended without an orderly stop."
    assert caught.value.suggestion == "Start it again with `runagent serve /srv/chat`."
    assert caught.value.reason == "CONNECTION_ERROR"


@pytest.mark.parametrize("form", FORMS)
def test_a_stranger_on_the_port_is_sent_no_key(form: str, folder: LeaseFolder, stack: ExitStack) -> None:
    heard: list[bytes] = []
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

    def listen() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                heard.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    threading.Thread(target=listen, daemon=True).start()
    port = listener.getsockname()[1]
    folder.write(a_lease(http_port=port, grpc_port=port))

    with pytest.raises(UnavailableError, match="has ended"):
        call(form, api_key="secret-key")
    assert heard
    assert b"secret-key" not in b"".join(heard)


def test_a_server_that_asks_for_a_key_is_found_without_and_called_with_it(stack: ExitStack) -> None:
    write_lease_of(named(stack, "one", api_keys=("a-secret-key-1",)))
    assert call("sync", api_key="a-secret-key-1") == "one"


def test_a_server_that_does_not_answer_is_told_from_one_that_ended(folder: LeaseFolder, stack: ExitStack) -> None:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    folder.write(a_lease(http_port=listener.getsockname()[1]))

    with pytest.raises(UnavailableError, match=r"\(process 4242\) does not answer"):
        call("sync", timeout=0.1)


def test_a_published_server_is_called_where_ours_was_killed(folder: LeaseFolder, stack: ExitStack) -> None:
    server = named(stack, "published")
    folder.write(a_lease(http_port=free_port()))
    Registry().register(RegisteredAgent(agent_id="chat", agent_path="", host=server.host, port=server.http_port or 0))
    assert call("sync") == "published"


def test_the_row_of_a_killed_server_is_not_taken_for_a_published_one(folder: LeaseFolder) -> None:
    port = free_port()
    folder.write(a_lease(http_port=port))
    Registry().register(RegisteredAgent(agent_id="chat", agent_path="", host="127.0.0.1", port=port))
    with pytest.raises(UnavailableError, match="has ended"):
        call("sync")


def test_leases_are_read_again_by_the_first_call(folder: LeaseFolder, stack: ExitStack) -> None:
    folder.write(a_lease("killed", http_port=free_port()))
    client = stack.enter_context(RunAgentClient("chat", "name"))
    write_lease_of(named(stack, "one"), started_at="2026-03-01T13:00:00.000000Z")
    assert client.run() == "one"


def test_an_unknown_agent_is_told_with_the_leases_that_were_ignored(folder: LeaseFolder) -> None:
    folder.write(a_lease())
    (folder.path / "one.json").chmod(0o666)

    with pytest.raises(NotFoundError) as caught:
        RunAgentClient("chat", "name")
    assert caught.value.message == (
        "Agent `chat` is not served on this machine. These leases were ignored: "
        f"{folder.path / 'one.json'} is writable by other users."
    )


def test_leases_are_enough_where_the_registry_cannot_be_read(stack: ExitStack) -> None:
    write_lease_of(named(stack, "one"))
    Path(Registry().path).write_text("This is no database.")
    assert call("sync") == "one"


def test_a_server_that_moved_is_found_by_its_new_lease(folder: LeaseFolder, stack: ExitStack) -> None:
    with ExitStack() as first:
        server = named(first, "first")
        write_lease_of(server)
        client = stack.enter_context(RunAgentClient("chat", "name"))
        assert client.run() == "first"
    folder.remove(server.instance_id)
    write_lease_of(named(stack, "second"))
    assert client.run() == "second"
