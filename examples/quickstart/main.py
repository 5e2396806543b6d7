"""An agent to start from: plain functions, and generators whose words arrive one by one.

There is no model behind it. To use one, let `generate_response` ask it, or yield its tokens in place of `words_of`.
The annotations are the contract: arguments are checked against them, and the docstrings become descriptions.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from typing import Literal

WORD_DELAY_SECONDS = 0.04
"""About the pace of a language model that streams."""


def chat_agent(message: str) -> str:
    """Answers a message, all at once."""
    return generate_response(message)


def chat_agent_stream(message: str) -> Iterator[str]:
    """Answers a message, word by word."""
    for word in words_of(generate_response(message)):
        yield word
        time.sleep(WORD_DELAY_SECONDS)


def chat_stream(message: str, user_id: str = "anonymous") -> Iterator[str]:
    """Greets the user by name, then answers the message word by word."""
    yield f"Hello {user_id}! You said: {message}\n"
    yield "Let me think about that...\n"
    yield from chat_agent_stream(message)
    yield "\n"


async def story_stream(prompt: str) -> AsyncIterator[str]:
    """Tells a short story about what the prompt asks for."""
    # An async generator: while it waits, the server's event loop serves others.
    hero = prompt.partition(" about ")[2].strip(" .!?") or "a robot"
    story = (
        f"Once there was {hero}, alone in a quiet workshop. One morning a message came in, and then a second one. "
        f"Nobody had ever written to {hero} before. The answer went out word by word, "
        "and somewhere a stranger read it and smiled. The end.\n"
    )
    for word in words_of(story):
        yield word
        await asyncio.sleep(WORD_DELAY_SECONDS)


def explain_stream(query: str, detail_level: Literal["beginner", "expert"] = "beginner") -> Iterator[str]:
    """Explains a subject in numbered steps: three for a beginner, five for an expert."""
    subject = query.removeprefix("Explain ").strip(" .!?") or "nothing in particular"
    steps = [
        f"Say in one sentence what {subject} is for.",
        "Take the smallest example that still shows it.",
        "Change one thing, and watch what happens.",
    ]
    if detail_level == "expert":
        steps += [f"Find where {subject} breaks down.", "Read what those who built it regret."]
    yield f"How to understand {subject} ({detail_level}):\n"
    for number, step in enumerate(steps, start=1):
        for word in words_of(f"{number}. {step}\n"):
            yield word
            time.sleep(WORD_DELAY_SECONDS)


def generate_response(message: str) -> str:
    """Makes up an answer; the same message always gets the same one."""
    words = message.split()
    if not words:
        return "You sent no words. Say something, and I will answer it."
    if message.rstrip().endswith("?"):
        return f"Good question. I have no model to ask, but I can count: it took you {len(words)} words to put it."
    return f"I see. You told me {len(words)} words, and I find {max(words, key=len)!r} the longest of them."


def words_of(text: str) -> list[str]:
    """Splits a text into words that keep the space after them, so that joining them gives the text again."""
    return re.findall(r"\S+\s*", text)
