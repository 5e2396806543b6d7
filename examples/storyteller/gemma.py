"""Gemma 3 270M by llama.cpp, in this process: one text at a time, token by token, off Python's interpreter lock."""

from __future__ import annotations

import logging
import os
import queue
import secrets
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import xllamacpp

from .model import Sampling

CONTEXT_TOKENS = 2_048
"""How long a prompt and what follows it may be together."""
BATCH_TOKENS = 128
"""How much of a prompt is read at a time. Between two of these it can be left, after about a second at most."""
POLL_SECONDS = 0.05
"""How often somebody who waits is asked whether they still want to."""

logger = logging.getLogger(__name__)


class Gemma:
    """A `Model`: llama.cpp, with the weights of a GGUF file.

    Texts are written one after the other. Two at once would each take twice as long on a CPU, and what a seed tells
    would depend on what else is being told.
    """

    def __init__(self, weights: Path) -> None:
        """Loads the weights, in about a second. Raises RuntimeError where they cannot be."""
        try:
            self._server = xllamacpp.Server(_parameters(weights))
        except RuntimeError as error:
            raise RuntimeError(f"llama.cpp cannot load {weights}. Is it a whole GGUF file?") from error
        self._turn = threading.Lock()

    def complete(
        self, prompt: str, sampling: Sampling, *, stop: tuple[str, ...], cancelled: Callable[[], bool]
    ) -> Generator[str, None, None]:
        """Is `Model.complete`. Raises ValueError for a prompt that is too long."""
        while not self._turn.acquire(timeout=POLL_SECONDS):
            if cancelled():
                return
        try:
            yield from self._write(_request(prompt, sampling, stop), cancelled)
        finally:
            self._turn.release()

    def _write(self, request: dict[str, Any], cancelled: Callable[[], bool]) -> Generator[str, None, None]:
        chunks: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        unwanted = threading.Event()

        def take(chunk: dict[str, Any]) -> bool:
            """Is called for each token, and for each part of the prompt. What it returns says whether to stop."""
            chunks.put(chunk)
            return unwanted.is_set()

        def write() -> None:
            try:
                self._server.handle_completions(request, take)
            finally:
                chunks.put(None)

        # llama.cpp hands over its tokens by calling us, a generator is asked for them: hence a thread. No daemon, for
        # a process must not end in the middle of a call that comes back into Python.
        thread = threading.Thread(target=write, name="storyteller-writes")
        pace = _Pace()
        thread.start()
        try:
            while (chunk := _next_of(chunks, cancelled)) is not None:
                if text := _text_of(chunk):
                    pace.count()
                    yield text
        finally:
            unwanted.set()
            # The next token is the last: whoever closes this leaves an idle CPU behind.
            thread.join()
            logger.info("%s, seed %s", pace, request.get("seed", "none"))


class _Pace:
    """How fast tokens came. As text it is what to log of it."""

    def __init__(self) -> None:
        self._tokens = 0
        self._started = self._first = self._last = time.monotonic()

    def count(self) -> None:
        self._last = time.monotonic()
        if not self._tokens:
            self._first = self._last
        self._tokens += 1

    def __str__(self) -> str:
        if self._tokens < 2:
            return f"{self._tokens} tokens"
        rate = (self._tokens - 1) / (self._last - self._first)
        return f"{self._tokens} tokens, {rate:.0f} a second, the first after {self._first - self._started:.2f} s"


def _parameters(weights: Path) -> xllamacpp.CommonParams:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights)
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_parallel = 1
    parameters.n_batch = parameters.n_ubatch = BATCH_TOKENS
    for cpu in (parameters.cpuparams, parameters.cpuparams_batch):
        cpu.n_threads = _threads()
        cpu.poll = 0
    # A conversation that goes on is not read anew; this is all that is kept for that.
    parameters.cache_ram_mib = 64
    # There is nothing to fit: this takes 400 MB, and needs no graphics card.
    parameters.fit_params = False
    parameters.offline = True
    parameters.verbosity = 0
    _close_door(parameters)
    return parameters


def _threads() -> int:
    """Returns how many threads compute: one core is left to the server.

    They wait for each other at every layer, so that as many as there are cores are slower than one by far, where
    anybody else wants a core, too.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(4, cores - 1))


def _close_door(parameters: xllamacpp.CommonParams) -> None:
    """Has nobody come in by the HTTP port that llama.cpp opens, asked or not.

    It is loopback's, and answers those who have a key that nobody gets.
    """
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.api_keys = [secrets.token_urlsafe()]
    parameters.cors_origins = ""
    parameters.n_threads_http = 1
    parameters.ui = False
    parameters.endpoint_slots = False


def _request(prompt: str, sampling: Sampling, stop: tuple[str, ...]) -> dict[str, Any]:
    """Returns a request as llama.cpp's own server takes it."""
    request: dict[str, Any] = {
        "prompt": prompt,
        "stream": True,
        "return_progress": True,
        "stop": list(stop),
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": 1.0,
        "min_p": sampling.min_p,
        "repeat_penalty": sampling.repeat_penalty,
        "repeat_last_n": sampling.repeat_last,
        # A token that announces a picture, which this model cannot draw.
        "logit_bias": [["<start_of_image>", False]],
        # A prompt that is partly known is computed in other portions, whose last bits differ, and with them, sooner
        # or later, a word: nothing is taken from the cache where a seed is to be kept to.
        "cache_prompt": sampling.seed is None,
    }
    if sampling.seed is not None:
        request["seed"] = sampling.seed
    return request


def _next_of(chunks: queue.SimpleQueue[dict[str, Any] | None], cancelled: Callable[[], bool]) -> dict[str, Any] | None:
    """Returns the next chunk; None where there is none any more, or none is wanted."""
    while not cancelled():
        try:
            return chunks.get(timeout=POLL_SECONDS)
        except queue.Empty:
            continue
    return None


def _text_of(chunk: dict[str, Any]) -> str:
    if "choices" not in chunk:
        error = chunk.get("error", chunk)
        if error.get("type") == "exceed_context_size_error":
            raise ValueError(
                f"The text is too long: {error['n_prompt_tokens']} tokens of {error['n_ctx']}. Shorten it."
            )
        raise RuntimeError(f"llama.cpp refuses: {error.get('message', error)}")
    text: str = chunk["choices"][0]["text"]
    return text
