"""Configurations as published tools write them, and as people have gone on writing them by hand."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.worker import PythonEntrypointConfig, WebhookEntrypointConfig, load_agent, read_config

# What `init` of the published command fills in, whatever the framework.
WRITTEN: dict[str, Any] = {
    "agent_name": "Demo",
    "description": "Shows what it can do.",
    "framework": "default",
    "template": "default",
    "version": "1.0.0",
    "created_at": "2025-06-25 13:42:03",
    "template_source": {"repo_url": "https://example.com/templates.git", "author": "somebody", "path": "default"},
}


def write(folder: Path, *entrypoints: dict[str, Any], **changes: Any) -> Path:
    config = {**WRITTEN, "agent_architecture": {"entrypoints": entrypoints}, **changes}
    (folder / "runagent.config.json").write_text(json.dumps(config))
    return folder


def test_a_template_that_was_never_filled_in_has_an_id(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, {"file": "main.py", "module": "run", "tag": "minimal"}))
    assert uuid.UUID(config.agent_id)
    assert (config.version, config.created_at) == ("1.0.0", "2025-06-25 13:42:03")


@pytest.mark.parametrize("framework", ["autogen", "langgraph", "openai", "letta", "crewai"])
def test_paths_of_frameworks_are_kept_in_their_order(tmp_path: Path, framework: str) -> None:
    paths = {
        "type": "$.type",
        "message": "$.content",
        "delta": "$.choices[0].delta.content",
        "name": "$.tool_call.name",
    }
    entry = {"file": "agent.py", "module": "agent.run_stream", "tag": "steps_stream", "extractor": paths}
    (entrypoint,) = read_config(write(tmp_path, entry, framework=framework)).entrypoints
    assert isinstance(entrypoint, PythonEntrypointConfig)
    assert (entrypoint.module, list(entrypoint.extractor)) == ("agent.run_stream", list(paths))


def test_a_webhook_is_asked_as_it_is_written(tmp_path: Path) -> None:
    entry = {"webhook_url": "https://example.com/webhook/recipes", "method": "post", "timeout": 60, "tag": "recipes"}
    (entrypoint,) = read_config(write(tmp_path, entry, framework="n8n")).entrypoints
    assert entrypoint == WebhookEntrypointConfig(
        tag="recipes", webhook_url="https://example.com/webhook/recipes", method="POST", timeout=60.0
    )


def test_what_people_add_by_hand_is_read_or_left_alone(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("def run():\n    '''Runs.'''\n")
    entry = {"file": "main.py", "module": "run", "tag": "run", "description": "Runs for a while.", "extractor": None}
    folder = write(
        tmp_path,
        entry,
        agent_id="9fac4988-0000-4000-8000-7495c14de8b9",
        env_vars={"SMTP_PORT": "587", "PASSWORD": "", "WORKERS": 2, "VERBOSE": False, "UNUSED": None},
        auth_settings={"type": "api_key"},
        persistent_folders=[".sqlite", "data"],
        remote={"anything": [1, 2]},
    )
    config = read_config(folder)
    assert config.env_vars == {"SMTP_PORT": "587", "PASSWORD": "", "WORKERS": "2", "VERBOSE": "false"}
    assert (config.auth_settings.type, config.persistent_folders) == ("api_key", (".sqlite", "data"))
    with load_agent(folder) as agent:
        assert agent.entrypoints["run"].description == "Runs for a while."


@pytest.mark.parametrize("name", ["template", "template_source", "env_vars", "auth_settings", "persistent_folders"])
def test_what_older_ones_do_not_have_may_be_null_or_missing(tmp_path: Path, name: str) -> None:
    entry = {"file": "main.py", "module": "run", "tag": "run"}
    assert read_config(write(tmp_path, entry, **{name: None})).agent_name == "Demo"
    config = json.loads((tmp_path / "runagent.config.json").read_text())
    del config[name]
    (tmp_path / "runagent.config.json").write_text(json.dumps(config))
    assert read_config(tmp_path).agent_name == "Demo"
