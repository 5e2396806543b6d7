"""`make demo`: serves examples/data_report, and streams its report on a file, with the commands that anyone would type.

Leaves nothing behind: the address book is in a folder of its own, and the server ends with the demo.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

_EXAMPLES = Path(__file__).parent
_RUNAGENT = Path(sys.executable).with_name("runagent")
_READY = "Press Ctrl-C to stop"


def main() -> int:
    """Runs the demo. Returns the exit code of `runagent run-stream`."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "RUNAGENT_CACHE_DIR": cache}
        _show("runagent serve examples/data_report")
        with subprocess.Popen(
            [_RUNAGENT, "serve", _EXAMPLES / "data_report"], env=environment, stderr=subprocess.PIPE, text=True
        ) as server:
            try:
                if not _started(server):
                    return 1
                tag, path = "report_stream", "examples/data_report/deliveries.csv"
                _show(f"runagent run-stream --id data-report --local --tag {tag} --path={path} --pace=0.2")
                command = ["run-stream", "--id", "data-report", "--local", "--tag", tag, "--pace=0.2"]
                file = _EXAMPLES / "data_report" / "deliveries.csv"
                return subprocess.run([_RUNAGENT, *command, f"--path={file}"], env=environment, check=False).returncode
            finally:
                server.terminate()
                server.wait(timeout=60)


def _started(server: subprocess.Popen[str]) -> bool:
    """Passes on what the server says until it is ready. Returns whether it got there."""
    assert server.stderr is not None
    for line in server.stderr:
        sys.stderr.write(line)
        if _READY in line:
            return True
    return False


def _show(command: str) -> None:
    sys.stderr.write(f"\n$ {command}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
