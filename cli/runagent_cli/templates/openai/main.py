"""An agent on the OpenAI SDK.

Without OPENAI_API_KEY a stand-in answers; with it the real service does, or whatever OPENAI_BASE_URL names. Once you
have a key, `client = OpenAI()` is all there is to say, and stand_in.py can go.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

from openai import OpenAI

from .stand_in import StandIn

MODEL = os.environ.get("OPENAI_MODEL", "gpt-5-mini")

client = OpenAI() if os.environ.get("OPENAI_API_KEY") else OpenAI(api_key="none", http_client=StandIn())


def answer(message: str) -> str:
    """Answers a message."""
    completion = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": message}])
    return completion.choices[0].message.content or ""


def answer_stream(message: str) -> Iterator[str]:
    """Answers a message, piece by piece."""
    messages = [{"role": "user", "content": message}]
    with client.chat.completions.create(model=MODEL, messages=messages, stream=True) as chunks:
        for chunk in chunks:
            if chunk.choices and (text := chunk.choices[0].delta.content):
                yield text


# The SDK's own calls are entrypoints as they are, and what they return arrives field by field. Callers may then say
# whatever these calls take, the model among it.
complete = partial(client.chat.completions.create, model=MODEL)
complete_stream = partial(client.chat.completions.create, model=MODEL, stream=True)
