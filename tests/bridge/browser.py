"""A headless Chromium that tests drive over its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

__all__ = ["CHROMIUM", "Browser", "browsing"]

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


_COMPLAINTS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")


class Browser:
    """One tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self.complaints: list[str] = []
        """What the page wrote to its console, and what broke in it."""

    async def open(self, url: str) -> None:
        for domain in ("Page", "Runtime", "Log"):
            await self._command(f"{domain}.enable")
        await self._command("Page.navigate", url=url)

    async def evaluate(self, expression: str) -> Any:
        answer = await self._command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Waits until a JavaScript expression holds."""
        async with asyncio.timeout(20):
            await self.evaluate(
                f"new Promise((resolve) => {{ const look = () => ({expression}) ? resolve() : setTimeout(look, 20);"
                " look(); })"
            )

    async def screenshot(self, file: Path) -> None:
        answer = await self._command("Page.captureScreenshot", captureBeyondViewport=True)
        await asyncio.to_thread(file.write_bytes, base64.b64decode(answer["data"]))

    async def _command(self, method: str, **parameters: Any) -> Any:
        command_id = next(self._ids)
        await self._socket.send(json.dumps({"id": command_id, "method": method, "params": parameters}))
        while True:
            message = json.loads(await self._socket.recv())
            if message.get("id") == command_id:
                assert "error" not in message, message
                return message["result"]
            entry = message.get("params", {}).get("entry", {})
            if message.get("method") in _COMPLAINTS and entry.get("level") != "verbose":
                self.complaints.append(json.dumps(message["params"]))


@asynccontextmanager
async def browsing(folder: Path) -> AsyncIterator[Browser]:
    """Starts a browser with a profile of its own, which is gone when the block ends."""
    assert CHROMIUM is not None
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"),
        *("--remote-debugging-port=0", f"--user-data-dir={folder}", "--window-size=1000,1200", "about:blank"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "HOME": str(folder)},
        start_new_session=True,
    )
    try:
        port = await _debugging_port(process)
        async with connect(await _tab(port), max_size=None, proxy=None) as socket:
            yield Browser(socket)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _debugging_port(process: asyncio.subprocess.Process) -> int:
    assert process.stderr is not None
    async with asyncio.timeout(30):
        async for line in process.stderr:
            if found := re.search(rb"DevTools listening on ws://127\.0\.0\.1:(\d+)/", line):
                return int(found[1])
    raise AssertionError("Chromium ended before it listened.")


async def _tab(port: int) -> str:
    async with httpx.AsyncClient(trust_env=False) as client:
        async with asyncio.timeout(20):
            while True:
                pages = (await client.get(f"http://127.0.0.1:{port}/json")).json()
                for page in pages:
                    if page["type"] == "page":
                        return str(page["webSocketDebuggerUrl"])
                await asyncio.sleep(0.05)
