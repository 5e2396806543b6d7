"""The API keys that a server takes, and who each belongs to."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import shlex
import stat
from collections.abc import Iterable
from pathlib import Path

from runagent_grpc.core.principal import ANYONE, Principal

__all__ = ["MIN_KEY_LENGTH", "ApiKeys"]

MIN_KEY_LENGTH = 12
"""How short a key may be. The file of history holds the beginning of a digest, from which a shorter key is found."""

_URL_SAFE = re.compile(r"[A-Za-z0-9._~-]*")
_COMMENT = re.compile(r"(?:^|(?<=[\s,]))#")


class ApiKeys:
    """A set of keys. Holds their digests only, so that no key reaches a log or a traceback. Falsy when empty."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        """Takes keys of at least 12 URL-safe characters, as published clients put them into URLs unescaped.

        Raises ValueError for others.
        """
        digests = set()
        for number, key in enumerate(keys, start=1):
            if not _URL_SAFE.fullmatch(key):
                comment = " Put a space before the `#` of a comment." if "#" in key else ""
                raise ValueError(
                    f"API key number {number} may hold only letters, digits and the characters `._~-`.{comment}"
                )
            if len(key) < MIN_KEY_LENGTH:
                raise ValueError(
                    f"API key number {number} is shorter than {MIN_KEY_LENGTH} characters and can be guessed. "
                    "Make one with `openssl rand -hex 32`."
                )
            digests.add(_digest(key))
        self._digests = sorted(digests)

    @classmethod
    def parse(cls, text: str) -> ApiKeys:
        """Reads one key a line, or several with commas between; empty lines do not count.

        A `#` at the start of a line, or after a space or a comma, begins a comment; within a key it is refused.
        """
        lines = (_COMMENT.split(line, maxsplit=1)[0] for line in text.splitlines())
        return cls(key.strip() for line in lines for key in line.split(",") if key.strip())

    @classmethod
    def read(cls, path: Path) -> ApiKeys:
        """Reads a file of keys.

        Raises OSError where there is none, and ValueError for one without keys, and for one that other users can read
        or change.
        """
        with path.open(encoding="utf-8") as file:
            _check_owner_only(os.fstat(file.fileno()), path.name)
            keys = cls.parse(file.read())
        if not keys:
            raise ValueError(f"{path.name} holds no API key; it takes one a line.")
        return keys

    def __bool__(self) -> bool:
        return bool(self._digests)

    def __or__(self, other: ApiKeys) -> ApiKeys:
        both = ApiKeys()
        both._digests = sorted({*self._digests, *other._digests})
        return both

    @property
    def required(self) -> bool:
        """Whether there are keys to ask for."""
        return bool(self)

    async def authenticate(self, credential: str) -> Principal | None:
        """Returns the principal of a key, or None for a key that is not one of these; anyone's, where there are none.

        The subject is the beginning of the key's digest.
        """
        if not self:
            return ANYONE
        subject = self.subject_of(credential)
        return None if subject is None else Principal(subject=subject)

    def subject_of(self, key: str) -> str | None:
        """Returns the name under which a key's invocations run, or None for a key that is not one of these.

        Takes the same time whatever the key, so that a wrong one cannot be told from a nearly right one.
        """
        digest = _digest(key)
        known = False
        for candidate in self._digests:
            known |= hmac.compare_digest(digest, candidate)
        return digest[:16] if known else None


def _check_owner_only(info: os.stat_result, name: str) -> None:
    """Raises ValueError for a file whose keys other users can read or replace. A pipe is read by this process alone."""
    if not hasattr(os, "geteuid") or not stat.S_ISREG(info.st_mode):
        return
    if info.st_uid not in (0, os.geteuid()):
        raise ValueError("it belongs to another user. Copy its keys into a file of this user's own.")
    # A group whose id is the user's is the user's own.
    others = stat.S_IRWXO | (0 if info.st_gid == os.geteuid() else stat.S_IRWXG)
    if info.st_mode & others & ~stat.S_IXOTH & ~stat.S_IXGRP:
        raise ValueError(f"other users can read or change it. Run `chmod 600 {shlex.quote(name)}`.")


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
