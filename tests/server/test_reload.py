"""An agent whose files change while it is served."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc
from runagent_grpc.core.call import Call
from runagent_grpc.server import reload
from runagent_grpc.server.reload import Reloader, ReloadListener
from runagent_grpc.server.server import Server
from runagent_grpc.worker import Agent, load_agent
from tests.configs import any_ports
from tests.waiting import on_a_loop, soon

CODE = """
import asyncio
import os

VERSION = 1
let_go = asyncio.Event()

def version():
    return str(VERSION)

async def hold():
    await let_go.wait()
    from .helper import NAME
    return f"{VERSION} {NAME}"

def environment():
    return os.environ.get("OUR_TEST_RELOAD", "")
"""
TAGS = ("version", "hold", "environment")
CONFIG = {
    "agent_id": "edited",
    "agent_name": "Edited",
    "framework": "custom",
    "agent_architecture": {"entrypoints": [{"file": "main.py", "module": tag, "tag": tag} for tag in TAGS]},
}


def write(path: Path, text: str) -> None:
    """Writes a file as editors do: beside its place, and then there all at once."""
    beside = path.with_name(path.name + "~")
    beside.write_text(text)
    beside.replace(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "agent"
    folder.mkdir()
    write(folder / "main.py", CODE)
    write(folder / "helper.py", "NAME = 'first'\n")
    write(folder / "runagent.config.json", json.dumps(CONFIG))
    return folder


class Edited:
    """An agent that is served, and watched."""

    def __init__(self, server: Server, loaded: Agent, folder: Path) -> None:
        self.server = server
        self.loaded = loaded
        """The newest that was served."""
        self.engine = server.engine
        self.folder = folder
        self.reloaded: list[tuple[str, ...]] = []
        self.refused: list[str] = []

    def take(self, loaded: Agent, names: tuple[str, ...]) -> None:
        self.loaded = loaded
        self.reloaded.append(names)

    def told(self) -> int:
        return len(self.reloaded) + len(self.refused)

    async def edit(self, name: str, text: str) -> None:
        """Writes a file, and waits until something has come of it."""
        told = self.told()
        write(self.folder / name, text)
        await soon(lambda: self.told() > told)

    async def edit_code(self, old: str, new: str) -> None:
        code = (self.folder / "main.py").read_text()
        assert old in code
        await self.edit("main.py", code.replace(old, new))

    async def call(self, tag: str) -> str:
        with await self.engine.start(Call(entrypoint_tag=tag), streaming=False) as reader:
            result = await reader.result()
        assert isinstance(result, str)
        return result


@asynccontextmanager
async def edited(folder: Path) -> AsyncIterator[Edited]:
    agent = load_agent(folder)
    server = Server(agent, config=any_ports())
    serving = Edited(server, agent, folder)
    listener = ReloadListener(on_reloaded=serving.take, on_refused=serving.refused.append)
    reloader = Reloader(server, agent, listener)
    try:
        async with server, reloader:
            yield serving
    finally:
        reloader.unload()


@on_a_loop
async def test_what_changes_is_there_for_the_next_call(folder: Path) -> None:
    async with edited(folder) as agent:
        assert await agent.call("version") == "1"
        # Of the same length, and within the second that the first was loaded in.
        for version in range(2, 6):
            await agent.edit_code(f"VERSION = {version - 1}", f"VERSION = {version}")
            assert await agent.call("version") == str(version)
    assert agent.reloaded == [("main.py",)] * 4
    assert agent.refused == []


@on_a_loop
async def test_a_call_that_runs_ends_on_the_code_that_it_began_with(folder: Path) -> None:
    async with edited(folder) as agent:
        old = agent.loaded
        running = asyncio.ensure_future(agent.call("hold"))
        await soon(lambda: agent.engine.active)
        await agent.edit("helper.py", "NAME = 'second'\n")
        await agent.edit_code("VERSION = 1", "VERSION = 2")
        assert await agent.call("version") == "2"
        old.entrypoints["hold"].function.__globals__["let_go"].set()
        # What it imports only now is read only now, unless its agent had imported that before.
        assert await running == "1 second"


@on_a_loop
async def test_what_a_call_imports_while_it_runs_is_what_its_agent_had_imported_before(folder: Path) -> None:
    write(folder / "main.py", CODE + "from . import helper\n")
    async with edited(folder) as agent:
        old = agent.loaded
        running = asyncio.ensure_future(agent.call("hold"))
        await soon(lambda: agent.engine.active)
        await agent.edit("helper.py", "NAME = 'second'\n")
        old.entrypoints["hold"].function.__globals__["let_go"].set()
        assert await running == "1 first"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("main.py", "def version(:\n", "main.py, line 1: SyntaxError"),
        ("main.py", "import no_such_module\n", "No module named 'no_such_module'"),
        ("main.py", "import sys\nsys.exit()\n", "SystemExit"),
        ("runagent.config.json", "{", "runagent.config.json, line 1"),
        (".env", "A=\udcff\n", "not UTF-8"),
    ],
)
@on_a_loop
async def test_an_edit_that_cannot_be_served_changes_nothing_and_is_told_once(
    folder: Path, name: str, text: str, words: str
) -> None:
    good = (folder / name).read_text() if (folder / name).exists() else ""

    async with edited(folder) as agent:
        (folder / "elsewhere").write_bytes(text.encode(errors="surrogateescape"))
        (folder / "elsewhere").replace(folder / name)
        await soon(lambda: agent.refused)
        assert await agent.call("version") == "1"
        await agent.edit(name, good)
        await agent.edit_code("VERSION = 1", "VERSION = 2")
        assert await agent.call("version") == "2"
    (refused,) = agent.refused
    assert words in refused


@pytest.mark.parametrize("name", ["runagent.config.yaml", "runagent.config.yml"])
@on_a_loop
async def test_an_edit_of_a_configuration_in_yaml_is_taken(folder: Path, name: str) -> None:
    (folder / "runagent.config.json").rename(folder / name)
    async with edited(folder) as agent:
        await agent.edit(name, json.dumps(CONFIG | {"description": "What is new."}))
        assert agent.reloaded == [(name,)]
        assert agent.engine.agents.manifest.description == "What is new."


@pytest.mark.parametrize(
    ("change", "name"),
    [({"agent_id": "another"}, "agent_id"), ({"auth_settings": {"type": "api_key"}}, "auth_settings")],
)
@on_a_loop
async def test_what_needs_another_start_is_said_and_changes_nothing(
    folder: Path, change: dict[str, Any], name: str
) -> None:
    async with edited(folder) as agent:
        write(folder / "main.py", CODE.replace("VERSION = 1", "VERSION = 2"))
        await agent.edit("runagent.config.json", json.dumps(CONFIG | change))
        await soon(lambda: agent.refused)
        (refused,) = agent.refused
        assert f"`{name}` changed" in refused
        assert agent.engine.agents.manifest.agent_id == "edited"


@on_a_loop
async def test_the_environment_and_the_entrypoints_change_too(folder: Path) -> None:
    async with edited(folder) as agent:
        assert await agent.call("environment") == ""
        await agent.edit(".env", "OUR_TEST_RELOAD=1\n")
        assert await agent.call("environment") == "1"
        await agent.edit(".env", "")
        assert await agent.call("environment") == ""
        entry = {"file": "new/place.py", "module": "run", "tag": "new"}
        (folder / "new").mkdir()
        write(folder / "new" / "place.py", "def run(): return 'new'\n")
        await agent.edit("runagent.config.json", json.dumps(CONFIG | {"agent_architecture": {"entrypoints": [entry]}}))
        await soon(lambda: list(agent.engine.agents.manifest.entrypoints) == ["new"])
        assert await agent.call("new") == "new"
        await agent.edit("new/place.py", "def run(): return 'newer'\n")
        assert await agent.call("new") == "newer"
    assert "OUR_TEST_RELOAD" not in os.environ
    assert str(folder) not in sys.path


@on_a_loop
async def test_every_face_tells_of_the_new_agent(folder: Path) -> None:
    async with (
        edited(folder) as agent,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{agent.server.http_port}") as http,
    ):
        assert "fresh" not in (await http.get("/openapi.json")).text
        await agent.edit("main.py", CODE.replace("def version(", 'def version(fresh: str = "", '))
        assert "fresh" in (await http.get("/openapi.json")).text
        assert "fresh" in (await http.get("/api/v1/agents/edited/architecture")).text
        await agent.edit("runagent.config.json", json.dumps(CONFIG | {"description": "What is new."}))
        assert (await http.get("/api/v1")).json()["description"] == "What is new."
        async with grpc.aio.insecure_channel(f"127.0.0.1:{agent.server.grpc_port}") as channel:
            stub: Any = agent_service_pb2_grpc.AgentServiceStub(channel)
            (listed,) = (await stub.ListAgents(pb.ListAgentsRequest())).agents
            assert listed.description == "What is new."
            described = (await stub.GetAgent(pb.GetAgentRequest())).agent
            assert "fresh" in described.entrypoints[0].input_schema


@pytest.mark.parametrize(
    "name", ["notes.txt", "data.json", "__pycache__/main.py", ".git/hook.py", "env/lib/module.py", "a/.env"]
)
@on_a_loop
async def test_files_that_are_no_part_of_the_agent_make_no_difference(folder: Path, name: str) -> None:
    (folder / "env").mkdir()
    (folder / "env" / "pyvenv.cfg").touch()

    async with edited(folder) as agent:
        before = agent.engine.agents.manifest
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write(folder / name, "1 / 0\n")
        # Changes come in order: had that one been taken, it would be known by now.
        await agent.edit_code("VERSION = 1", "VERSION = 2")
        assert agent.reloaded == [("main.py",)]
        assert agent.engine.agents.manifest is not before


@on_a_loop
async def test_changes_while_one_is_loaded_are_taken_together(folder: Path, tmp_path: Path) -> None:
    async with edited(folder) as agent:
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        write(folder / "slow.py", f"import pathlib\npathlib.Path({str(gate)!r}).read_text()\n")
        write(folder / "main.py", "from . import slow\n" + CODE)
        # Opening blocks until somebody reads: the load is under way from here on.
        opened = await asyncio.to_thread(gate.open, "w")
        for version in range(2, 6):
            write(folder / "main.py", CODE.replace("VERSION = 1", f"VERSION = {version}"))
        assert await agent.call("version") == "1"
        opened.close()
        await soon(lambda: len(agent.reloaded) == 2)
        assert await agent.call("version") == "5"
    assert agent.refused == []


@on_a_loop
async def test_an_agent_of_no_folder_cannot_be_watched(folder: Path) -> None:
    agent = Agent.from_functions({"one": lambda: 1})
    with pytest.raises(ValueError, match="`load_agent`"):
        Reloader(Server(agent), agent, ReloadListener(on_reloaded=lambda *_: None, on_refused=lambda _: None))


@on_a_loop
async def test_replaced_agents_are_unloaded_when_nothing_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "_KEPT_SECONDS", 0.0)
    async with edited(folder) as agent:
        module = agent.loaded.entrypoints["version"].function.__globals__["__package__"]
        running = asyncio.ensure_future(agent.call("hold"))
        await soon(lambda: agent.engine.active)
        let_go = agent.loaded.entrypoints["hold"].function.__globals__["let_go"]
        await agent.edit_code("VERSION = 1", "VERSION = 2")
        assert module in sys.modules
        let_go.set()
        assert await running == "1 first"
        await soon(lambda: module not in sys.modules)
        assert await agent.call("version") == "2"
