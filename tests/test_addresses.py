from __future__ import annotations

import errno
import socket

import pytest

from runagent_grpc.addresses import PortInUseError, connectable, find_port, is_loopback, joined, take_port


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LocalHost"])
def test_a_host_of_this_machine_alone_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",  # noqa: S104 - read, not bound
        "::",
        "[::]",
        "",
        "10.0.0.1",
        "localhost.example.com",
        "127.0.0.1.nip.io",
        "127.1",
        "2130706433",
        "0x7f.1",
        "127.0.0.1 ",
        "localhost\0",
        "example.com",
    ],
)
def test_whatever_may_be_reached_from_elsewhere_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("host", "written"),
    [
        ("0.0.0.0", "127.0.0.1"),  # noqa: S104 - read, not bound
        ("", "127.0.0.1"),
        ("::", "::1"),
        ("[::]", "::1"),
        ("10.0.0.1", "10.0.0.1"),
        ("localhost", "localhost"),
    ],
)
def test_a_host_that_stands_for_every_address_is_reached_on_loopback(host: str, written: str) -> None:
    assert connectable(host) == written


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("localhost", 1, "localhost:1"),
        ("127.0.0.1", 65535, "127.0.0.1:65535"),
        ("::1", 80, "[::1]:80"),
        ("[::1]", 80, "[::1]:80"),
        ("fe80::1%eth0", 80, "[fe80::1%eth0]:80"),
    ],
)
def test_a_host_and_a_port_are_joined_as_urls_write_them(host: str, port: int, address: str) -> None:
    assert joined(host, port) == address


def listening(port: int = 0) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


def port_of(server: socket.socket) -> int:
    port: int = server.getsockname()[1]
    return port


def test_a_wanted_port_is_taken_while_it_is_free_and_refused_by_name_when_not() -> None:
    with listening() as server:
        port = port_of(server)
        with pytest.raises(PortInUseError, match=rf"^Port {port} on 127\.0\.0\.1 is in use\. .*\.$"):
            find_port("127.0.0.1", port, 50051)
    assert find_port("127.0.0.1", port, 50051) == port


def test_port_0_means_any() -> None:
    assert find_port("127.0.0.1", 0, 50051) == 0


def test_a_port_taken_on_every_address_is_taken_on_loopback() -> None:
    with socket.create_server(("", 0)) as server, pytest.raises(PortInUseError):
        find_port("127.0.0.1", port_of(server), 50051)


def test_the_default_gives_way_to_the_next_free_port() -> None:
    with listening() as server:
        taken = port_of(server)
        found = find_port("127.0.0.1", None, taken)

    assert taken < found < taken + 100


def test_a_port_that_was_just_closed_counts_as_free() -> None:
    with listening() as server, socket.create_connection(server.getsockname()):
        accepted, _ = server.accept()
        # The end that closes first stays in TIME_WAIT.
        accepted.close()
        port = port_of(server)
    assert find_port("127.0.0.1", port, 50051) == port


def test_an_ipv6_host_is_probed_as_such() -> None:
    if not socket.has_ipv6:
        pytest.skip("This machine has no IPv6.")
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("This machine has no IPv6 loopback.")
    with server, pytest.raises(PortInUseError):
        find_port("[::1]", port_of(server), 50051)


def test_a_host_that_is_not_this_machines_is_an_os_error() -> None:
    with pytest.raises(OSError, match="assign"):
        find_port("192.0.2.1", None, 50051)


class Binder:
    """Binds a port, after others were quicker with the first ones."""

    def __init__(self, *, losses: int, number: int = errno.EADDRINUSE) -> None:
        self._losses = losses
        self._number = number
        self.tried: list[int] = []

    def __call__(self, port: int) -> int:
        self.tried.append(port)
        if len(self.tried) <= self._losses:
            raise OSError(self._number, "Somebody was quicker.")
        return port


def test_a_port_that_is_taken_while_it_is_looked_at_gives_way_to_the_next() -> None:
    bind = Binder(losses=2)
    assert take_port("127.0.0.1", None, 40_000, bind) == bind.tried[-1]
    assert len(bind.tried) == 3
    assert bind.tried == sorted(set(bind.tried))


def test_a_port_that_was_asked_for_gives_way_to_no_other() -> None:
    with pytest.raises(PortInUseError, match="is in use"):
        take_port("127.0.0.1", 0, 1, Binder(losses=1))


def test_what_else_keeps_a_port_from_being_bound_is_raised() -> None:
    with pytest.raises(PermissionError):
        take_port("127.0.0.1", None, 40_000, Binder(losses=1, number=errno.EACCES))
