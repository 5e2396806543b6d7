"""The calls of the HTTP wire as conversations, without any I/O: requests out, responses in, and a result at the end.

Each is a generator, which the blocking and the asyncio transport drive alike.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import quote

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import call_pb2
from runagent_grpc.client.address import Address
from runagent_grpc.client.deadline import Deadline
from runagent_grpc.client.descriptions import AgentDescription, InvocationDescription, LogLine
from runagent_grpc.client.discovery import resumes
from runagent_grpc.client.http_documents import (
    agent_from_documents,
    agent_id_in,
    invocation_from_document,
    listed,
)
from runagent_grpc.client.http_failures import not_over_http
from runagent_grpc.client.http_wire import (
    HOME,
    agent_path,
    body_of,
    document_in,
    first_frame_of,
    object_in,
    value_in,
)
from runagent_grpc.client.retry import PeerStatus
from runagent_grpc.errors import Reason, RunAgentError

__all__ = ["HttpCalls", "HttpFlow", "HttpRequest", "HttpResponse", "StreamOpening"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """What to ask next."""

    method: str
    path: str
    content: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """What came back, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOpening:
    """How a stream is asked for: on which path, with which headers, by which first frame."""

    path: str
    headers: Mapping[str, str]
    first_frame: str


HttpFlow = Generator[HttpRequest, HttpResponse, T]


class HttpCalls:
    """What there is to say to one server, and what is known of it: its only agent's id, and whether it is one of ours.

    Published servers would run a repeated call twice, and know of no resuming; with them nothing is tried again.
    """

    def __init__(self, address: Address, contact: PeerStatus) -> None:
        self.contact = PeerStatus.ANSWER if address.resumable else contact
        self._address = address
        self._met = address.resumable is not None or contact is PeerStatus.ANSWER
        self._only_id = ""

    def met(self, somebody: bool) -> None:
        """Says that a connection failed, and whether somebody had taken it."""
        if somebody and not self._met:
            self.contact = PeerStatus.CONNECTION

    def run(self, call: call_pb2.Call, deadline: Deadline) -> HttpFlow[Any]:
        agent_id = yield from self._meet(call.agent_id)
        body = body_of(call, deadline.run_timeout())
        return value_in(self._address, *_parts((yield _post(agent_path(agent_id, "run"), body, call.request_id))))

    def open_stream(self, request: pb.RunStreamRequest, deadline: Deadline) -> HttpFlow[StreamOpening]:
        agent_id = yield from self._meet(request.call.agent_id)
        return StreamOpening(
            path=agent_path(agent_id, "run-stream"),
            headers=_key_of(request.call.request_id),
            first_frame=first_frame_of(request, deadline.run_timeout()),
        )

    def send_cancel(self, cancel_request: pb.CancelInvocationRequest) -> HttpFlow[None]:
        # A published server cancels whatever loses its caller, and knows no other way.
        if self.contact is PeerStatus.ANSWER:
            yield _post(f"{HOME}/invocations/cancel", "", cancel_request.request_id)

    def cancel(self, invocation_id: str) -> HttpFlow[None]:
        response = yield _post(f"{HOME}/invocations/{quote(invocation_id, safe='')}/cancel", "")
        try:
            document_in(self._address, *_parts(response))
        except RunAgentError as error:
            if response.status in (404, 405) and error.reason is not Reason.INVOCATION_NOT_FOUND:
                # It is the route that published servers do not have.
                raise not_over_http(str(self._address), "cancel an invocation by its id") from None
            raise

    def list_agents(self) -> HttpFlow[list[AgentDescription]]:
        return [listed((yield from self.get_agent("")))]

    def get_agent(self, agent_id: str) -> HttpFlow[AgentDescription]:
        home = yield from self._document(HOME)
        path = agent_path(agent_id or agent_id_in(home), "architecture")
        return agent_from_documents(home, (yield from self._document(path)))

    def get_invocation(self, invocation_id: str) -> HttpFlow[InvocationDescription]:
        path = f"{HOME}/invocations/{quote(invocation_id, safe='')}"
        return invocation_from_document((yield from self._document(path)))

    def list_invocations(self, agent_id: str, limit: int) -> HttpFlow[list[InvocationDescription]]:
        agent_id = yield from self._meet(agent_id)
        document = yield from self._document(agent_path(agent_id, f"invocations?limit={limit}"))
        entries = document.get("invocations")
        return [
            replace(invocation_from_document(entry), result=None)
            for entry in (entries if isinstance(entries, list) else ())
            if isinstance(entry, dict)
        ]

    def list_logs(self) -> HttpFlow[list[LogLine]]:
        raise not_over_http(str(self._address), "list logs")
        yield  # a conversation, though a short one

    def _meet(self, agent_id: str) -> HttpFlow[str]:
        """Returns the agent's id, or that of the only agent there, for which published servers know no alias."""
        if not self._met or not (agent_id or self._only_id):
            # On a connection of its own: the one for the call that follows is then as new as can be.
            response = yield HttpRequest(method="GET", path=HOME, headers={"connection": "close"})
            home = object_in(response.body) if response.status == 200 else None
            if home is not None:
                self._met = True
                self._only_id = agent_id_in(home)
                self.contact = PeerStatus.ANSWER if resumes(home) else PeerStatus.NONE
            elif not agent_id:
                document_in(self._address, *_parts(response))
        return agent_id or self._only_id

    def _document(self, path: str) -> HttpFlow[dict[str, Any]]:
        return document_in(self._address, *_parts((yield HttpRequest(method="GET", path=path))))


def _post(path: str, content: str, request_id: str = "") -> HttpRequest:
    return HttpRequest(method="POST", path=path, content=content, headers=_key_of(request_id))


def _key_of(request_id: str) -> dict[str, str]:
    return {"idempotency-key": request_id} if request_id else {}


def _parts(response: HttpResponse) -> tuple[int, Mapping[str, str], bytes]:
    return response.status, response.headers, response.body
