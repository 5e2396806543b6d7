"""Addresses of webhooks, and of the machines behind them: which are none, and which are not for everyone to reach."""

from __future__ import annotations

import ipaddress
import re

__all__ = ["is_public", "names_private_network", "webhook_url_problem"]

_PRIVATE_SUFFIXES = (".local", ".localhost", ".internal", ".home.arpa")
_HOST = re.compile(r"[\w.-]+|[0-9a-f:.]+", re.ASCII)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_IPV4_COMPATIBLE = ipaddress.ip_network("::/96")


def webhook_url_problem(url: str) -> str | None:
    """Returns why no webhook can be called at `url`, without repeating it, or None."""
    # Here, for agents without webhooks need not wait until it is loaded.
    import httpx

    expected = "Expected the whole address, such as https://example.com/webhook/name."
    if not url.isprintable() or any(character.isspace() for character in url):
        return f"It holds a blank or a control character. {expected}"
    try:
        parsed = httpx.URL(url)
        host = parsed.host
    except (httpx.InvalidURL, UnicodeError):  # the latter of a name in Punycode
        return f"It cannot be read as an address. {expected}"
    if parsed.scheme not in {"http", "https"}:
        return f"It begins with neither http:// nor https://. {expected}"
    if not host:
        return f"It names no host. {expected}"
    if not _HOST.fullmatch(parsed.raw_host.decode("ascii")):
        # Such as a variable: what stands in an address is not expanded.
        return f"Its host is no name of one. {expected}"
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
