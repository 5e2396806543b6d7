"""Who calls, as an authenticator found out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["ANYONE", "Authenticator", "Principal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The caller of one call. Who starts an invocation owns it; others do not learn that it exists."""

    subject: str = ""
    """A stable name for the caller, never its key. Empty on a server that asks nobody for a key."""
    tenant: str = ""
    """Whose data the caller may see. Empty where there are no tenants."""
    scopes: frozenset[str] = frozenset({"*"})
    """What the caller may do; `*` is everything."""


ANYONE = Principal()
"""The caller of a server that asks for no key."""


class Authenticator(Protocol):
    """Turns a credential into a principal. Transports find the credential, and say how to send one."""

    @property
    def required(self) -> bool:
        """Whether a call without a credential is refused."""

    async def authenticate(self, credential: str) -> Principal | None:
        """Returns the principal of a credential; None for an unknown one. An empty one means that none was sent."""
