"""Finds out whether a served agent calls anybody whom nobody asked it to call: its framework's makers, for one."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator

__all__ = ["calling_nobody"]


@contextlib.contextmanager
def calling_nobody() -> Iterator[dict[str, str]]:
    """Gives the variables of a process whose way to the world is a proxy here, and asserts that it was never taken."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
        names = [f"{kind}_proxy" for kind in ("http", "https", "all")]
        variables = dict.fromkeys([*names, *map(str.upper, names)], proxy)
        yield {**variables, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        assert not select.select([listener], [], [], 0)[0], "The agent has called somebody."
