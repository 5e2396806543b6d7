"""Asks every call but health checks for a key, where the server has keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import grpc

from runagent_grpc.core.principal import ANYONE, Authenticator, Principal
from runagent_grpc.errors import AuthenticationError
from runagent_grpc.rpc.error_handlers import Context, abort

__all__ = ["AuthenticationInterceptor", "current_principal"]

current_principal: ContextVar[Principal] = ContextVar("runagent_principal", default=ANYONE)
"""Who makes the call that is being handled."""

_OPEN_TO_ALL = "/grpc.health.v1.Health/"


class AuthenticationInterceptor(grpc.aio.ServerInterceptor):
    """Refuses calls without a known `authorization: Bearer KEY`."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        if handler_call_details.method.startswith(_OPEN_TO_ALL):
            return await continuation(handler_call_details)
        metadata = dict(handler_call_details.invocation_metadata or ())
        scheme, _, key = str(metadata.get("authorization", "")).partition(" ")
        key = key.strip() if scheme.lower() == "bearer" else ""
        principal = await self._authenticator.authenticate(key)
        if principal is None:
            return _refusal(bool(key))
        current_principal.set(principal)
        return await continuation(handler_call_details)


def _refusal(has_key: bool) -> grpc.RpcMethodHandler[Any, Any]:
    async def refuse(requests: Any, context: Context) -> Any:
        what = "The API key is not one of this server's." if has_key else "This server asks for an API key."
        await abort(
            context,
            AuthenticationError(what, suggestion="Pass api_key=..., --api-key, or set RUNAGENT_API_KEY."),
        )

    # Right for every kind of call, for a stream of one message looks like that message; and the only kind that does not
    # take a message in, of whatever size, before it refuses.
    return grpc.stream_stream_rpc_method_handler(refuse)
