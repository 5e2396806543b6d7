# Generated from runagent_grpc/client/http_aio.py by scripts/unasync.py; do not edit.
"""The REST and WebSocket transport for code that blocks."""

from __future__ import annotations

import contextlib
from typing import Any, TypeVar

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import call_pb2
from runagent_grpc.client.address import Address
from runagent_grpc.client.channel import CANCEL_SECONDS
from runagent_grpc.client.deadline import Deadline
from runagent_grpc.client.descriptions import AgentDescription, InvocationDescription, LogLine
from runagent_grpc.client.http_calls import HttpCalls, HttpFlow
from runagent_grpc.client.http_connection import TRANSPORT_ERRORS, KeepaliveTimeouts, broke, failure_of_request
from runagent_grpc.client.http_io_sync import HttpClient, WebSocketEvents
from runagent_grpc.client.retry import PeerStatus
from runagent_grpc.errors import RunAgentError

__all__ = ["HttpTransport"]

T = TypeVar("T")


class HttpTransport:
    """Speaks the documented wire: REST for values, a WebSocket for each stream."""

    def __init__(
        self,
        address: Address,
        api_key: str | None,
        *,
        contact: PeerStatus = PeerStatus.NONE,
        patience: KeepaliveTimeouts | None = None,
    ) -> None:
        self._address = address
        self._api_key = api_key
        self._patience = patience or KeepaliveTimeouts()
        self._calls = HttpCalls(address, contact)
        self._http = HttpClient(address, api_key)

    @property
    def contact(self) -> PeerStatus:
        """What was had of the server."""
        return self._calls.contact

    def run(self, call: call_pb2.Call, deadline: Deadline) -> Any:
        return self._held(self._calls.run(call, deadline), deadline)

    def open_stream(self, request: pb.RunStreamRequest, deadline: Deadline) -> WebSocketEvents:
        events = WebSocketEvents(self._address, deadline, self._patience)
        try:
            events.open(self._held(self._calls.open_stream(request, deadline), deadline), self._api_key)
        except RunAgentError as error:
            events.fail(error)
        except BaseException:
            events.abort()
            raise
        return events

    def send_cancel(self, cancel_request: pb.CancelInvocationRequest) -> None:
        with contextlib.suppress(RunAgentError):
            self._held(self._calls.send_cancel(cancel_request), Deadline(CANCEL_SECONDS))

    def cancel(self, invocation_id: str, deadline: Deadline) -> None:
        self._held(self._calls.cancel(invocation_id), deadline)

    def list_agents(self, deadline: Deadline) -> list[AgentDescription]:
        return self._held(self._calls.list_agents(), deadline)

    def get_agent(self, agent_id: str, deadline: Deadline) -> AgentDescription:
        return self._held(self._calls.get_agent(agent_id), deadline)

    def get_invocation(self, invocation_id: str, deadline: Deadline) -> InvocationDescription:
        return self._held(self._calls.get_invocation(invocation_id), deadline)

    def list_invocations(self, agent_id: str, limit: int, deadline: Deadline) -> list[InvocationDescription]:
        return self._held(self._calls.list_invocations(agent_id, limit), deadline)

    def list_logs(self, invocation_id: str, limit: int, deadline: Deadline) -> list[LogLine]:
        return self._held(self._calls.list_logs(), deadline)

    def close(self) -> None:
        self._http.close()

    def _held(self, conversation: HttpFlow[T], deadline: Deadline) -> T:
        """Holds a conversation with the server, and returns what it comes to."""
        try:
            request = next(conversation)
            while True:
                try:
                    response = self._http.ask(request, deadline)
                except TRANSPORT_ERRORS as error:
                    self._calls.met(broke(error))
                    raise failure_of_request(error, self._address, deadline) from None
                request = conversation.send(response)
        except StopIteration as end:
            result: T = end.value
            return result
