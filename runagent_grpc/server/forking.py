"""What a child that the author's code forks must not inherit from the serving process.

`multiprocessing` and `os.fork` copy the process as it is. With asyncio's handlers and wake-up descriptor in the child,
a signal for the child stops the server; with its sockets, a child that lives on keeps the server's ports, and its
connections open.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from runagent_grpc.server.stop_signals import STOP_SIGNALS

__all__ = ["keeping_from_children"]

Handler = Callable[[int, FrameType | None], Any] | int | None


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is kept from children."""

    handlers: dict[signal.Signals, Handler]
    ports: Callable[[], frozenset[int]]


# What is registered for forks stays registered as long as the process lives: so there is one of it, for all loops.
_kept: list[_Kept] = []
_forking = threading.local()


@contextlib.contextmanager
def keeping_from_children(ports: Callable[[], frozenset[int]]) -> Iterator[None]:
    """Keeps the handlers of STOP_SIGNALS that are set now, and the TCP sockets of these ports, from children.

    Holds until the block ends. `ports`, which are local ones, are asked for in the child, which gets Python's own
    handlers.
    """
    if sys.platform == "win32":
        yield
        return
    _register()
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    # A signal that is ignored stays so in children, as `nohup` means it.
    kept = _Kept({number: handler for number, handler in handlers.items() if callable(handler)}, ports)
    _kept.append(kept)
    try:
        yield
    finally:
        # Nothing is there in a child that left the block.
        with contextlib.suppress(ValueError):
            _kept.remove(kept)


if sys.platform != "win32":

    def _register() -> None:
        if not _registered:
            os.register_at_fork(
                before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
            )
            _registered.append(True)

    def _before_fork() -> None:
        # A child that is terminated at once would have our handlers still. Of the thread that forks alone: another one
        # takes the signals of the process meanwhile.
        _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)

    def _after_fork_in_parent() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)

    def _after_fork_in_child() -> None:
        ours = [number for kept in _kept for number, handler in kept.handlers.items() if _handles(number, handler)]
        try:
            if _kept:
                signal.set_wakeup_fd(-1)
            for number in ours:
                signal.signal(number, signal.SIG_DFL)
            for kept in _kept:
                _let_go_of_sockets(kept.ports())
            # What this child forks in turn inherits nothing.
            _kept.clear()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)
        # Last, for an exception is lost here: an interrupt that is there already has ended the child.
        if signal.SIGINT in ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


_registered: list[bool] = []


def _handles(number: signal.Signals, handler: Handler) -> bool:
    """Whether the handler is there still: one that the author has set since is the author's to keep."""
    return signal.getsignal(number) is handler


def _let_go_of_sockets(ports: frozenset[int]) -> None:
    """Lets go of the sockets that listen on a port, and of the connections that they have accepted.

    gRPC hands out no descriptor, so that all of the process are looked at. Their numbers stay taken: the objects that
    hold them live on, and would close, or take out of an epoll set that is shared, what had got the number next.
    """
    sockets = list(_tcp_sockets())
    ours = {address for _, address, listens in sockets if listens and address[1] in ports}
    everywhere = {port for host, port in ours if host in _WILDCARDS}
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for number, address, _ in sockets:
        if address in ours or address[1] in everywhere:
            os.dup2(null, number, inheritable=False)
    os.close(null)


def _tcp_sockets() -> Iterator[tuple[int, tuple[str, int], bool]]:
    """Yields the descriptor, the local address, and whether it listens, of each TCP socket of the process."""
    for number in _descriptors():
        try:
            found = socket.socket(fileno=number)
        except OSError:
            continue
        try:
            if found.family in (socket.AF_INET, socket.AF_INET6) and found.type is socket.SOCK_STREAM:
                host, port = found.getsockname()[:2]
                yield number, (host, port), bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        except OSError:
            continue
        finally:
            found.detach()


def _descriptors() -> list[int]:
    for folder in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return [int(name) for name in os.listdir(folder)]
    return []


_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound
