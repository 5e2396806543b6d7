"""A served agent as an operator sees it: a process that can be told to stop, killed, and started again where it was."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.cli.commands import Cli, ServeProcess
from tests.ports import lasting_port

__all__ = ["AGENT", "AGENT_ID", "Site", "serving"]

AGENT = Path(__file__).parent / "agents" / "ledger"
AGENT_ID = "ledger"


class Site:
    """The agent `ledger`, served by `runagent serve`, always on the same ports."""

    def __init__(self, folder: Path, options: tuple[str, ...], stack: ExitStack) -> None:
        self.agent = folder / "agent"
        """The agent's own folder, which may be edited."""
        shutil.copytree(AGENT, self.agent)
        self._ledger = folder / "ledger"
        self._ledger.touch()
        self._options = options
        self._cli = Cli(folder / "home", LEDGER=str(self._ledger))
        self._stack = stack
        self.http_port, self.grpc_port = lasting_port(), lasting_port()
        self.start()

    @property
    def database(self) -> Path:
        """The file that the history is in."""
        return self._cli.home / "cache" / "runagent_local.db"

    @property
    def lines(self) -> list[str]:
        """What the entrypoints have written down."""
        return self._ledger.read_text().splitlines()

    @property
    def runs(self) -> Counter[str]:
        """How often each piece of work was begun, by its name."""
        return Counter(line for line in self.lines if " " not in line)

    def tell(self, number: signal.Signals) -> None:
        """Sends the server a signal."""
        self.server.process.send_signal(number)

    def start(self) -> None:
        """Starts the server on its ports; the one before must have ended."""
        self.server = self._started(self.http_port, self.grpc_port)

    def start_another(self) -> tuple[int, int]:
        """Starts a second server of the agent on the same history. Returns its ports: that of HTTP, and of gRPC."""
        http_port, grpc_port = lasting_port(), lasting_port()
        self._started(http_port, grpc_port, "--another")
        return http_port, grpc_port

    def _started(self, http_port: int, grpc_port: int, *options: str) -> ServeProcess:
        ports = ("--port", str(http_port), "--grpc-port", str(grpc_port))
        process = self._stack.enter_context(
            self._cli.started("serve", str(self.agent), *ports, *self._options, *options, stdout=subprocess.DEVNULL)
        )
        server = ServeProcess(process)
        server.wait_for("Press Ctrl-C to stop.")
        return server

    def restart(self) -> None:
        """Ends the server as an operator does, and starts it again."""
        self.tell(signal.SIGTERM)
        assert self.server.wait() == 0, self.server.err
        self.start()

    def kill(self) -> None:
        """Ends the server as nothing else does."""
        self.tell(signal.SIGKILL)
        self.server.wait()


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Site]:
    """Serves the agent `ledger` from a folder of its own, with these options of `runagent serve`."""
    with ExitStack() as stack:
        yield Site(folder, options, stack)
