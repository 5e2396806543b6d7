"""Calls that end before their run begins: the worker hears that nothing of them will run."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from runagent_grpc.agents import AgentCatalogue, ServedAgent
from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.core.manifest import AgentManifest, EntrypointManifest
from runagent_grpc.core.runner import ChunkSink, Work
from runagent_grpc.engine import Engine
from runagent_grpc.errors import DeadlineExceededError
from runagent_grpc.values.payload import Payload
from tests.engine.running import begin
from tests.waiting import on_a_loop


@dataclass(slots=True)
class Bound:
    """A bound call that takes note of what becomes of it, and a runner that gives out nothing else."""

    happened: list[str] = field(default_factory=list)
    binding: asyncio.Event | None = None
    """What the binding waits for."""

    async def start(self, work: Work) -> Bound:
        if self.binding is not None:
            await self.binding.wait()
        return self

    async def result(self) -> Payload:
        self.happened.append("result")
        return "a result"

    async def stream(self, sink: ChunkSink) -> None:
        self.happened.append("stream")

    def discard(self) -> None:
        self.happened.append("discard")


def engine_with(bound: Bound) -> Engine:
    manifest = AgentManifest(
        agent_id="a",
        agent_name="a",
        entrypoints={tag: EntrypointManifest(tag=tag) for tag in ("fine", "fine_stream")},
    )
    return Engine(AgentCatalogue(ServedAgent(manifest=manifest, runner=bound)))


@pytest.mark.parametrize("tag", ["fine", "fine_stream"])
@on_a_loop
async def test_a_call_that_is_left_before_its_first_step_is_discarded(tag: str) -> None:
    bound = Bound()
    engine = engine_with(bound)
    with await begin(engine, tag) as reader:
        pass
    assert reader.invocation.state is InvocationState.CANCELLED
    await engine.drain(0)
    assert bound.happened == ["discard"]
    assert engine.active == 0


@on_a_loop
async def test_a_call_that_runs_is_not_discarded() -> None:
    bound = Bound()
    engine = engine_with(bound)
    with await begin(engine, "fine") as reader:
        assert await reader.result() == "a result"
    await engine.drain(0)
    assert bound.happened == ["result"]


@on_a_loop
async def test_a_call_whose_time_is_up_while_it_is_bound_stops_its_binding() -> None:
    bound = Bound(binding=asyncio.Event())
    engine = engine_with(bound)
    with await begin(engine, "fine", fields={"run_timeout": 0.001}) as reader, pytest.raises(DeadlineExceededError):
        await reader.result()
    await engine.drain(0)
    assert bound.happened == []
    assert engine.active == 0
