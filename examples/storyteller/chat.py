"""Chat: a conversation, as a transcript that the model goes on with."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Annotated

from pydantic import Field

from runagent_grpc import current_invocation

from .memory import Memory, Turn
from .model import Model, Sampling
from .prose import as_prose

_SAMPLING = Sampling(max_tokens=80, temperature=0.6)
_TRANSCRIPT = """Every evening a visitor comes to the lighthouse and talks with Wren, who keeps the lamp. Wren is kind \
and curious, and answers in one or two short sentences.

Visitor: Good evening!
Wren: Good evening! Come in, the kettle is on.
Visitor: How long have you lived here?
Wren: Eleven winters now. I came for one summer and never left.
"""

Message = Annotated[str, Field(min_length=1, max_length=500)]


class Keeper:
    """Wren, who keeps a lighthouse, talks with whoever comes, and remembers those who want to be remembered."""

    def __init__(self, model: Model, memory: Memory | None = None) -> None:
        self._model = model
        self._memory = memory or Memory()

    def chat_stream(self, message: Message) -> Generator[str, None, None]:
        """Answers `message`, as the keeper of a lighthouse would.

        The last few turns are remembered by the call's `user_id`, where the call allows it by `persistent_memory`, and
        until the server ends.
        """
        current = current_invocation()
        visitor = current.user_id if current.persistent_memory else ""
        transcript = _transcript(self._memory.turns_of(visitor), message)
        answer = ""
        with closing(
            # Who speaks next begins a line, so that an answer ends where its line does.
            self._model.complete(transcript, _SAMPLING, stop=("\n",), cancelled=lambda: current.cancelled)
        ) as pieces:
            for piece in as_prose(pieces, most=_SAMPLING.max_tokens):
                answer += piece
                yield piece
        # An answer that nobody heard to its end is no part of the conversation.
        if not current.cancelled:
            self._memory.keep(visitor, Turn(message=message, answer=answer))


def _transcript(turns: Sequence[Turn], message: str) -> str:
    """Returns the conversation up to where the answer to `message` begins."""
    lines = [line for turn in turns for line in (f"Visitor: {_line(turn.message)}", f"Wren: {_line(turn.answer)}")]
    return _TRANSCRIPT + "\n".join([*lines, f"Visitor: {_line(message)}", "Wren:"])


def _line(text: str) -> str:
    """Returns `text` as one line, for in another it could speak for somebody else."""
    return " ".join(text.split())
