"""Which names say that what stands under them is a secret: of members, parameters, variables and options in addresses.

The one vocabulary, for masking what is recorded and for warning of what a configuration holds. It knows names, and
nothing of how a secret itself looks.
"""

from __future__ import annotations

import itertools
import re

__all__ = ["PARTS", "SECRET_PARAMETERS", "is_secret_name", "names_public", "names_secret_variable"]

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

_WORDS = frozenset(
    {
        "apikey",
        "credential",
        "credentials",
        "passcode",
        "passphrase",
        "passwd",
        "password",
        "passwords",
        "pwd",
        "secret",
        "secrets",
    }
)
"""Words that name a secret wherever they stand in a name."""

_HEADER_WORDS = frozenset({"authorization", "bearer", "cookie", "cookies"})
"""So do these among data. As a variable of the environment they may as well name a way: `AUTHORIZATION=none`."""

_LAST_WORDS = frozenset({"accesstoken", "authtoken", "jwt", "token"})
"""Words that do so at the end of a name: `max_tokens` and `token_count` are numbers that people want to read."""

_LAST_WORDS_OF_TEXT = frozenset({"pass", "session"})
"""Words that do so at the end of a name, over a text: `{"pass": 12, "fail": 0}` and a session's members are none."""

_PURPOSES = frozenset({"access", "api", "auth", "encryption", "private", "secret", "signing"})

_SERVICES = frozenset(
    {
        "anthropic",
        "assemblyai",
        "aws",
        "azure",
        "cerebras",
        "cohere",
        "composio",
        "datadog",
        "deepgram",
        "deepseek",
        "elevenlabs",
        "exa",
        "firecrawl",
        "fireworks",
        "gemini",
        "github",
        "google",
        "groq",
        "huggingface",
        "langchain",
        "langfuse",
        "langsmith",
        "mistral",
        "openai",
        "openrouter",
        "perplexity",
        "pinecone",
        "replicate",
        "sendgrid",
        "serpapi",
        "serper",
        "stripe",
        "tavily",
        "twilio",
        "voyage",
        "xai",
    }
)

_OF_KEYS = _PURPOSES | _SERVICES
"""What makes a word "key" after it a secret one. A primary key, or one of a cache, is none."""

_PUBLIC_WORDS = frozenset({"anon", "public", "publishable"})
"""Words of keys that are made to be shown."""

PARTS = ("key", "token", "secret", "pass", "pwd", "auth", "bearer", "cookie", "credential", "jwt", "session")
"""Each name of a secret among data has one of these in it, whatever its case."""

SECRET_PARAMETERS = frozenset(
    {
        "access_token",
        "api_key",
        "api-key",
        "apikey",
        "auth_token",
        "client_secret",
        "jwt",
        "key",
        "pass",
        "password",
        "secret",
        "token",
    }
)
"""Options in an address's query that are credentials, in lower case."""


def is_secret_name(name: str, value: object = "") -> bool:
    """Whether a value under this name among data is a secret: `password`, `openaiKey`, `ACCESS_TOKEN`."""
    words = _words_of(name)
    if not words:
        return False
    return (
        not (_WORDS | _HEADER_WORDS).isdisjoint(words)
        or words[-1] in _LAST_WORDS
        or (words[-1] in _LAST_WORDS_OF_TEXT and isinstance(value, str))
        or any(before in _OF_KEYS and word in ("key", "keys") for before, word in itertools.pairwise(words))
    )


def names_secret_variable(name: str) -> bool:
    """Whether a variable of the environment is meant for a secret. Any key is one there, unless it is public."""
    *_, last = ("", *_words_of(name))
    return (last in _WORDS or last in _LAST_WORDS or last in ("key", "pass")) and not names_public(name)


def names_public(name: str) -> bool:
    """Whether a name is that of a key which is made to be shown."""
    return not _PUBLIC_WORDS.isdisjoint(_words_of(name))


def _words_of(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]
