"""Answers in the place of a model, inside this process."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from crewai.llms.base_llm import BaseLLM, llm_call_context

__all__ = ["StandIn"]


def words(prompt: str) -> Iterator[str]:
    """Gives an answer word by word, as slowly as one can read along."""
    for word in f"You said: {prompt}".split():
        yield f"{word} "
        time.sleep(0.05)


class StandIn(BaseLLM):
    """The model to give to an `Agent`."""

    def call(self, messages: Any, *_: Any, from_task: Any = None, from_agent: Any = None, **__: Any) -> str:
        answer = ""
        with llm_call_context(), closing(words(_asked_in(messages))) as said:
            for word in said:
                answer += word
                self._emit_stream_chunk_event(chunk=word, from_task=from_task, from_agent=from_agent)
        return answer

    def get_input_tokens_count(self, *_: Any, **__: Any) -> int:
        return 0


def _asked_in(messages: Any) -> str:
    """Returns the task, and what was done before it: the rest are CrewAI's own words."""
    text = messages if isinstance(messages, str) else messages[-1]["content"]
    return " ".join(re.findall(r"(?:Current Task: |working with:\n)(.*)", text)) or text
