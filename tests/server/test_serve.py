from __future__ import annotations

import asyncio
import logging
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from runagent_grpc.addresses import PortInUseError
from runagent_grpc.auth.api_keys import ApiKeys
from runagent_grpc.client import AsyncRunAgentClient
from runagent_grpc.local.registration import Registration
from runagent_grpc.local.registry import Registry
from runagent_grpc.local.registry_file import registry_path
from runagent_grpc.rpc.server import channel_options
from runagent_grpc.server.config import ServerConfig, UnsafeSettingsError
from runagent_grpc.server.server import Server
from runagent_grpc.settings import DEFAULT_GRPC_PORT, GrpcSettings, ListenSettings, ShutdownSettings
from runagent_grpc.testing import serving
from runagent_grpc.worker import Agent
from tests.configs import any_ports
from tests.waiting import on_a_loop, soon

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is tested is that it is refused


def agent_of(auth_type: str = "none", **entrypoints: Any) -> Agent:
    return Agent.from_functions(entrypoints or {"one": lambda value=1: value}, agent_id="chat", auth_type=auth_type)


@pytest.mark.parametrize(
    ("auth_type", "settings", "words"),
    [
        ("none", {}, None),
        ("none", {"host": "localhost"}, None),
        ("none", {"host": "127.0.0.2"}, None),
        ("none", {"host": "::1"}, None),
        ("none", {"host": EVERYWHERE}, EVERYWHERE),
        ("none", {"host": "::"}, "::"),
        ("none", {"host": "192.168.1.2"}, "192.168.1.2"),
        ("none", {"host": "my-machine"}, "my-machine"),
        ("none", {"host": ""}, "--insecure"),
        ("none", {"host": EVERYWHERE, "insecure": True}, None),
        ("none", {"host": EVERYWHERE, "keys": ["a-long-enough-key"]}, None),
        ("api_key", {}, "auth_settings"),
        ("api_key", {"insecure": True}, "auth_settings"),
        ("api_key", {"host": EVERYWHERE, "insecure": True}, "auth_settings"),
        ("api_key", {"keys": ["a-long-enough-key"]}, None),
    ],
    # Without the address of an object, which is another one in each process that collects.
    ids=lambda value: re.sub(r"<.*>", "...", str(value)),
)
def test_an_agent_is_open_to_strangers_only_where_that_is_meant(
    auth_type: str, settings: dict[str, Any], words: str | None
) -> None:
    agent, keys = agent_of(auth_type), settings.pop("keys", [])
    config = ServerConfig(listen=ListenSettings(**settings))
    if words is None:
        config.check(agent.manifest, asks_for_key=bool(keys))
        return
    with pytest.raises(UnsafeSettingsError) as caught:
        Server(agent, config=config, authenticator=ApiKeys(keys))

    assert words in str(caught.value)
    assert "--api-key-file" in str(caught.value)
    assert "RUNAGENT_API_KEYS" in str(caught.value)


@contextmanager
def taken_port() -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener.getsockname()[1]


async def enter(server: Server) -> None:
    async with server:
        pass


def test_a_port_that_is_asked_for_and_taken_is_said_plainly() -> None:
    with taken_port() as port, pytest.raises(PortInUseError, match=f"Port {port} on 127.0.0.1 is in use"):
        asyncio.run(enter(Server(agent_of(), config=any_ports(grpc_port=port))))


def test_two_servers_do_not_share_a_port() -> None:
    with serving(agent_of()) as server, pytest.raises(PortInUseError):
        asyncio.run(enter(Server(agent_of(), config=any_ports(grpc_port=server.grpc_port))))


def test_a_host_that_is_not_this_machines_is_an_os_error() -> None:
    with pytest.raises(OSError, match="assign requested address"):
        asyncio.run(enter(Server(agent_of(), config=any_ports(host="192.0.2.1", insecure=True))))


@on_a_loop
async def test_a_port_that_was_not_asked_for_gives_way_to_the_next() -> None:
    config = ServerConfig(shutdown=ShutdownSettings(drain_grace=0.0))
    async with Server(agent_of(), config=config) as first, Server(agent_of(), config=config) as second:
        assert first.grpc_port is not None
        assert second.grpc_port is not None
        assert DEFAULT_GRPC_PORT <= first.grpc_port < second.grpc_port
        for server in (first, second):
            async with AsyncRunAgentClient(None, "one", base_url=f"grpc://127.0.0.1:{server.grpc_port}") as client:
                assert await client.run(2) == 2


