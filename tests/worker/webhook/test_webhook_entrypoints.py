"""Webhooks as entrypoints of an agent that is served: loaded from its configuration, called, extracted from."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runagent_grpc.testing import RunningServer, serving
from tests.bridge.http_helpers import ask
from tests.waiting import on_a_loop
from tests.worker.webhook.target import Request, reply, target

MakeFolder = Callable[..., Path]


async def echo(request: Request, writer: asyncio.StreamWriter) -> None:
    payload = json.loads(request.body or b"null")
    answer = {"output": {"text": payload, "method": request.method}}
    reply(writer, json.dumps(answer), "application/json")


def webhook(tag: str, url: str, **fields: Any) -> dict[str, Any]:
    return {"tag": tag, "webhook_url": url, "method": "post", "allow_private_addresses": True, **fields}


@on_a_loop
async def test_webhooks_are_served_beside_functions(make_folder: MakeFolder) -> None:
    async with target(echo) as hook:
        folder = make_folder(
            entrypoints=[
                {"file": "main.py", "module": "run", "tag": "run"},
                webhook("whole", hook.url, description="Echoes."),
                webhook("part", hook.url, extractor={"text": "output.text", "none": "$.nothing"}),
                webhook("part_stream", hook.url, extractor={"text": "$.output.text"}),
            ],
            framework="n8n",
        )
        await asyncio.to_thread(call_all, folder)


def call_all(folder: Path) -> None:
    with serving(folder) as server:
        assert server.client("run").run() == "ran"
        assert server.client("whole").run("Hi") == {"output": {"text": "Hi", "method": "POST"}}
        assert server.client("whole").run(payload={"a": 1})["output"]["text"] == {"a": 1}
        assert server.client("part").run("Hi") == {"text": "Hi", "none": None}
        assert list(server.client("part_stream").run("Hi")) == [{"text": "Hi"}]
        assert described(server) == {"run": None, "whole": "Echoes."}


def described(server: RunningServer) -> dict[str, str | None]:
    entrypoints = ask(server, "GET", "/api/v1/agents/an-id/architecture").json()["entrypoints"]
    assert [entrypoint["file"] for entrypoint in entrypoints] == ["main.py", "", "", ""]
    return {entrypoint["tag"]: entrypoint["description"] for entrypoint in entrypoints[:2]}
