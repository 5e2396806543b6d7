"""What a client's options come to: what its calls carry, where its server is, and the key for it.

`resolve_config` is the one place that decides it. It takes the environment and the registry as arguments, so that it
reads no other than the caller's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from runagent_grpc.client.address import API_KEY_VARIABLE, Address, TransportName, resolve
from runagent_grpc.client.descriptions import STREAM_SUFFIX
from runagent_grpc.errors import InvalidRequestError
from runagent_grpc.local.registry import Registry

__all__ = ["CallConfig", "ClientConfig", "OnDisconnectName", "ServerOptions", "checked_text", "resolve_config"]

OnDisconnectName = Literal["cancel", "linger", "detach"]
"""What becomes of an invocation whose caller is gone: cancelled at once, cancelled unless the caller comes back within
ten seconds, or run to its end."""

# gRPC reads infinity, and numbers near it, as a deadline that has passed.
_LONGEST_TIMEOUT_SECONDS = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class CallConfig:
    """What all calls of a client have in common. Raises InvalidRequestError for a value that does not fit."""

    agent_id: str
    entrypoint_tag: str
    user_id: str
    persistent_memory: bool
    on_disconnect: OnDisconnectName
    timeout: float | None
    """Seconds that a call may take, all its tries together."""
    retry_seconds: float
    """Seconds to go on trying to reach a server that answered before."""

    def __post_init__(self) -> None:
        for name in ("agent_id", "entrypoint_tag", "user_id"):
            checked_text(name, getattr(self, name))
        if self.timeout is not None and not (_is_number(self.timeout) and 0 < self.timeout <= _LONGEST_TIMEOUT_SECONDS):
            raise InvalidRequestError.of_field(
                "timeout", f"{self.timeout!r} is not a number of seconds above 0; None sets no bound."
            )
        if not (_is_number(self.retry_seconds) and 0 <= self.retry_seconds <= _LONGEST_TIMEOUT_SECONDS):
            raise InvalidRequestError.of_field(
                "retry_seconds", f"{self.retry_seconds!r} is not a number of seconds; 0 is none."
            )
        if self.on_disconnect not in get_args(OnDisconnectName):
            raise InvalidRequestError.of_field(
                "on_disconnect", f"{self.on_disconnect!r} is not cancel, linger or detach."
            )

    @property
    def is_streaming(self) -> bool:
        """Whether the entrypoint streams."""
        return self.entrypoint_tag.endswith(STREAM_SUFFIX)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """What a caller says of the server. None and empty texts say nothing."""

    local: bool
    host: str | None
    port: int | None
    base_url: str | None
    transport: TransportName
    api_key: str | None = field(repr=False)

    @property
    def names_address(self) -> bool:
        """Whether the caller names an address, which goes before the registry."""
        return bool(self.base_url or self.host or self.port is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """All that a client needs to make calls."""

    call: CallConfig
    address: Address
    """Where the server is. Discovery may find its gRPC port next to it."""
    lookup: Callable[[], Address]
    """Finds the address again: a server of this machine may have moved. Raises RunAgentError where there is none."""
    api_key: str | None = field(repr=False)


def resolve_config(
    call: CallConfig, server: ServerOptions, *, environ: Mapping[str, str], registry: Registry
) -> ClientConfig:
    """Returns what the options come to, with the server's address and the key that goes there.

    Raises InvalidRequestError for an option that does not fit, NotFoundError for an agent that is not served on this
    machine, and UnavailableError where nothing names a server, or where the server was stopped.
    """
    lookup = functools.partial(
        resolve,
        agent_id=call.agent_id,
        local=server.local,
        host=server.host,
        port=server.port,
        base_url=server.base_url,
        transport=server.transport,
        environ=environ,
        registry=registry,
    )
    address = lookup()
    # A server of this machine may come back elsewhere, and the registry says where. The key goes nowhere but to the
    # address that the caller, the environment or the settings named.
    registered = server.local and not server.names_address
    return ClientConfig(
        call=call,
        address=address,
        lookup=lookup if registered else lambda: address,
        api_key=_key_of(server.api_key, environ, address.kept_key),
    )


def checked_text(name: str, text: str) -> str:
    """Returns the text. Raises InvalidRequestError, which names the field, for one that UTF-8 cannot hold."""
    try:
        text.encode()
    except (AttributeError, UnicodeEncodeError):
        raise InvalidRequestError.of_field(name, f"{text!a} is not text that UTF-8 can hold.") from None
    return text


def _key_of(given: str | None, environ: Mapping[str, str], kept: str | None) -> str | None:
    """Returns the key to call with: the one given, that of the environment, or the one that is kept.

    White space around a key of the environment comes from how it was set, and is dropped. Headers drop it, too, on some
    wires and not on others, so that a given key must have none.
    """
    if given:
        return _checked_key("api_key", given)
    if of_environment := environ.get(API_KEY_VARIABLE, "").strip():
        return _checked_key(API_KEY_VARIABLE, of_environment)
    return _checked_key("api_key", kept) if kept else None


def _checked_key(name: str, key: str) -> str:
    if not (key.isascii() and key.isprintable()):
        raise InvalidRequestError.of_field(name, "The key holds characters that no header can carry.")
    if key != key.strip():
        raise InvalidRequestError.of_field(name, "The key has white space around it.")
    return key


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
