"""Where a webhook may lead: which addresses are an author's own choice, and which need to be allowed by name.

The check is of the address that is connected to. A name is looked up once, and the connection goes to what was found,
so that it cannot mean one thing when it is checked and another when it is used.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import httpcore
import httpx

from runagent_grpc.agent.webhook_wording import leads_nowhere, leads_to_private_address

__all__ = ["CheckedNetwork", "Reach", "is_public", "names_private_network", "webhook_url_problem"]

_SECONDS_AN_ATTEMPT = 2.0
"""How long an address may take to accept, where there are more to try."""

_PRIVATE_SUFFIXES = (".local", ".localhost", ".internal", ".home.arpa")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_IPV4_COMPATIBLE = ipaddress.ip_network("::/96")


def webhook_url_problem(url: str) -> str | None:
    """Returns why no webhook can be called at `url`, without repeating it, or None."""
    expected = "Expected the whole address, such as https://example.com/webhook/name."
    if not url.isprintable() or any(character.isspace() for character in url):
        return f"It holds a blank or a control character. {expected}"
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return f"It cannot be read as an address. {expected}"
    if parsed.scheme not in {"http", "https"}:
        return f"It begins with neither http:// nor https://. {expected}"
    if not parsed.host:
        return f"It names no host. {expected}"
    if parsed.port is not None and not 0 < parsed.port < 2**16:
        return f"There is no port {parsed.port}. {expected}"
    return None


def names_private_network(host: str) -> bool:
    """Whether a host says by itself, without being looked up, that it is this machine or one of its network."""
    host = host.rstrip(".").lower()
    try:
        return not is_public(host)
    except ValueError:
        return "." not in host or host.endswith(_PRIVATE_SUFFIXES)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet's, and not of this machine, its network or its host's metadata.

    Raises ValueError for what is no IP address.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        if (inner := _ipv4_within(ip)) is not None:
            return is_public(str(inner))
        if ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast


def _ipv4_within(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Returns the IPv4 address that an IPv6 address stands for, by any of the ways to write one into the other."""
    if ip.ipv4_mapped or ip.sixtofour:
        return ip.ipv4_mapped or ip.sixtofour
    if ip in _NAT64 or (ip in _IPV4_COMPATIBLE and int(ip) > 1):
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
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

    def __init__(self, reach: Reach) -> None:
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
                return await self._network.connect_tcp(address, port, _shorter(timeout), local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                # Such as a name that stands for IPv6, too, on a machine whose network does not.
                continue
        return await self._network.connect_tcp(last, port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def _addresses_of(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise leads_nowhere(host) from None
    # In the order of the system's preference, each once.
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _shorter(timeout: float | None) -> float:
    return _SECONDS_AN_ATTEMPT if timeout is None else min(timeout, _SECONDS_AN_ATTEMPT)