@on_a_loop
async def test_a_server_listens_on_ipv6_too() -> None:
    async with Server(agent_of(), config=any_ports(host="::1")) as server:
        assert server.host == "::1"
        async with AsyncRunAgentClient(None, "one", host="::1", port=server.grpc_port) as client:
            assert await client.run(2) == 2


@on_a_loop
async def test_a_server_on_every_address_is_found_on_loopback() -> None:
    registry = Registry()
    async with Server(agent_of(), config=any_ports(host=EVERYWHERE, insecure=True), registry=registry) as server:
        assert server.host == "127.0.0.1"
        async with AsyncRunAgentClient("chat", "one") as client:
            assert await client.run(2) == 2


@on_a_loop
async def test_a_server_is_in_the_address_book_while_it_serves() -> None:
    registry = Registry()
    agent = Agent.from_functions(
        {"one": lambda: 1}, agent_id="chat", agent_name="Chat", version="1.2", framework="langgraph"
    )
    async with Server(agent, config=any_ports(), registry=registry) as server:
        row = registry.find("chat")
        assert row is not None
        assert (row.host, row.port, row.status) == ("127.0.0.1", server.http_port, "deployed")
        assert (row.agent_name, row.version, row.framework) == ("Chat", "1.2", "langgraph")
    row = registry.find("chat")
    assert row is not None
    assert row.status == "stopped"


@on_a_loop
async def test_a_server_without_an_address_book_leaves_none_behind() -> None:
    await enter(Server(agent_of(), config=any_ports()))
    assert not registry_path().exists()


@on_a_loop
async def test_a_server_that_was_replaced_leaves_the_other_ones_address_alone() -> None:
    registry = Registry()
    async with Server(agent_of(), config=any_ports(), registry=registry):
        newer = Server(agent_of(), config=any_ports(), registry=registry)
        await newer.__aenter__()
    row = registry.find("chat")
    assert row is not None
    assert (row.port, row.status) == (newer.http_port, "deployed")
    await newer.__aexit__(None, None, None)


def test_an_address_book_that_cannot_be_written_keeps_nobody_from_serving(caplog: pytest.LogCaptureFixture) -> None:
    registry_path().parent.mkdir(parents=True)
    registry_path().write_text("This is no database.")

    async def serve() -> Any:
        async with (
            Server(agent_of(), config=any_ports(), registry=Registry()) as server,
            AsyncRunAgentClient(None, "one", base_url=f"grpc://127.0.0.1:{server.grpc_port}") as client,
        ):
            return await client.run(2)

    assert asyncio.run(serve()) == 2
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert all("registry" in warning for warning in warnings)


@on_a_loop
async def test_a_server_that_ends_is_out_of_the_address_book_before_its_last_call_is_done() -> None:
    let_go = threading.Event()
    registry = Registry()
    server = Server(agent_of(wait=lambda: let_go.wait(10)), config=any_ports(drain_grace=10), registry=registry)

    def is_stopped() -> bool:
        row = registry.find("chat")
        return row is not None and row.status == "stopped"

    await server.__aenter__()
    async with AsyncRunAgentClient(None, "wait", base_url=f"grpc://127.0.0.1:{server.grpc_port}") as client:
        running = asyncio.ensure_future(client.run())
        await soon(lambda: server.engine.active == 1)
        ending = asyncio.ensure_future(server.__aexit__(None, None, None))
        await soon(is_stopped)
        assert not running.done()
        let_go.set()
        assert await running is True
        await ending


def test_grpcs_own_words_for_the_limits_are_set_on_purpose() -> None:
    options = dict(channel_options(GrpcSettings()))
    assert options["grpc.so_reuseport"] == 0
    assert options["grpc.max_receive_message_length"] == options["grpc.max_send_message_length"] == 32 * 1024 * 1024
    assert options["grpc.server.max_pending_requests"] >= 2000
    assert options["grpc.keepalive_time_ms"] > 0


@on_a_loop
async def test_a_server_that_cannot_take_one_port_leaves_none_open() -> None:
    with taken_port() as taken:
        server = Server(agent_of(), config=any_ports(port=taken))
        with pytest.raises(PortInUseError):
            await enter(server)
    assert not is_answered(server.ports["grpc"])


@on_a_loop
async def test_a_server_that_cannot_be_registered_for_a_fault_of_ours_leaves_no_port_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: Registration) -> None:
        raise LookupError("A fault.")

    monkeypatch.setattr(Registration, "write_lease", fail)
    server = Server(agent_of(), config=any_ports(), registry=Registry())
    with pytest.raises(LookupError, match="A fault"):
        await enter(server)
    assert server.ports.keys() == {"grpc", "http"}
    assert not any(map(is_answered, server.ports.values()))


def is_answered(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
