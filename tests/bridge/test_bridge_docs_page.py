"""The page at /docs: what it may load, and that entrypoints can be tried from it in a browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from runagent_grpc.testing import serving
from tests.bridge.browser import CHROMIUM, browsing
from tests.waiting import on_a_loop

KEY = "a-key-for-the-page"


def shout(text: str, times: int = 2) -> str:
    """Repeats a text, louder."""
    return " ".join([text.upper()] * times)


def count_stream(numbers: int) -> Iterator[dict[str, int]]:
    """Counts."""
    for number in range(numbers):
        yield {"number": number, "large": 2**64 + number}


def fail_stream(text: str) -> Iterator[str]:
    yield "begun"
    raise ValueError(text)


AGENT: dict[str, Callable[..., Any]] = {"shout": shout, "count_stream": count_stream, "fail_stream": fail_stream}


def test_the_page_loads_nothing_from_elsewhere() -> None:
    with serving(AGENT) as server:
        answer = httpx.get(f"{server.http_url}/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'; connect-src 'self'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert re.findall(r"(?:src|href)=\"([^\"]*)\"", answer.text) == ["data:,", "/openapi.json"]
    assert "://" not in answer.text


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@on_a_loop
async def test_entrypoints_can_be_tried_in_a_browser(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("browser")
    with serving(AGENT, api_keys=(KEY,)) as server:
        async with browsing(folder / "profile") as browser:
            await browser.open(f"{server.http_url}/docs?token={KEY}")
            await browser.until("document.querySelectorAll('.entrypoint').length === 3")
            assert await browser.evaluate("document.title") == "test-agent"
            # The key is taken out of the address bar.
            assert await browser.evaluate("location.search") == ""
            assert await browser.evaluate("document.querySelector('.input').value") == '{\n  "text": "Hello"\n}'

            await browser.evaluate("document.querySelectorAll('.go').forEach((button) => button.click())")
            await browser.until(
                "[...document.querySelectorAll('.state')].every((state) => !/^(Running...)?$/.test(state.textContent))"
            )
            states = await browser.evaluate("[...document.querySelectorAll('.state')].map((s) => s.textContent)")
            outputs = await browser.evaluate("[...document.querySelectorAll('.output')].map((o) => o.textContent)")
            await browser.screenshot(folder / "docs.png")
            complaints = browser.complaints

    assert complaints == []
    assert states[0] == "Completed"
    assert states[1].startswith("Completed: 3 chunks in ")
    assert states[2] == "Streaming error: Hello"
    assert outputs[0] == "HELLO HELLO\n"
    assert outputs[1].splitlines()[2] == '{"number":2,"large":18446744073709551618}'
    assert outputs[2] == "begun\n"


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@on_a_loop
async def test_a_page_without_the_key_says_what_is_missing(tmp_path: Path) -> None:
    with serving(AGENT, api_keys=(KEY,)) as server:
        async with browsing(tmp_path) as browser:
            await browser.open(f"{server.http_url}/docs?token={KEY}")
            await browser.until("document.querySelector('.entrypoint') !== null")
            await browser.evaluate("document.querySelector('#key').value = 'wrong'")
            await browser.evaluate("document.querySelector('#key').dispatchEvent(new Event('change'))")
            await browser.until("!document.querySelector('#trouble').hidden")
            trouble = await browser.evaluate("document.querySelector('#trouble').textContent")
    assert "The API key is not one of this server's." in trouble
