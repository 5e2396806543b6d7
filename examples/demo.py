"""`make demo`: serves examples/data_report, and streams its report on a file, with the commands that anyone would type.

Leaves nothing behind: the address book is in a folder of its own, and the server ends with the demo.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["EXAMPLES", "RUNAGENT", "DemoFailedError", "serving", "show"]

EXAMPLES = Path(__file__).parent
RUNAGENT = Path(sys.executable).with_name("runagent")
_READY = "Press Ctrl-C to stop"


class DemoFailedError(Exception):
    """The server ended before it was ready. Why is what it said."""


def main() -> int:
    """Runs the demo. Returns the exit code of `runagent run-stream`."""
    with serving("data_report") as environment:
        tag, path = "report_stream", "examples/data_report/deliveries.csv"
        show(f"runagent run-stream --id data-report --local --tag {tag} --path={path} --pace=0.2")
        command = ["run-stream", "--id", "data-report", "--local", "--tag", tag, "--pace=0.2"]
        file = EXAMPLES / "data_report" / "deliveries.csv"
        return subprocess.run([RUNAGENT, *command, f"--path={file}"], env=environment, check=False).returncode


@contextmanager
def serving(folder: str) -> Iterator[dict[str, str]]:
    """Serves an example's folder, and yields the environment that commands find it in.

    What the server says until it is ready goes to standard error. Raises DemoFailedError where it never gets there.
    """
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "RUNAGENT_CACHE_DIR": cache}
        show(f"runagent serve examples/{folder}")
        with subprocess.Popen(
            [RUNAGENT, "serve", EXAMPLES / folder], env=environment, stderr=subprocess.PIPE, text=True
        ) as server:
            try:
                _pass_on_until_ready(server)
                yield environment
            finally:
                server.terminate()
                server.wait(timeout=60)


def show(command: str) -> None:
    """Shows a command as somebody would type it."""
    sys.stderr.write(f"\n$ {command}\n")
    sys.stderr.flush()


def _pass_on_until_ready(server: subprocess.Popen[str]) -> None:
    assert server.stderr is not None
    for line in server.stderr:
        sys.stderr.write(line)
        if _READY in line:
            return
    raise DemoFailedError


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DemoFailedError:
        sys.exit(1)
