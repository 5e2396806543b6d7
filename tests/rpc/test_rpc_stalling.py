"""What an author's code or a caller's data may hold up: its own call, and no other."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pydantic

from runagent_grpc.testing import serving

_validating = threading.Event()
_may_go_on = threading.Event()


class Patient(pydantic.BaseModel):
    name: str

    @pydantic.field_validator("name")
    @classmethod
    def wait(cls, name: str) -> str:
        _validating.set()
        assert _may_go_on.wait(30)
        return name


def greet(who: Patient) -> str:
    return who.name


def release() -> None:
    _may_go_on.set()


def test_a_validator_that_blocks_holds_up_no_other_call() -> None:
    with serving({"greet": greet, "release": release}) as server, ThreadPoolExecutor(1) as pool:
        greeting = pool.submit(server.client("greet").run, {"name": "Ada"})
        assert _validating.wait(30)
        server.client("release", timeout=30).run()
        assert greeting.result(timeout=30) == "Ada"


def test_large_arguments_arrive_as_small_ones_do() -> None:
    value = list(range(100_000))
    with serving({"echo": lambda value: value}) as server:
        assert server.client("echo").run(value) == value
