"""An agent that goes on with a story, or chats, by a language model that runs on this machine's CPU.

Nothing here knows the model: `gemma.py` does, behind the small `Model` of `model.py`. It is loaded when this file is
imported, not at the first call: a server that says it is ready can then answer, and nobody waits for the weights.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from typing import Annotated

from pydantic import Field

from runagent_grpc import current_invocation

from .chat import Memory, Turn, reply
from .gemma import Gemma
from .stories import DEFAULT_OPENING, tell
from .weights import find_weights

_MODEL = Gemma(find_weights())
_MEMORY = Memory()

Opening = Annotated[str, Field(min_length=1, max_length=1_000)]
Message = Annotated[str, Field(min_length=1, max_length=500)]
TokenCount = Annotated[int, Field(ge=1, le=1_000)]
Temperature = Annotated[float, Field(ge=0, le=2)]
Seed = Annotated[int, Field(ge=0, lt=2**32 - 1)]


def story_stream(
    prompt: Opening = DEFAULT_OPENING,
    max_tokens: TokenCount = 200,
    temperature: Temperature = 0.7,
    seed: Seed | None = None,
) -> Generator[str, None, None]:
    """Goes on with the story that `prompt` begins, in pieces of about a word. The same `seed` tells the same story.

    `max_tokens` bounds its length; a story ends at the end of a sentence, and sooner where it is over. The higher the
    `temperature`, the stranger it gets; at 0 the likeliest word is always next.
    """
    if seed is None:
        seed = random.randrange(2**32 - 1)  # noqa: S311 - nothing secret
    yield from tell(_MODEL, prompt, _cancelled, max_tokens=max_tokens, temperature=temperature, seed=seed)


def story(
    prompt: Opening = DEFAULT_OPENING,
    max_tokens: TokenCount = 200,
    temperature: Temperature = 0.7,
    seed: Seed | None = None,
) -> str:
    """Goes on with the story that `prompt` begins: what `story_stream` streams, as one text."""
    return "".join(story_stream(prompt, max_tokens, temperature, seed))


def chat_stream(message: Message) -> Generator[str, None, None]:
    """Answers `message`, as the keeper of a lighthouse would.

    The last few turns of a conversation are remembered by the call's `user_id`, where the call allows it by
    `persistent_memory`. They are forgotten when the server ends.
    """
    current = current_invocation()
    speaker = current.user_id if current.persistent_memory else ""
    answer = ""
    for piece in reply(_MODEL, message, _MEMORY.turns_of(speaker), _cancelled):
        answer += piece
        yield piece
    # An answer that nobody heard to its end is no part of the conversation.
    if not _cancelled():
        _MEMORY.keep(speaker, Turn(message=message, answer=answer))


def _cancelled() -> bool:
    """Whether nobody waits for the text any more: cancelled, out of time, or the caller has left."""
    return current_invocation().cancelled
