"""The network as webhooks may use it: which hosts are an author's own choice, and which need to be allowed.

The check is of the address that is connected to. A name is looked up once, and the connection goes to what was found,
so that it cannot mean one thing when it is checked and another when it is used.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpcore

from runagent_grpc.worker.webhook.address import is_public, names_private_network
from runagent_grpc.worker.webhook.wording import leads_nowhere, leads_to_private_address

__all__ = ["CheckedNetwork", "EgressPolicy"]

_SECONDS_AN_ATTEMPT = 2.0
"""How long an address may take to accept, where there are more to try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressPolicy:
    """How far a webhook's calls may go."""

    host: str
    """The host that the author wrote."""
    allows_private: bool
    """Whether any host may be of a private network, and not that one alone, if it says so by itself."""

    def has_private(self, host: str) -> bool:
        """Whether `host` may lead to an address that is not public."""
        return self.allows_private or (host.rstrip(".") == self.host and names_private_network(host))


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """The network as webhooks may use it: connects to public addresses, and to others within its reach."""

    def __init__(self, reach: EgressPolicy) -> None:
        self._reach = reach
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await _addresses_of(host, port)
        if not self._reach.has_private(host):
            addresses = [address for address in addresses if is_public(address)]
            if not addresses:
                raise leads_to_private_address(host)
        *others, last = addresses
        for address in others:
            try:
                stream = await self._network.connect_tcp(
                    address, port, _shorter(timeout), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                # Such as a name that stands for IPv6, too, on a machine whose network does not.
                continue
            return _Stream(stream)
        return _Stream(await self._network.connect_tcp(last, port, timeout, local_address, socket_options))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Stream(httpcore.AsyncNetworkStream):
    """A connection that is closed where TLS is given up, which httpcore leaves open when it is cancelled.

    Hands on all that has come, where TLS would keep a part back: whether that is more than an answer is to be seen.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._tls: ssl.SSLObject | None = stream.get_extra_info("ssl_object")

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's
        data = await self._stream.read(max_bytes, timeout)
        if self._tls is not None:
            with suppress(ssl.SSLError):  # Such as that there is no more.
                while data and len(data) < max_bytes and (more := self._tls.read(max_bytes - len(data))):
                    data += more
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
    ) -> httpcore.AsyncNetworkStream:
        try:
            return _Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout))
        except BaseException:
            await self._stream.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


async def _addresses_of(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise leads_nowhere(host) from None
    # In the order of the system's preference, each once.
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _shorter(timeout: float | None) -> float:
    return _SECONDS_AN_ATTEMPT if timeout is None else min(timeout, _SECONDS_AN_ATTEMPT)
