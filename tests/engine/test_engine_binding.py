"""Calls whose arguments take their time to be bound, as validators of the author's make them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import BeforeValidator

from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    InvocationCancelledError,
    NotFoundError,
    RunAgentError,
    UnavailableError,
)
from tests.engine.gates import Gate, Notes
from tests.engine.running import Recording, begin, engine_of, read_all, result_of
from tests.waiting import on_a_loop, soon


def fine() -> str:
    return "fine"


def validated_by(validator: Callable[[Any], Any], ran: Notes) -> Callable[..., str]:
    """An entrypoint whose argument a function validates."""

    def run(value: str) -> str:
        ran.append(value)
        return value

    run.__annotations__["value"] = Annotated[str, BeforeValidator(validator)]
    return run


class Slow:
    """An entrypoint whose argument is looked at for as long as a test likes."""

    def __init__(self, *, fits: bool) -> None:
        self.began = Gate()
        self.release = Gate()
        self.ran = Notes()
        self._fits = fits

    def functions(self) -> dict[str, Callable[..., Any]]:
        began, release, ran, fits = self.began, self.release, self.ran, self._fits

        def look_at(value: Any) -> Any:
            began.set()
            release.wait()
            if not fits:
                raise ValueError("It does not fit.")
            return value

        return {tag: validated_by(look_at, ran) for tag in ("run", "run_stream")} | {"fine": fine}


ENDS: dict[str, type[RunAgentError]] = {
    "deadline": DeadlineExceededError,
    "cancel": InvocationCancelledError,
    "drain": UnavailableError,
}
EACH = pytest.mark.parametrize("fits", [True, False], ids=["fits", "does not fit"])


@EACH
@pytest.mark.parametrize("tag", ["run", "run_stream"])
@pytest.mark.parametrize("how", ["deadline", "cancel", "drain"])
@on_a_loop
async def test_a_call_that_ends_while_it_is_bound_has_that_end_whatever_becomes_of_its_arguments(
    how: str, tag: str, fits: bool
) -> None:
    slow, recording = Slow(fits=fits), Recording()
    ids: list[str] = []

    def new_id() -> str:
        ids.append(f"id-{len(ids)}")
        return ids[-1]

    async with engine_of(slow.functions(), recorder=recording, options={"new_id": new_id}) as engine:
        fields = {"run_timeout": 0.05 if how == "deadline" else None}
        beginning = asyncio.create_task(begin(engine, tag, "a", fields=fields))
        await soon(slow.began.is_set)
        assert not beginning.done()
        draining = None
        if how == "cancel":
            assert engine.cancel(ids[0]).state is InvocationState.CANCELLED
        elif how == "drain":
            draining = asyncio.create_task(engine.drain(0))
        await soon(lambda: engine.running == 0)
        assert engine.active == 1
        slow.release.set()
        with await beginning as reader, pytest.raises(ENDS[how]):
            await (read_all(reader, []) if tag == "run_stream" else reader.result())
        assert beginning.cancelling() == 0
        await soon(lambda: engine.active == 0)
        if draining is not None:
            await draining
        else:
            assert await result_of(engine, "fine") == "fine"
    assert slow.ran.values == []
    ended = {"deadline": "TIMED_OUT", "cancel": "CANCELLED"}
    assert recording.events[:2] == ([] if how == "drain" else [("started", ended[how]), ("ended", ended[how])])


@EACH
@on_a_loop
async def test_a_caller_that_goes_while_its_call_is_bound_leaves_nothing(fits: bool) -> None:
    slow, recording = Slow(fits=fits), Recording()
    async with engine_of(slow.functions(), recorder=recording, max_invocations=1, max_queued=0) as engine:
        beginning = asyncio.create_task(begin(engine, "run", "a", fields={"request_id": "r"}))
        await soon(slow.began.is_set)
        beginning.cancel()
        slow.release.set()
        await asyncio.wait([beginning])
        assert beginning.cancelled()
        assert (engine.running, engine.active) == (0, 0)
        assert await result_of(engine, "fine") == "fine"
        with pytest.raises(NotFoundError):
            engine.cancel_request("r")
    assert slow.ran.values == []
    assert recording.events == [("started", "RUNNING"), ("ended", "COMPLETED")]


@pytest.mark.parametrize("raised", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, ValueError])
@on_a_loop
async def test_whatever_a_validator_raises_refuses_its_own_call_alone(raised: type[BaseException]) -> None:
    ran = Notes()

    def refuse(value: Any) -> None:
        raise raised("no good")

    async with engine_of({"run": validated_by(refuse, ran), "fine": fine}) as engine:
        with pytest.raises(InvalidRequestError):
            await begin(engine, "run", "a")
        assert await result_of(engine, "fine") == "fine"
        await soon(lambda: engine.active == 0)
    assert ran.values == []
