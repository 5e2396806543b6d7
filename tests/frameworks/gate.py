"""The model of a served agent, in the hands of a test: it says what the test says, when the test says it."""

from __future__ import annotations

import contextlib
import json
import select
import shutil
import socket
from pathlib import Path
from types import TracebackType

__all__ = ["Gate", "let_tests_speak"]

_PATIENCE_SECONDS = 30.0


def let_tests_speak(folder: Path) -> None:
    """Changes the agent in a folder: a prompt with a gate in it is answered by the test, any other as before."""
    shutil.copy(Path(__file__).with_name("gated.py"), folder)
    with (folder / "stand_in.py").open("a") as stand_in:
        stand_in.write("\n\nfrom .gated import gated\n\nwords = gated(words)\n")


class Gate:
    """One answer of the model."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_PATIENCE_SECONDS)
        self._model: socket.socket | None = None

    def __enter__(self) -> Gate:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.close()
        if self._model:
            self._model.close()

    @property
    def prompt(self) -> str:
        """What to ask the model, so that it comes here for its answer."""
        return f"gate:{self._listener.getsockname()[1]}"

    def say(self, word: str) -> None:
        """Says the next piece of the answer, once the model is asked."""
        self._send({"word": word})

    def fail(self, text: str) -> None:
        """Makes the model raise a RuntimeError with this text."""
        self._send({"failure": text})

    def end(self) -> None:
        """Ends the answer."""
        self._asked().shutdown(socket.SHUT_WR)

    @property
    def is_asked(self) -> bool:
        """Whether the model has come for its answer."""
        return self._model is not None or bool(select.select([self._listener], [], [], 0)[0])

    def wait_until_left(self) -> None:
        """Waits until the model has stopped listening, whether it came to its end or was stopped."""
        with contextlib.suppress(ConnectionError):
            assert self._asked().recv(1) == b""

    def _send(self, said: dict[str, str]) -> None:
        self._asked().sendall(json.dumps(said).encode() + b"\n")

    def _asked(self) -> socket.socket:
        if self._model is None:
            self._model, _ = self._listener.accept()
            self._model.settimeout(_PATIENCE_SECONDS)
        return self._model
