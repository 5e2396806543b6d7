"""The published package's own templates, served as they lie in it, by what their configurations say."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import Cli, ServeProcess
from tests.frameworks.openai_api import openai_api
from tests.frameworks.published_templates import (
    CALLS,
    NOT_CALLED,
    RULES,
    Call,
    python_of_the_templates,
    unpacked_templates,
)
from tests.frameworks.vendor_servers import vendor_servers
from tests.frameworks.wires import Place, run_over, stream_over

KEY = "a-key-of-the-tests"
"""Two of the templates ask their callers for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served(Place):
    """A template that is served, and how to reach it with the key."""

    process: ServeProcess

    def address(self, transport: str) -> dict[str, Any]:
        return {**Place.address(self, transport), "api_key": KEY}


@pytest.fixture(scope="module")
def python() -> Path:
    return python_of_the_templates()


@pytest.fixture(scope="module")
def templates(python: Path) -> Path:
    """The folder with all templates."""
    return unpacked_templates(python)


@pytest.fixture(scope="module")
def variables() -> Iterator[dict[str, str]]:
    """What the process environment says of the vendors' servers, which is all that any of the templates is told."""
    with openai_api(*RULES) as api, vendor_servers("RunAgent Assistant") as servers:
        yield {**api.environment, **servers, "no_proxy": "127.0.0.1", "CREWAI_DISABLE_TELEMETRY": "true"}


@contextlib.contextmanager
def serving(python: Path, template: Path, place: Path, variables: dict[str, str]) -> Iterator[Served]:
    """Serves a copy, from a folder where it may leave what it likes."""
    folder = shutil.copytree(template, place / "agent")
    cli = Cli(place, python, RUNAGENT_API_KEYS=KEY, **variables)
    agent_id = json.loads((folder / "runagent.config.json").read_text())["agent_id"]
    with cli.started("serve", str(folder), "--port", "0", "--grpc-port", "0", cwd=place) as process:
        said = ServeProcess(process)
        said.wait_for("Press Ctrl-C to stop.")
        yield Served(agent_id=agent_id, http_port=said.http_port, grpc_port=said.port, process=said)


def test_every_template_of_the_package_is_here_with_every_tag(templates: Path) -> None:
    published = {
        (str(config.parent.relative_to(templates)), entrypoint["tag"])
        for config in templates.rglob("runagent.config.json")
        for entrypoint in json.loads(config.read_text())["agent_architecture"]["entrypoints"]
    }
    assert published == {(call.template, call.tag) for call in CALLS} | NOT_CALLED.keys()


@pytest.mark.parametrize("template", sorted({call.template for call in CALLS}))
def test_a_published_template_answers_as_it_is(
    python: Path, templates: Path, variables: dict[str, str], tmp_path: Path, template: str
) -> None:
    with serving(python, templates / template, tmp_path, variables) as served:
        for call in (call for call in CALLS if call.template == template):
            over_grpc, over_http = (outcome(served, call, wire) for wire in ("sync grpc", "sync http"))
            assert call.heard(over_grpc) == call.expected, call.tag
            assert call.heard(over_http) == call.expected, call.tag
            assert shape_of(over_grpc) == shape_of(over_http), call.tag


def outcome(served: Served, call: Call, wire: str) -> Any:
    if call.tag.endswith("_stream"):
        return list(stream_over(wire, served, call.tag, *call.args, **call.kwargs))
    return run_over(wire, served, call.tag, *call.args, **call.kwargs)


def shape_of(value: Any) -> Any:
    """Returns the names and the kinds of what is in a value, which are the same for every call."""
    if isinstance(value, dict):
        return {name: shape_of(item) for name, item in value.items()}
    if isinstance(value, list):
        return sorted({repr(shape_of(item)) for item in value})
    return type(value).__name__


@pytest.mark.parametrize(("template", "tag"), NOT_CALLED)
def test_a_template_whose_entrypoint_nobody_calls_is_served_all_the_same(
    python: Path, templates: Path, tmp_path: Path, template: str, tag: str
) -> None:
    with serving(python, templates / template, tmp_path, {}) as served:
        assert f"  {tag}  value" in served.process.err


def test_parlants_template_cannot_make_its_agent(
    python: Path, templates: Path, variables: dict[str, str], tmp_path: Path
) -> None:
    # It calls what no version of Parlant's client has, and gets along only where there is an agent of its name already.
    with (
        vendor_servers() as servers,
        serving(python, templates / "parlant/default", tmp_path, {**variables, **servers}) as served,
        served.client("parlant_simple") as client,
    ):
        answer = client.run(message="Hello")
    assert (answer["type"], answer["error"]) == ("error", "'AsyncAgentsClient' object has no attribute 'tools'")
