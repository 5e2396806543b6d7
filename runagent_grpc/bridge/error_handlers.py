"""Where errors leave the process over HTTP: a known one as its body, any other scrubbed (docs/design.md, errors)."""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from runagent_grpc.bridge.rest_bodies import error_body
from runagent_grpc.errors import TABLE, InternalError, Reason, RunAgentError

__all__ = ["Endpoint", "JsonResponse", "answering", "known", "refusal", "refuse", "request_id_of"]

_logger = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]

_LONGEST_REQUEST_ID = 200


class JsonResponse(Response):
    """A response whose content is JSON text already."""

    media_type = "application/json"


def request_id_of(connection: HTTPConnection) -> str:
    """Returns the caller's own id for tracing, or a new one."""
    return connection.headers.get("x-request-id", "")[:_LONGEST_REQUEST_ID] or str(uuid.uuid4())


def known(error: Exception) -> RunAgentError:
    """Returns what callers may know of an error; one that we did not foresee is logged, and its text stays here."""
    if isinstance(error, RunAgentError):
        return error
    _logger.error("A call failed inside the server.", exc_info=error)
    return InternalError("Internal error.")


def refusal(
    connection: HTTPConnection,
    error: RunAgentError,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Returns the answer that tells an error, with the table's status unless another is given."""
    response = JsonResponse(
        error_body(error, request_id=request_id_of(connection)),
        status_code=status or TABLE[error.reason].http,
        headers=headers,
    )
    if error.retry_after is not None:
        response.headers["retry-after"] = str(math.ceil(error.retry_after))
    if error.reason is Reason.AUTHENTICATION_ERROR:
        response.headers["www-authenticate"] = "Bearer"
    return response


async def refuse(
    scope: Scope, receive: Receive, send: Send, error: RunAgentError, *, status: int | None = None
) -> None:
    """Answers a request, or a WebSocket handshake, with an error."""
    response = refusal(HTTPConnection(scope), error, status=status)
    await response(scope, receive, send)


def answering(endpoint: Endpoint) -> Endpoint:
    """Makes an endpoint that answers with the body of what is raised inside."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the one place where they are told
            return refusal(request, known(error))

    return answer
