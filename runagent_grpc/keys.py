"""The API keys that a server takes, and who each belongs to."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from pathlib import Path

__all__ = ["ApiKeys"]

_URL_SAFE = re.compile(r"[A-Za-z0-9._~-]+")


class ApiKeys:
    """A set of keys. Holds their digests only, so that no key reaches a log or a traceback. Falsy when empty."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        """Takes URL-safe keys, for published clients put them into URLs unescaped. Raises ValueError for others."""
        digests = set()
        for number, key in enumerate(keys, start=1):
            if not _URL_SAFE.fullmatch(key):
                raise ValueError(f"API key number {number} may hold only letters, digits and the characters `._~-`.")
            digests.add(_digest(key))
        self._digests = sorted(digests)

    @classmethod
    def parse(cls, text: str) -> ApiKeys:
        """Reads one key a line, or several with commas between; empty lines and `#` comments do not count."""
        lines = (line.partition("#")[0] for line in text.splitlines())
        return cls(key.strip() for line in lines for key in line.split(",") if key.strip())

    @classmethod
    def read(cls, path: Path) -> ApiKeys:
        """Reads a file of keys. Raises OSError where there is none, and ValueError for one without keys."""
        keys = cls.parse(path.read_text(encoding="utf-8"))
        if not keys:
            raise ValueError(f"{path.name} holds no API key; it takes one a line.")
        return keys

    def __bool__(self) -> bool:
        return bool(self._digests)

    def __or__(self, other: ApiKeys) -> ApiKeys:
        both = ApiKeys()
        both._digests = sorted({*self._digests, *other._digests})
        return both

    def owner_of(self, key: str) -> str | None:
        """Returns the name under which a key's invocations run, or None for a key that is not one of these.

        Takes the same time whatever the key, so that a wrong one cannot be told from a nearly right one.
        """
        digest = _digest(key)
        known = False
        for candidate in self._digests:
            known |= hmac.compare_digest(digest, candidate)
        return digest[:16] if known else None


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
