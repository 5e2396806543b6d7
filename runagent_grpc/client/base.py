"""What the sync and the async client share: their options, and the requests made of them.

What the options come to is `config`'s.
"""

from __future__ import annotations

import copy
import os
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Self

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import call_pb2
from runagent_grpc.client.address import Address, TransportName
from runagent_grpc.client.config import CallConfig, OnDisconnectName, ServerOptions, checked_text, resolve_config
from runagent_grpc.client.connection import ServerLocator
from runagent_grpc.client.deadline import Deadline
from runagent_grpc.client.retry import DEFAULT_RETRY_SECONDS, Retry
from runagent_grpc.contract.messages import argument_to, duration_to
from runagent_grpc.errors import InvalidRequestError
from runagent_grpc.local.registry import Registry

__all__ = ["ClientBase", "checked_limit"]

_LARGEST_SEQUENCE = 2**63 - 1
_MOST_LISTED = 1000


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
        transport: TransportName = "auto",
        on_disconnect: OnDisconnectName = "linger",
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
            UnavailableError: Nothing names a server, or it was stopped. That it was killed, the first call finds out.
        """
        call = CallConfig(
            agent_id=agent_id or "",
            entrypoint_tag=entrypoint_tag or "",
            user_id=user_id or "",
            persistent_memory=persistent_memory,
            on_disconnect=on_disconnect,
            timeout=timeout,
            retry_seconds=retry_seconds,
        )
        server = ServerOptions(
            local=local, host=host, port=port, base_url=base_url, transport=transport, api_key=api_key
        )
        self._config = resolve_config(call, server, environ=os.environ, registry=Registry())
        self._request_id: str | None = None
        self._connect_to(ServerLocator(self._config))

    @property
    def agent_id(self) -> str:
        """The agent to call. Empty for the only one that the server serves."""
        return self._config.call.agent_id

    @property
    def entrypoint_tag(self) -> str:
        """The entrypoint to call."""
        return self._config.call.entrypoint_tag

    @property
    def user_id(self) -> str:
        """The end user on whose behalf the calls are made. Empty for none."""
        return self._config.call.user_id

    @property
    def persistent_memory(self) -> bool:
        """Whether the entrypoint may keep state for that user."""
        return self._config.call.persistent_memory

    @property
    def on_disconnect(self) -> OnDisconnectName:
        """What becomes of an invocation whose caller is gone."""
        return self._config.call.on_disconnect

    @property
    def timeout(self) -> float | None:
        """How many seconds a call may take. None sets no bound."""
        return self._config.call.timeout

    @property
    def retry_seconds(self) -> float:
        """For how many seconds a call goes on trying to reach a server that answered before."""
        return self._config.call.retry_seconds

    @property
    def address(self) -> Address:
        """Where the server is. Discovery may find its gRPC port next to it."""
        return self._config.address

    @property
    def is_streaming(self) -> bool:
        """Whether the entrypoint streams."""
        return self._config.call.is_streaming

    def with_request_id(self, request_id: str) -> Self:
        """Returns a client of the same connection whose one call carries this id, instead of a new one for each call.

        For callers who repeat a call themselves, in another process perhaps: a server that has seen the id joins the
        call to the first one, or answers with its outcome, and refuses it where it asks for something else.
        """
        if not request_id:
            raise InvalidRequestError.of_field("request_id", "It is empty; each call takes a new one by itself.")
        twin = copy.copy(self)
        twin._request_id = checked_text("request_id", request_id)
        return twin

    def _connect_to(self, server: ServerLocator) -> None:
        """Makes what the client and its twins share. Reaches for nothing yet."""
        raise NotImplementedError

    def _call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> call_pb2.Call:
        config = self._config.call
        if not config.entrypoint_tag:
            raise InvalidRequestError.of_field("entrypoint_tag", "Name the entrypoint to call.")
        call = call_pb2.Call(
            agent_id=config.agent_id,
            entrypoint_tag=config.entrypoint_tag,
            args=[argument_to(value, f"args[{index}]") for index, value in enumerate(args)],
            keywords=[
                call_pb2.KeywordArgument(name=checked_text("kwargs", name), value=argument_to(value, name))
                for name, value in kwargs.items()
            ],
            request_id=self._request_id or str(uuid.uuid4()),
            user_id=config.user_id,
            persistent_memory=config.persistent_memory,
            on_disconnect=_ON_DISCONNECT[config.on_disconnect],
        )
        if config.on_disconnect == "linger":
            call.resume_window.CopyFrom(_RESUME_WINDOW)
        return call

    def _resume_request(self, invocation_id: str, after: int) -> pb.RunStreamRequest:
        if not invocation_id:
            raise InvalidRequestError.of_field("invocation_id", "Name the invocation whose stream it is.")
        if not (isinstance(after, int) and 0 <= after <= _LARGEST_SEQUENCE):
            raise InvalidRequestError.of_field(
                "after", f"{after!r} is not the number of a chunk, or 0 for all of them."
            )
        point = pb.ResumePoint(invocation_id=checked_text("invocation_id", invocation_id), after_sequence=after)
        return pb.RunStreamRequest(resume=point)

    def _retry(self, deadline: Deadline) -> Retry:
        # What ends with its connection cannot be taken up on another.
        return Retry(0.0 if self.on_disconnect == "cancel" else self.retry_seconds, deadline)


def checked_limit(limit: int) -> int:
    """Returns how many to list. Raises InvalidRequestError for what is no number of them."""
    if not (isinstance(limit, int) and 0 < limit <= _MOST_LISTED):
        raise InvalidRequestError.of_field("limit", f"{limit!r} is not a number from 1 to {_MOST_LISTED:,}.")
    return limit


_ON_DISCONNECT: dict[OnDisconnectName, call_pb2.OnDisconnect.ValueType] = {
    "cancel": call_pb2.ON_DISCONNECT_CANCEL,
    "linger": call_pb2.ON_DISCONNECT_LINGER,
    "detach": call_pb2.ON_DISCONNECT_DETACH,
}

_RESUME_WINDOW = duration_to(10.0)
