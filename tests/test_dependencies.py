"""Lower bounds that keep known holes out. docs/dependencies.md says why each is where it is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]
BOUNDS = {match[1]: match[2] for line in REQUIREMENTS if (match := re.match(r"([\w-]+)>=([\d.]+)", line))}
GRPC = sorted(name for name in BOUNDS if name.startswith("grpcio"))

# What anybody who reaches the port can do to an older server, each with the first version that bears it.
FLOORS = {
    "compressed messages are inflated before their size is checked": (1, 84),
    "streams that are opened and reset at once starve all others": (1, 83),
    "pings starve all others": (1, 81),
}


def version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


@pytest.mark.parametrize("floor", FLOORS.values(), ids=FLOORS.keys())
def test_no_grpcio_is_allowed_that_anybody_can_bring_down(floor: tuple[int, ...]) -> None:
    assert version(BOUNDS["grpcio"]) >= floor


def test_what_is_released_with_grpcio_has_its_bound() -> None:
    assert {name: BOUNDS[name] for name in GRPC} == dict.fromkeys(GRPC, BOUNDS["grpcio"])


def test_the_stubs_refuse_what_the_bounds_refuse() -> None:
    pins = dict(
        line.split("==") for line in (ROOT / "protos/requirements.txt").read_text().splitlines() if "==" in line
    )
    assert (pins["grpcio-tools"], pins["protobuf"]) == (BOUNDS["grpcio"], BOUNDS["protobuf"])
    for stub in (ROOT / "runagent_grpc/_gen").rglob("*_pb2_grpc.py"):
        assert f"GRPC_GENERATED_VERSION = '{BOUNDS['grpcio']}'" in stub.read_text()
    for stub in (ROOT / "runagent_grpc/_gen").rglob("*_pb2.py"):
        found = re.search(r"Domain.PUBLIC,\s+(\d+),\s+(\d+),\s+(\d+),", stub.read_text())
        assert found
        assert ".".join(found.groups()) == BOUNDS["protobuf"]
