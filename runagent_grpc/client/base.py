"""What the sync and the async client share: their options, and the requests made of them. No I/O but the registry's."""

from __future__ import annotations

import copy
import functools
import os
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, get_args

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import call_pb2
from runagent_grpc.client.address import API_KEY_VARIABLE, Transport, resolve
from runagent_grpc.client.connection import Server
from runagent_grpc.client.deadline import Deadline
from runagent_grpc.client.descriptions import STREAM_SUFFIX
from runagent_grpc.client.retry import DEFAULT_RETRY_SECONDS, Retry
from runagent_grpc.contract.messages import argument_to, duration_to
from runagent_grpc.errors import InvalidRequestError
from runagent_grpc.local.registry import Registry

__all__ = ["ClientBase", "OnDisconnect", "checked_limit"]

OnDisconnect = Literal["cancel", "linger", "detach"]
"""What becomes of an invocation whose caller is gone: cancelled at once, cancelled unless the caller comes back within
ten seconds, or run to its end."""

_LARGEST_SEQUENCE = 2**63 - 1
_MOST_LISTED = 1000

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
        on_disconnect: OnDisconnect = "linger",
        retry_seconds: float = DEFAULT_RETRY_SECONDS,
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
            timeout: How many seconds a call may take, all tries together, a stream to its last chunk. None sets no
                bound.
            transport: "grpc" or "http" (REST and WebSocket) to speak that without asking the server what it speaks.
            on_disconnect: What becomes of an invocation whose caller is gone. "linger" cancels it when the caller left
                on purpose, and gives one whose connection broke ten seconds to come back; "detach" lets it run to its
                end either way; "cancel" ends it with the connection, so that nothing is tried again.
            retry_seconds: For how many seconds a call goes on trying to reach a server that answered before and does
                not now. 0 never tries again.

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
        self.retry_seconds = _checked_seconds("retry_seconds", retry_seconds)
        if on_disconnect not in get_args(OnDisconnect):
            raise InvalidRequestError.of_field("on_disconnect", f"{on_disconnect!r} is not cancel, linger or detach.")
        self.on_disconnect = on_disconnect
        self._request_id: str | None = None
        lookup = functools.partial(
            resolve,
            agent_id=self.agent_id,
            local=local,
            host=host,
            port=port,
            base_url=base_url,
            transport=transport,
            environ=os.environ,
            registry=Registry(),
        )
        self.address = lookup()
        """Where the server is. Discovery may find the gRPC port next to it."""
        # A server of this machine may come back elsewhere, and says so there. What a caller named, or the environment,
        # is where the key may go.
        registered = local and not (base_url or host or port is not None)
        key = _checked_key(api_key or os.environ.get(API_KEY_VARIABLE) or self.address.kept_key)
        self._connect_to(
            Server(
                address=self.address,
                lookup=lookup if registered else lambda: self.address,
                api_key=key,
                timeout=timeout,
            )
        )

    @property
    def is_streaming(self) -> bool:
        """Whether the entrypoint streams."""
        return self.entrypoint_tag.endswith(STREAM_SUFFIX)

    def with_request_id(self, request_id: str) -> Self:
        """Returns a client of the same connection whose one call carries this id, instead of a new one for each call.

        For callers who repeat a call themselves, in another process perhaps: a server that has seen the id joins the
        call to the first one, or answers with its outcome, and refuses it where it asks for something else.
        """
        twin = copy.copy(self)
        twin._request_id = _checked_text("request_id", request_id)
        if not request_id:
            raise InvalidRequestError.of_field("request_id", "It is empty; each call takes a new one by itself.")
        return twin

    def _connect_to(self, server: Server) -> None:
        """Makes what the client and its twins share. Reaches for nothing yet."""
        raise NotImplementedError

    def _call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> call_pb2.Call:
        if not self.entrypoint_tag:
            raise InvalidRequestError.of_field("entrypoint_tag", "Name the entrypoint to call.")
        call = call_pb2.Call(
            agent_id=self.agent_id,
            entrypoint_tag=self.entrypoint_tag,
            args=[argument_to(value, f"args[{index}]") for index, value in enumerate(args)],
            kwargs={_checked_text("kwargs", name): argument_to(value, name) for name, value in kwargs.items()},
            request_id=self._request_id or str(uuid.uuid4()),
            user_id=self.user_id,
            persistent_memory=self.persistent_memory,
            on_disconnect=_ON_DISCONNECT[self.on_disconnect],
        )
        if self.on_disconnect == "linger":
            call.resume_window.CopyFrom(_RESUME_WINDOW)
        return call

    def _resume_request(self, invocation_id: str, after: int) -> pb.RunStreamRequest:
        if not invocation_id:
            raise InvalidRequestError.of_field("invocation_id", "Name the invocation whose stream it is.")
        if not (isinstance(after, int) and 0 <= after <= _LARGEST_SEQUENCE):
            raise InvalidRequestError.of_field(
                "after", f"{after!r} is not the number of a chunk, or 0 for all of them."
            )
        point = pb.ResumePoint(invocation_id=_checked_text("invocation_id", invocation_id), after_sequence=after)
        return pb.RunStreamRequest(resume=point)

    def _retry(self, deadline: Deadline) -> Retry:
        # What ends with its connection cannot be taken up on another.
        return Retry(0.0 if self.on_disconnect == "cancel" else self.retry_seconds, deadline)


def checked_limit(limit: int) -> int:
    """Returns how many to list. Raises InvalidRequestError for what is no number of them."""
    if not (isinstance(limit, int) and 0 < limit <= _MOST_LISTED):
        raise InvalidRequestError.of_field("limit", f"{limit!r} is not a number from 1 to {_MOST_LISTED:,}.")
    return limit


_ON_DISCONNECT: dict[OnDisconnect, call_pb2.OnDisconnect.ValueType] = {
    "cancel": call_pb2.ON_DISCONNECT_CANCEL,
    "linger": call_pb2.ON_DISCONNECT_LINGER,
    "detach": call_pb2.ON_DISCONNECT_DETACH,
}

_RESUME_WINDOW = duration_to(10.0)


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


def _checked_seconds(field: str, seconds: float) -> float:
    if not (isinstance(seconds, int | float) and 0 <= seconds <= _LONGEST_TIMEOUT_SECONDS):
        raise InvalidRequestError.of_field(field, f"{seconds!r} is not a number of seconds; 0 is none.")
    return seconds


def _checked_key(key: str | None) -> str | None:
    if key and not (key.isascii() and key.isprintable()):
        raise InvalidRequestError.of_field("api_key", "The key holds characters that no header can carry.")
    return key
