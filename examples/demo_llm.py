"""`make demo-llm`: serves examples/storyteller, and streams a story that a language model makes up on the CPU.

Says when the first of it came, counted from when the command was given, and fails where that took too long. Needs no
network, for what it runs on was installed before. Leaves nothing behind, as the other demo.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from examples.demo import RUNAGENT, DemoFailedError, serving, show

__all__ = ["PROMISED_SECONDS", "Streamed", "stream"]

PROMISED_SECONDS = 3.0
"""How long the first piece of a story may take."""

_NOTICE = "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms"
_OPENING = "A little robot lived in a lighthouse. One night there was a knock at the door."
_STREAM = ("run-stream", "--id", "storyteller", "--local", "--tag", "story_stream", "--seed=6")


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """How a command that streams went."""

    code: int
    first_piece: float | None
    """How many seconds after the command was given its output began. None where there was none."""


def main() -> int:
    """Runs the demo. Returns the exit code of `runagent run-stream`, or 1 for a story that began too late."""
    sys.stderr.write(f"A story by Gemma 3 270M, a very small language model.\n{_NOTICE}.\n")
    with serving("storyteller") as environment:
        show(f'runagent {" ".join(_STREAM)} \\\n    --prompt="{_OPENING}"')
        streamed = stream([str(RUNAGENT), *_STREAM, f"--prompt={_OPENING}"], environment)
        if streamed.code:
            return streamed.code
        show("runagent db logs")
        subprocess.run([RUNAGENT, "db", "logs"], env=environment, check=True)
    if streamed.first_piece is None:
        sys.stderr.write("\nThere was no story.\n")
        return 1
    promise = f"promised are {PROMISED_SECONDS:g} s"
    sys.stderr.write(f"\nThe story began {streamed.first_piece:.2f} s after the command was given; {promise}.\n")
    return 0 if streamed.first_piece < PROMISED_SECONDS else 1


def stream(command: Sequence[str], environment: dict[str, str]) -> Streamed:
    """Runs a command, passes on its output as it comes, and takes its time."""
    given = time.monotonic()
    first_piece = None
    # What it says of itself comes behind its output, not into the middle of a line.
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        while piece := os.read(running.stdout.fileno(), 4096):
            first_piece = time.monotonic() - given if first_piece is None else first_piece
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
        sys.stderr.write("\n" + running.stderr.read().decode())
    return Streamed(code=running.returncode, first_piece=first_piece)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DemoFailedError:
        sys.exit(1)
