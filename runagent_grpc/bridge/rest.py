"""The REST endpoints: each a thin walk from the request to the engine and back."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from runagent_grpc.bridge import rest_bodies
from runagent_grpc.bridge.authentication import principal_of
from runagent_grpc.bridge.compat import legacy_frames
from runagent_grpc.bridge.error_handlers import JsonResponse, refusal, request_id_of
from runagent_grpc.bridge.leaving import until_done_or_gone
from runagent_grpc.bridge.requests import Caller, legacy_call, read_call, run_call, served_agent
from runagent_grpc.core.history import InvocationHistory
from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.engine import Engine, Reader
from runagent_grpc.errors import (
    TABLE,
    InvalidRequestError,
    InvocationCancelledError,
    NotFoundError,
    Reason,
    ResourceExhaustedError,
    RunAgentError,
)
from runagent_grpc.settings import BridgeSettings

__all__ = ["RestEndpoints"]

T = TypeVar("T")

_MOST_INVOCATIONS = 1000

_STATES_BY_STATUS = {
    "pending": (InvocationState.QUEUED, InvocationState.RUNNING),
    "completed": (InvocationState.COMPLETED,),
    "failed": tuple(state for state in InvocationState if state.ended and state is not InvocationState.COMPLETED),
}


class RestEndpoints:
    """Serves the engine's agent."""

    def __init__(
        self,
        engine: Engine,
        *,
        settings: BridgeSettings,
        history: InvocationHistory | None,
        grpc_port: int | None,
        instance_id: str = "",
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._history = history
        self._grpc_port = grpc_port
        self._instance_id = instance_id

    async def info(self, request: Request) -> Response:
        """Describes the server, and says where gRPC is."""
        return JsonResponse(
            rest_bodies.agent_body(
                self._engine.agents.manifest, grpc_port=self._grpc_port, instance_id=self._instance_id
            )
        )

    async def health(self, request: Request) -> Response:
        """Says that the server lives, and whether it is about to end. Runs no code of the author's."""
        return JsonResponse(rest_bodies.health_body(draining=self._engine.draining, instance_id=self._instance_id))

    async def live(self, request: Request) -> Response:
        """Says that the event loop turns. Runs no code of the author's."""
        return JsonResponse(rest_bodies.probe_body("live"))

    async def ready(self, request: Request) -> Response:
        """Says whether calls are taken. Runs no code of the author's."""
        if self._engine.draining:
            return JsonResponse(rest_bodies.probe_body("draining"), status_code=503)
        return JsonResponse(rest_bodies.probe_body("ready"))

    async def architecture(self, request: Request) -> Response:
        """Describes the entrypoints."""
        agent = served_agent(self._engine, request.path_params["agent_id"])
        return JsonResponse(rest_bodies.architecture_body(agent, request_id=request_id_of(request)))

    async def run(self, request: Request) -> Response:
        """Runs an entrypoint to its one value."""
        body = await self._body(request)
        served_agent(self._engine, request.path_params["agent_id"])
        call = await read_call(
            body, partial(run_call, self._engine, caller=_caller_of(request, "http"), streaming=False)
        )
        with await self._engine.start(call, streaming=False) as reader:
            try:
                result = await _unless_gone(request, reader.result())
            except RunAgentError as error:
                return refusal(request, error, headers=_id_of(reader))
            return JsonResponse(rest_bodies.run_body(result, request_id=request_id_of(request)), headers=_id_of(reader))

    async def execute(self, request: Request) -> Response:
        """Runs an entrypoint to its one value, in the legacy dialect."""
        body = await self._body(request)
        agent = served_agent(self._engine, request.path_params["agent_id"])
        tag = request.path_params["tag"]
        caller = _caller_of(request, "legacy")
        call = await read_call(body, partial(legacy_call, self._engine, tag, caller=caller, streaming=False))
        with await self._engine.start(call, streaming=False) as reader:
            try:
                result = await _unless_gone(request, reader.result())
            except RunAgentError as error:
                if TABLE[error.reason].http != 200:
                    return refusal(request, error, headers=_id_of(reader))
                text = legacy_frames.failure_body(error, agent_id=agent.agent_id, elapsed=reader.elapsed)
            else:
                text = legacy_frames.run_body(result, agent_id=agent.agent_id, elapsed=reader.elapsed)
            return JsonResponse(text, headers=_id_of(reader))

    async def invocations(self, request: Request) -> Response:
        """Lists the agent's latest invocations."""
        history = self._kept_history()
        agent = served_agent(self._engine, request.path_params["agent_id"])
        owner, states = principal_of(request).subject, _states_of(request)
        page = await history.page(
            agent_id=agent.agent_id, owner=owner, limit=_limit_of(request), states=states, payloads=True
        )
        stats = await history.stats(agent_id=agent.agent_id, owner=owner)
        total = sum(count for state, count in stats.states.items() if not states or state in states)
        return JsonResponse(rest_bodies.history_body(agent.agent_id, page.invocations, total=total))

    async def statistics(self, request: Request) -> Response:
        """Counts the agent's invocations."""
        history = self._kept_history()
        agent = served_agent(self._engine, request.path_params["agent_id"])
        statistics = await history.stats(agent_id=agent.agent_id, owner=principal_of(request).subject)
        return JsonResponse(rest_bodies.history_statistics_body(agent.agent_id, statistics))

    async def invocation(self, request: Request) -> Response:
        """Describes one invocation."""
        entry = await self._kept_history().get(
            request.path_params["invocation_id"], owner=principal_of(request).subject
        )
        return JsonResponse(rest_bodies.history_entry_body(entry))

    async def cancel(self, request: Request) -> Response:
        """Cancels an invocation, and answers without waiting for its clean-up."""
        invocation = self._engine.cancel(request.path_params["invocation_id"], owner=principal_of(request).subject)
        return JsonResponse(rest_bodies.cancelled_body(invocation, request_id=request_id_of(request)))

    async def cancel_request(self, request: Request) -> Response:
        """Cancels what a call with this Idempotency-Key has started, for a caller who knows no more of it."""
        key = request.headers.get("idempotency-key", "")
        if not key:
            text = "Name the call to cancel by its Idempotency-Key."
            raise InvalidRequestError.of_field("idempotency-key", text, message=text)
        invocation = self._engine.cancel_request(key, owner=principal_of(request).subject)
        return JsonResponse(rest_bodies.cancelled_body(invocation, request_id=request_id_of(request)))

    def _kept_history(self) -> InvocationHistory:
        if self._history is None:
            raise NotFoundError("This server keeps no history.", reason=Reason.INVOCATION_NOT_FOUND)
        return self._history

    async def _body(self, request: Request) -> bytes:
        """Takes the body in, piece by piece. Raises ResourceExhaustedError as soon as it is known to be too large."""
        limit = self._settings.max_body_bytes
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            raise _too_large(limit)
        body = bytearray()
        pieces = request.stream()
        while True:
            try:
                async with asyncio.timeout(self._settings.body_timeout):
                    piece = await anext(pieces, None)
            except ClientDisconnect:
                raise _caller_left() from None
            except TimeoutError:
                raise InvalidRequestError(
                    "The request's body did not come in time.", reason=Reason.MALFORMED_REQUEST
                ) from None
            if piece is None:
                return bytes(body)
            body += piece
            if len(body) > limit:
                raise _too_large(limit)


async def _unless_gone(request: Request, outcome: Coroutine[Any, Any, T]) -> T:
    """Waits for an outcome for as long as the client does. Raises InvocationCancelledError once it is gone."""
    async with until_done_or_gone(outcome, request.receive) as (waiting, _):
        if not waiting.done():
            raise _caller_left()
        return waiting.result()


def _id_of(reader: Reader) -> dict[str, str]:
    return {"x-invocation-id": reader.invocation_id}


def _caller_of(request: Request, transport: str) -> Caller:
    return Caller(
        transport=transport, principal=principal_of(request), request_id=request.headers.get("idempotency-key", "")
    )


def _limit_of(request: Request) -> int:
    text = request.query_params.get("limit", "50")
    # As many digits as no list is long, so that the number stays small.
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text)):
        raise InvalidRequestError.of_field("limit", "expected a whole number above 0.")
    return min(int(text), _MOST_INVOCATIONS)


def _states_of(request: Request) -> tuple[InvocationState, ...]:
    status = request.query_params.get("status", "")
    if not status:
        return ()
    if status not in _STATES_BY_STATUS:
        raise InvalidRequestError.of_field("status", "expected pending, completed or failed.")
    return _STATES_BY_STATUS[status]


def _too_large(limit: int) -> ResourceExhaustedError:
    return ResourceExhaustedError(
        f"The request's body is larger than {limit:,} bytes.", reason=Reason.PAYLOAD_TOO_LARGE
    )


def _caller_left() -> InvocationCancelledError:
    return InvocationCancelledError("The caller left.")
