"""The proxy that cuts: what reaches its clients, and how it ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.proxies.cutting import Cut, Cuts, Way, cutting
from tests.waiting import eventually

SAID = bytes(range(256)) * 40


@contextmanager
def speaker() -> Iterator[int]:
    """A server that says the same to everybody, and waits for its client to leave."""

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=speak, args=(client,), daemon=True).start()

    def speak(client: socket.socket) -> None:
        with client:
            try:
                client.sendall(SAID)
                client.recv(1)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        # Closing alone does not wake who waits in `accept`.
        listener.shutdown(socket.SHUT_RDWR)


def heard(port: int) -> bytes:
    """What a client hears until it has heard everything, or the connection ends."""
    pieces = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        while len(pieces) < len(SAID) and (piece := connection.recv(len(SAID))):
            pieces += piece
    return pieces


def test_connections_end_where_the_cuts_say_and_then_no_more() -> None:
    cuts = Cuts([Cut(after_bytes=bytes_, way=Way.CLOSE) for bytes_ in (1, 5000, 100)])
    with speaker() as port, cutting(cuts, port) as (proxy,):
        assert [len(heard(proxy)) for _ in range(4)] == [1, 5000, 100, len(SAID)]
    assert [cut.after_bytes for cut in cuts.made] == [1, 5000, 100]


def test_what_comes_before_a_cut_is_what_the_server_said() -> None:
    with speaker() as port, cutting(Cuts([Cut(after_bytes=777, way=Way.CLOSE)]), port) as (proxy,):
        assert heard(proxy) == SAID[:777]


def test_a_reset_is_no_orderly_end() -> None:
    with speaker() as port, cutting(Cuts([Cut(after_bytes=1, way=Way.RESET)]), port) as (proxy,):
        with pytest.raises(ConnectionResetError):
            heard(proxy)
        assert heard(proxy) == SAID


def test_a_stalled_connection_stays_open_and_says_nothing() -> None:
    with speaker() as port, cutting(Cuts([Cut(after_bytes=1, way=Way.STALL)]), port) as (proxy,):
        with socket.create_connection(("127.0.0.1", proxy), timeout=0.2) as connection:
            assert connection.recv(100) == SAID[:1]
            with pytest.raises(TimeoutError):
                connection.recv(100)
        assert heard(proxy) == SAID


def test_a_connection_that_ends_before_its_cut_leaves_it_to_the_next() -> None:
    cuts = Cuts([Cut(after_bytes=len(SAID) + 1, way=Way.CLOSE)])
    with speaker() as port, cutting(cuts, port) as (proxy,):
        assert heard(proxy) == SAID
        eventually(lambda: cuts.ahead == 1)
        assert cuts.made == []


def test_proxies_may_share_their_cuts() -> None:
    cuts = Cuts([Cut(after_bytes=bytes_, way=Way.CLOSE) for bytes_ in (10, 20)])
    with speaker() as one, speaker() as other, cutting(cuts, one, other) as (to_one, to_other):
        assert [len(heard(to_other)), len(heard(to_one)), len(heard(to_one))] == [10, 20, len(SAID)]


def test_the_same_seed_gives_the_same_cuts() -> None:
    first, again, another = (Cuts.seeded(seed, 50, most_bytes=5000) for seed in (1, 1, 2))
    assert [first.take() for _ in range(50)] == [again.take() for _ in range(50)]
    assert again.take() is None
    other = [another.take() for _ in range(50)]
    assert {cut.way for cut in other if cut} == {Way.RESET, Way.CLOSE}
    assert all(1 <= cut.after_bytes <= 5000 for cut in other if cut)
