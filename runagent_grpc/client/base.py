"""What the sync and the async client share: their options, and the requests made of them. No I/O but the registry's."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from runagent_grpc._gen.runagent.v1 import call_pb2
from runagent_grpc.client.address import API_KEY_VARIABLE, Address, Transport, resolve
from runagent_grpc.contract import argument_to, duration_to
from runagent_grpc.errors import InvalidRequestError
from runagent_grpc.registry import Registry

__all__ = ["STREAM_SUFFIX", "ClientBase"]

STREAM_SUFFIX = "_stream"
"""The end of every streaming entrypoint's tag."""

_RESUME_WINDOW_SECONDS = 10.0

# What gRPC makes of infinity, and of what comes near it, is a deadline that has passed.
_LONGEST_TIMEOUT_SECONDS = 1e9


class ClientBase:
    """Options of a client, and everything that follows from them alone.

    All options go to the constructor: whatever `run` is given belongs to the entrypoint.
    """

    def __init__(
        self,
        agent_id: str | None = None,
        entrypoint_tag: str | None = None,
        local: bool = True,
        host: str | None = None,
        port: int | None = None,
        user_id: str | None = None,
        persistent_memory: bool = False,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float | None = None,
        transport: Transport = "auto",
    ) -> None:
        """Finds out where the server is; connects when the first call needs it.

        Args:
            agent_id: The agent to call. None calls the only one that the server serves; it then needs an address.
            entrypoint_tag: The entrypoint to call. One that ends in `_stream` streams.
            local: Whether to look the agent up on this machine, where no address is given. Otherwise
                RUNAGENT_BASE_URL names the server, or else the settings of `runagent config`.
            host: The server's host; with `port`. Goes before `local`.
            port: The server's port.
            user_id: The end user on whose behalf the calls are made.
            persistent_memory: Whether the entrypoint may keep state for that user.
            base_url: The server's address as one URL: http, https, grpc or grpcs. Goes before all others.
            api_key: The key to call with. None takes RUNAGENT_API_KEY, or the key that is kept for this base URL.
            timeout: How many seconds a call may take, a stream to its last chunk. None sets no bound.
            transport: "grpc" or "http" (REST and WebSocket) to speak that without asking the server what it speaks.

        Raises:
            InvalidRequestError: An option that cannot be.
            NotFoundError: An agent that is not served on this machine.
            UnavailableError: Nothing names a server, or it was stopped.
        """
        self.agent_id = _checked_text("agent_id", agent_id)
        self.entrypoint_tag = _checked_text("entrypoint_tag", entrypoint_tag)
        self.user_id = _checked_text("user_id", user_id)
        self.persistent_memory = persistent_memory
        self.timeout = _checked_timeout(timeout)
        self.address: Address = resolve(
            agent_id=self.agent_id,
            local=local,
            host=host,
            port=port,
            base_url=base_url,
            transport=transport,
            environ=os.environ,
            registry=Registry(),
        )
        """Where the server is. Discovery may find the gRPC port next to it."""
        self._api_key = _checked_key(api_key or os.environ.get(API_KEY_VARIABLE) or self.address.kept_key)

    @property
    def is_streaming(self) -> bool:
        """Whether the entrypoint streams."""
        return self.entrypoint_tag.endswith(STREAM_SUFFIX)

    def _run_call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> call_pb2.Call:
        # Python's gRPC tells a unary caller the invocation's id only together with its result, so that one who leaves
        # could not cancel it by its id.
        return self._call(args, kwargs, call_pb2.ON_DISCONNECT_CANCEL)

    def _stream_call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> call_pb2.Call:
        # A cut connection leaves the work a moment to be found again; leaving on purpose cancels it aloud.
        call = self._call(args, kwargs, call_pb2.ON_DISCONNECT_LINGER)
        call.resume_window.CopyFrom(duration_to(_RESUME_WINDOW_SECONDS))
        return call

    def _call(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], on_disconnect: call_pb2.OnDisconnect.ValueType
    ) -> call_pb2.Call:
        if not self.entrypoint_tag:
            raise InvalidRequestError.of_field("entrypoint_tag", "Name the entrypoint to call.")
        return call_pb2.Call(
            agent_id=self.agent_id,
            entrypoint_tag=self.entrypoint_tag,
            args=[argument_to(value, f"args[{index}]") for index, value in enumerate(args)],
            kwargs={_checked_text("kwargs", name): argument_to(value, name) for name, value in kwargs.items()},
            user_id=self.user_id,
            persistent_memory=self.persistent_memory,
            on_disconnect=on_disconnect,
        )


def _checked_text(field: str, text: str | None) -> str:
    try:
        (text or "").encode()
    except (AttributeError, UnicodeEncodeError):
        raise InvalidRequestError.of_field(field, f"{text!a} is not text that UTF-8 can hold.") from None
    return text or ""


def _checked_timeout(timeout: float | None) -> float | None:
    if timeout is not None and not (isinstance(timeout, int | float) and 0 < timeout <= _LONGEST_TIMEOUT_SECONDS):
        raise InvalidRequestError.of_field(
            "timeout", f"{timeout!r} is not a number of seconds above 0; None sets no bound."
        )
    return timeout


def _checked_key(key: str | None) -> str | None:
    if key and not (key.isascii() and key.isprintable()):
        raise InvalidRequestError.of_field("api_key", "The key holds characters that no header can carry.")
    return key
