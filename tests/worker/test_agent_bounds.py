"""What a configuration says about how much of an entrypoint there may be holds for calls that come over a wire."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from runagent_grpc.contract.messages import duration_to
from runagent_grpc.engine import EngineSettings
from runagent_grpc.testing import serving
from tests.rpc.calls import connected, failing, run_request, value_of
from tests.waiting import eventually

MakeFolder = Callable[..., Path]

CODE = """
import asyncio

let_go = asyncio.Event()

async def sleep():
    await asyncio.sleep(60)

async def hold():
    await let_go.wait()
    return "held"

async def end():
    let_go.set()
"""


def folder_of(make_folder: MakeFolder, tag: str, **bounds: Any) -> Path:
    entry = {"file": "main.py", "module": tag, "tag": tag}
    return make_folder({"main.py": CODE}, [entry | bounds, {**entry, "module": "end", "tag": "end"}])


def test_a_call_that_sets_no_bound_runs_as_long_as_the_configuration_lets_it(make_folder: MakeFolder) -> None:
    with serving(folder_of(make_folder, "sleep", timeout_seconds=0.1)) as server, connected(server) as stub:
        assert failing(stub.Run, run_request("sleep")).reason == "TIMEOUT"


def test_a_call_that_asks_for_more_time_than_any_may_have_gets_no_more(make_folder: MakeFolder) -> None:
    with serving(folder_of(make_folder, "sleep", max_timeout_seconds=0.1)) as server, connected(server) as stub:
        asking = run_request("sleep", fields={"run_timeout": duration_to(60)})
        assert failing(stub.Run, asking).reason == "TIMEOUT"
        assert failing(stub.Run, run_request("sleep")).reason == "TIMEOUT"


def test_a_call_that_asks_for_less_time_than_the_default_gets_less(make_folder: MakeFolder) -> None:
    with serving(folder_of(make_folder, "sleep", timeout_seconds=60)) as server, connected(server) as stub:
        asking = run_request("sleep", fields={"run_timeout": duration_to(0.1)})
        assert failing(stub.Run, asking).reason == "TIMEOUT"


def test_one_entrypoint_that_is_full_keeps_no_other_from_running(make_folder: MakeFolder) -> None:
    folder = folder_of(make_folder, "hold", max_concurrent=1)
    with serving(folder, engine=EngineSettings(max_queued=0)) as server, connected(server) as stub:
        held = stub.Run.future(run_request("hold"))
        eventually(lambda: server.engine.active)
        refused = failing(stub.Run, run_request("hold"))
        assert refused.reason == "OVERLOADED"
        stub.Run(run_request("end"))
        assert value_of(held.result().result) == "held"
        assert value_of(stub.Run(run_request("hold")).result) == "held"


def test_calls_of_a_full_entrypoint_wait_for_their_turn(make_folder: MakeFolder) -> None:
    with serving(folder_of(make_folder, "hold", max_concurrent=1)) as server, connected(server) as stub:
        held = [stub.Run.future(run_request("hold")) for _ in range(5)]
        eventually(lambda: server.engine.running == 5)
        assert server.engine.active == 1
        stub.Run(run_request("end"))
        assert [value_of(call.result().result) for call in held] == ["held"] * 5
