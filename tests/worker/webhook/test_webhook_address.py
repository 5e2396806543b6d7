"""Where webhooks may lead: what an author has chosen, and what has to be allowed."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.worker.webhook.address import is_public, names_private_network, webhook_url_problem
from runagent_grpc.worker.webhook.errors import WebhookError
from runagent_grpc.worker.webhook.function import webhook_function
from tests.waiting import on_a_loop
from tests.worker.webhook.target import answering, hook, target


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:5678/webhook/a",
        "http://n8n:5678/hook",
        "https://example.com",
        "HTTPS://Example.com/a?b=c",
        "https://user:password@example.com/",
        "http://[::1]:80/",
        "http://my_service:80/",
        "http://bücher.example/",
    ],
)
def test_an_address_of_the_web_is_no_problem(url: str) -> None:
    assert webhook_url_problem(url) is None


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("", "begins with neither http:// nor https://"),
        ("example.com/hook", "begins with neither"),
        ("ftp://example.com/secret", "begins with neither"),
        ("file:///etc/passwd", "begins with neither"),
        ("http:///secret", "names no host"),
        ("https://", "names no host"),
        ("http://example.com:0/secret", "no port 0"),
        ("http://example.com:99999/secret", "no port 99999"),
        ("http://0177.0.0.1/secret", "cannot be read as an address"),
        ("https://${HOST}/secret", "Its host is no name of one"),
        ("http://[::1/secret", "cannot be read as an address"),
        ("http://xn--/secret", "cannot be read as an address"),
        ("http://exa mple.com/secret", "holds a blank"),
        ("http://example.com/secret\n", "holds a blank or a control character"),
    ],
)
def test_any_other_address_is_a_problem_that_does_not_repeat_it(url: str, text: str) -> None:
    problem = webhook_url_problem(url)
    assert problem is not None
    assert text in problem
    assert "secret" not in problem
    assert problem.endswith(".")


@pytest.mark.parametrize("url", ["http://0177.0.0.1/hook", "https://${HOST}/hook"])
def test_what_no_request_can_be_sent_to_is_told_when_the_agent_is_loaded(
    url: str, make_folder: Callable[..., Path], problems_of: Callable[[Path], tuple[str, ...]]
) -> None:
    [problem] = problems_of(make_folder({}, [{"tag": "hook", "webhook_url": url, "method": "post"}]))
    assert "`agent_architecture.entrypoints[0].webhook_url`: " in problem
    assert "Expected the whole address" in problem
    assert url not in problem


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.9.9.9"),  # noqa: S104 - nothing listens
        *("169.254.169.254", "172.16.0.1", "192.0.0.1", "192.168.1.1", "198.18.0.1", "224.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fe80::1%2", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "100::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
    ],
)
def test_an_address_of_a_private_network_is_not_public_however_it_is_written(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST", "localhost.", "n8n", "printer.local", "a.localhost", "db.internal", "x.home.arpa"),
        *("127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "2130706433"),
    ],
)
def test_some_hosts_say_by_themselves_that_they_are_private(host: str) -> None:
    assert names_private_network(host)


@pytest.mark.parametrize("host", ["example.com", "localhost.example.com", "1.1.1.1", "127.1", "0x7f.1", "local.com"])
def test_others_have_to_be_looked_up(host: str) -> None:
    assert not names_private_network(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LocalHost"])
def test_a_private_host_that_the_author_wrote_is_the_authors_choice(host: str) -> None:
    @on_a_loop
    async def test() -> None:
        async with target(answering("1")) as there:
            assert await webhook_function(hook(f"http://{host}:{there.port}/hook"))() == 1

    test()


# Names that only the resolver knows to be this machine's, with no entry in any name service.
@pytest.mark.parametrize("host", ["127.1", "0x7f.1", "0x7f.0.0.0x1"])
def test_a_name_that_leads_to_a_private_address_has_to_be_allowed(host: str) -> None:
    @on_a_loop
    async def test() -> None:
        async with target(answering("1")) as there:
            url = f"http://{host}:{there.port}/hook"
            with pytest.raises(WebhookError, match=r"leads to an address that is not public\. Set .*`allow_private"):
                await webhook_function(hook(url))()
            assert there.connections == 0
            assert await webhook_function(hook(url, allow_private_addresses=True))() == 1

    test()


@on_a_loop
async def test_a_name_is_looked_up_once_and_the_connection_goes_to_what_was_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    async with target(answering("1")) as there:
        # A name service that says one thing to whoever checks, and another to whoever connects.
        answers = iter([["192.0.2.1"], ["127.0.0.1"]])
        monkeypatch.setattr(socket, "getaddrinfo", looked_up(answers, asked))
        with pytest.raises(WebhookError, match="not public"):
            await webhook_function(hook(f"http://rebinding.example:{there.port}"))()
        assert asked == ["rebinding.example"]
        assert there.connections == 0


@on_a_loop
async def test_of_several_addresses_those_are_tried_that_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    async with target(answering("1")) as there:
        answers = iter([["::1", "127.0.0.1"], ["::1", "127.0.0.1"]])
        monkeypatch.setattr(socket, "getaddrinfo", looked_up(answers, asked))
        # Nothing listens on the first.
        url = f"http://two.example:{there.port}"
        assert await webhook_function(hook(url, allow_private_addresses=True))() == 1
        with pytest.raises(WebhookError, match="not public"):
            await webhook_function(hook(url))()
    assert asked == ["two.example", "two.example"]


def looked_up(answers: Any, asked: list[str]) -> Any:
    """Returns a stand-in for the machine's resolver."""

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(answers)]

    return getaddrinfo
