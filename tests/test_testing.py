from __future__ import annotations

import asyncio
import json
import sys
import threading
from pathlib import Path

import pytest

from runagent_grpc.client import RunAgentClient, RunAgentError
from runagent_grpc.core.call import Call
from runagent_grpc.core.invocation import InvocationRecord
from runagent_grpc.core.recorder import NullRecorder
from runagent_grpc.engine import EngineSettings
from runagent_grpc.local.registry_file import registry_path
from runagent_grpc.rpc import GrpcSettings
from runagent_grpc.server.config import UnsafeSettingsError
from runagent_grpc.testing import serving
from runagent_grpc.worker import Agent, InvalidAgentError


def greet(name: str) -> str:
    return f"Hello {name}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An agent's folder, with a module that only it has."""
    (tmp_path / "main.py").write_text("import only_mine\n\ndef greet(name):\n    return only_mine.words + name\n")
    (tmp_path / "only_mine.py").write_text("words = 'Hello '\n")
    config = {
        "agent_id": "from-a-folder",
        "agent_name": "From a folder",
        "framework": "custom",
        "agent_architecture": {"entrypoints": [{"file": "main.py", "module": "greet", "tag": "greet"}]},
    }
    (tmp_path / "runagent.config.json").write_text(json.dumps(config))
    return tmp_path


def test_functions_are_served_by_their_tags() -> None:
    with serving({"greet": greet}) as server, server.client("greet") as client:
        assert client.run(name="Ada") == "Hello Ada"
        assert client.run("Ada") == "Hello Ada"


def test_an_agent_is_served_under_its_id() -> None:
    agent = Agent.from_functions({"greet": greet}, agent_id="mine")
    with serving(agent) as server, server.client("greet") as client:
        assert server.agent is agent
        assert client.agent_id == "mine"
        assert client.run("Ada") == "Hello Ada"


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_is_served_and_unloaded_again(folder: Path, kind: type) -> None:
    with serving(kind(folder)) as server, server.client("greet") as client:
        assert client.run("Ada") == "Hello Ada"
    assert "only_mine" not in sys.modules
    assert str(folder) not in sys.path


def test_a_folder_that_cannot_be_served_is_an_error_of_the_block(tmp_path: Path) -> None:
    with pytest.raises(InvalidAgentError), serving(tmp_path):
        pass


def test_settings_that_cannot_be_served_are_an_error_of_the_block() -> None:
    agent = Agent.from_functions({"greet": greet}, auth_type="api_key")
    with pytest.raises(UnsafeSettingsError), serving(agent):
        pass


def test_two_servers_stand_side_by_side() -> None:
    with serving({"greet": greet}) as one, serving({"greet": str.upper}) as other:
        assert one.grpc_port != other.grpc_port
        assert one.client("greet").run("a") == "Hello a"
        assert other.client("greet").run("a") == "A"


def test_an_async_client_speaks_to_it() -> None:
    async def call() -> str:
        async with server.async_client("greet") as client:
            answer: str = await client.run("Ada")
            return answer

    with serving({"greet": greet}) as server:
        assert asyncio.run(call()) == "Hello Ada"


def test_keys_are_asked_for_where_they_are_given() -> None:
    with serving({"greet": greet}, api_keys=("a-long-enough-key",)) as server:
        assert server.client("greet", api_key="a-long-enough-key").run("Ada") == "Hello Ada"
        with pytest.raises(RunAgentError):
            server.client("greet").run("Ada")


def test_the_settings_and_the_recorder_are_those_that_are_given() -> None:
    class Keeping(NullRecorder):
        def __init__(self) -> None:
            self.tags: list[str] = []

        def started(self, record: InvocationRecord, call: Call) -> None:
            self.tags.append(record.entrypoint_tag)

    recorder, settings = Keeping(), EngineSettings(max_invocations=7)
    limits = GrpcSettings(max_message_bytes=1000)
    with serving({"greet": greet}, recorder=recorder, engine=settings, grpc=limits) as server:
        assert server.engine.settings is settings
        client = server.client("greet")
        client.run("Ada")
        with pytest.raises(RunAgentError):
            client.run("x" * 2000)
    assert recorder.tags == ["greet"]


def test_the_server_is_gone_when_the_block_ends_and_leaves_nothing_behind() -> None:
    before = {thread.name for thread in threading.enumerate()}
    with serving({"greet": greet}) as server:
        target = server.target
    with pytest.raises(RunAgentError, match="No server answers"):
        RunAgentClient(None, "greet", base_url=f"grpc://{target}").run("Ada")
    assert not {thread.name for thread in threading.enumerate()} - before & {"runagent-serving"}
    assert not registry_path().exists()


def test_an_error_in_the_block_ends_the_server_and_comes_through() -> None:
    def fail() -> None:
        with serving({"greet": greet}):
            raise LookupError("The test's own.")

    with pytest.raises(LookupError, match="The test's own"):
        fail()
