"""Stories: what the model is given to go on with, and where a story ends."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing

from .model import Model, Sampling
from .prose import as_prose

DEFAULT_OPENING = (
    "Once upon a time a little robot lived in a lighthouse by the sea. Every evening it lit the lamp, and every "
    "morning it put the lamp out. One night there was a knock at the door."
)

# A base model follows no instructions, it goes on with what it sees: a book in which one story is over, short and
# plainly told, and the next begins.
_BOOK = """An old book of fairy tales, told to children by the fire.

Once there was a fox who was afraid of the dark. Every night he hid in his den and listened to the wind. Then the owl \
came and said, "Come out, little fox, and I will show you something." The fox crept out, trembling, and saw the whole \
sky shining above him. "Those are lamps," said the owl. "Nobody ever put them out." From that night on the fox was \
never afraid again.

* * *

"""
_NEXT_STORY = "\n*"


def tell(
    model: Model, opening: str, cancelled: Callable[[], bool], *, max_tokens: int, temperature: float, seed: int | None
) -> Generator[str, None, None]:
    """Yields what follows `opening`, until the story is over or `max_tokens` are told."""
    sampling = Sampling(max_tokens=max_tokens, temperature=temperature, seed=seed)
    prompt = prompt_for(opening)
    with closing(model.complete(prompt, sampling, stop=(_NEXT_STORY,), cancelled=cancelled)) as pieces:
        yield from as_prose(pieces, most=max_tokens)


def prompt_for(opening: str) -> str:
    """Returns the text that the model goes on with."""
    # A space at the end would be taken for the first half of a word, and is hardly ever followed by a good one.
    return _BOOK + opening.strip()
