"""The loop of a serving process: what asks for an exit is reported, and what is run comes to its end."""

from __future__ import annotations

import asyncio
import functools
import sys
from typing import Any

import pytest

from runagent_grpc.current import CurrentInvocation, entered_invocation
from runagent_grpc.server.event_loop import OnExit, ServerLoop

Reports = list[tuple[str, str | None]]


def run(main: Any, on_exit: OnExit) -> Any:
    with asyncio.Runner(loop_factory=functools.partial(ServerLoop, on_exit)) as runner:
        return runner.run(main)


def reporting(reports: Reports) -> OnExit:
    return lambda error, invocation_id: reports.append((repr(error), invocation_id))


def enter(invocation_id: str) -> None:
    entered_invocation.set(
        CurrentInvocation(
            invocation_id=invocation_id,
            agent_id="",
            entrypoint_tag="",
            user_id="",
            persistent_memory=False,
            is_cancelled=lambda: False,
            seconds_remaining=lambda: None,
        )
    )


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_an_exit_is_reported_with_the_invocation_that_asked_for_it(error: BaseException) -> None:
    def leave() -> None:
        raise error

    async def leave_soon() -> None:
        enter("task")
        await asyncio.sleep(0)
        leave()

    async def main() -> str:
        loop = asyncio.get_running_loop()
        loop.call_soon(leave)
        enter("callback")
        loop.call_soon(leave)
        loop.call_later(0, leave)
        await asyncio.wait([asyncio.create_task(leave_soon())])
        return "done"

    reports: Reports = []
    assert run(main(), reporting(reports)) == "done"
    assert sorted(reports, key=str) == [
        (repr(error), "callback"),
        (repr(error), "callback"),
        (repr(error), "task"),
        (repr(error), None),
    ]


def test_an_exit_of_what_is_run_is_raised() -> None:
    async def main() -> None:
        await asyncio.sleep(0)
        sys.exit(3)

    reports: Reports = []
    with pytest.raises(SystemExit) as raised:
        run(main(), reporting(reports))
    assert (raised.value.code, reports) == (3, [])


def test_an_exit_in_the_turn_in_which_what_is_run_ends_changes_nothing() -> None:
    async def main() -> str:
        task = asyncio.current_task()
        assert task is not None
        # It follows the loop's own callback, which stops the loop.
        task.add_done_callback(leave)
        return "done"

    def leave(task: asyncio.Task[str]) -> None:
        raise SystemExit

    reports: Reports = []
    assert run(main(), reporting(reports)) == "done"
    assert reports == [("SystemExit()", None)]


def test_a_report_that_asks_for_an_exit_itself_ends_nothing() -> None:
    async def main() -> str:
        asyncio.get_running_loop().call_soon(sys.exit)
        await asyncio.sleep(0.001)
        return "done"

    def leave(error: BaseException, invocation_id: str | None) -> None:
        sys.exit()

    assert run(main(), leave) == "done"


def test_a_loop_that_is_stopped_continues() -> None:
    async def main() -> str:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.001)
        return "done"

    assert run(main(), reporting([])) == "done"


def test_programs_can_be_run() -> None:
    async def main() -> int:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "raise SystemExit(4)")
        return await process.wait()

    assert run(main(), reporting([])) == 4
