"""Stories: what the model is given to go on with, and where a story ends."""

from __future__ import annotations

import random
from collections.abc import Generator
from contextlib import closing
from typing import Annotated

from pydantic import Field

from runagent_grpc import current_invocation

from .model import Model, Sampling
from .prose import as_prose

_OPENING = (
    "Once upon a time a little robot lived in a lighthouse by the sea. Every evening it lit the lamp, and every "
    "morning it put the lamp out. One night there was a knock at the door."
)

# A base model follows no instructions, it goes on with what it sees: a book in which one story is over, short and
# plainly told, and the next begins. All of it is read before the first word is written, so it is no longer than that.
_BOOK = """Fairy tales, told by the fire.

Once there was a fox who was afraid of the dark. One night the owl came and said, "Come out, little fox." The fox \
crept out and saw the sky. "Those are lamps," said the owl. "Nobody ever put them out." And the fox was never afraid \
again.

* * *

"""
_NEXT_STORY = "\n*"

Opening = Annotated[str, Field(min_length=1, max_length=1_000)]
TokenCount = Annotated[int, Field(ge=1, le=1_000)]
Temperature = Annotated[float, Field(ge=0, le=2)]
Seed = Annotated[int, Field(ge=0, lt=2**32 - 1)]


class Teller:
    """Goes on with stories."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def story_stream(
        self,
        prompt: Opening = _OPENING,
        max_tokens: TokenCount = 200,
        temperature: Temperature = 0.7,
        seed: Seed | None = None,
    ) -> Generator[str, None, None]:
        """Goes on with the story that `prompt` begins, in pieces of a word or less.

        It ends within `max_tokens`, at the end of a sentence where it can. The higher the `temperature`, the stranger
        it gets; at 0 the likeliest word is always next. The same `seed` tells the same story.
        """
        if seed is None:
            seed = random.randrange(2**32 - 1)  # noqa: S311 - nothing secret
        sampling = Sampling(max_tokens=max_tokens, temperature=temperature, seed=seed)
        current = current_invocation()
        with closing(
            # A space at the end would be taken for half of the next word.
            self._model.complete(
                _BOOK + prompt.strip(), sampling, stop=(_NEXT_STORY,), cancelled=lambda: current.cancelled
            )
        ) as pieces:
            yield from as_prose(pieces, most=max_tokens)

    def story(
        self,
        prompt: Opening = _OPENING,
        max_tokens: TokenCount = 200,
        temperature: Temperature = 0.7,
        seed: Seed | None = None,
    ) -> str:
        """Goes on with the story that `prompt` begins, and returns all of what `story_stream` streams."""
        return "".join(self.story_stream(prompt, max_tokens, temperature, seed))
