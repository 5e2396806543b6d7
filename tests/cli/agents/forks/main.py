"""Entrypoints that fork, in every way that Python has, from a thread and from the event loop."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import Callable

from runagent_grpc.client import AsyncRunAgentClient, RunAgentClient

_context = multiprocessing.get_context("fork")


def _rest() -> None:
    # Not all at once: a signal that comes right before a sleep is handled by Python behind it.
    for _ in range(60_000):
        time.sleep(0.01)


def _square(number: int) -> int:
    return number * number


def _codes(pids: list[int]) -> list[int]:
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def _children(count: int) -> list[int]:
    pids = []
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            try:
                time.sleep(0.01)
            finally:
                os._exit(7)
        pids.append(pid)
    return pids


def terminated() -> int | None:
    process = _context.Process(target=_rest)
    process.start()
    process.terminate()
    process.join(20)
    return process.exitcode


async def terminated_on_the_loop() -> int | None:
    return terminated()


def interrupted() -> int:
    return _signalled(signal.SIGINT, None)


def with_a_handler() -> int:
    return _signalled(signal.SIGTERM, lambda *_: os._exit(11))


def _signalled(number: signal.Signals, handler: Callable[..., object] | None) -> int:
    """Sends a child a signal once it waits for one, and returns how it ended."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if handler is not None:
                signal.signal(number, handler)
            os.write(writing, b"x")
            _rest()
        except KeyboardInterrupt:
            os._exit(9)
        finally:
            os._exit(1)
    os.read(reading, 1)
    os.kill(pid, number)
    os.close(reading)
    os.close(writing)
    return _codes([pid])[0]


def pooled() -> list[int]:
    with _context.Pool(4) as pool:
        return pool.map(_square, range(20))


def forked(count: int) -> list[int]:
    return _codes(_children(count))


async def forked_on_the_loop(count: int) -> list[int]:
    return forked(count)


def left_alive() -> int:
    pid = os.fork()
    if pid == 0:
        _rest()
    return pid


def variable() -> str | None:
    return os.environ.get("GRPC_ENABLE_FORK_SUPPORT")


def calls_by_itself(address: str) -> str:
    return _answer(lambda: _call(address))


def calls_on_a_loop(address: str) -> str:
    return _answer(lambda: asyncio.run(_call_soon(address)))


def _call(address: str) -> str:
    with RunAgentClient(
        "forks", "variable", base_url=address, transport="http" if address.startswith("http") else "grpc", timeout=20
    ) as client:
        return f"answered {client.run()}"


async def _call_soon(address: str) -> str:
    async with AsyncRunAgentClient("forks", "variable", base_url=address, timeout=20) as client:
        return f"answered {await client.run()}"


def _answer(call: Callable[[], str]) -> str:
    """Returns what `call` returns in a forked child, or the text of what it raises."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, call().encode())
        except BaseException as error:  # noqa: BLE001 - the child tells everything, and ends
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        answer = pipe.read().decode()
    _codes([pid])
    return answer
