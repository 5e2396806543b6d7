"""What happens to a call while it is under way, by the hand of somebody else: cancelled, taken over, shut down."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc
from runagent_grpc.client import RunAgentClient
from runagent_grpc.errors import RunAgentError
from tests.conformance.places import Place

__all__ = ["meanwhile"]

_PATIENCE_SECONDS = 20.0


@contextmanager
def meanwhile(what: str | None, place: Place, call: Mapping[str, Any]) -> Iterator[None]:
    """Does it while the block runs, as soon as the call has arrived; the call's `mark` tells when."""
    if what is None:
        yield
        return
    act = threading.Thread(target=_act, args=(_ACTIONS[what], place, call), daemon=True)
    act.start()
    try:
        yield
    finally:
        act.join(_PATIENCE_SECONDS)


def _act(action: Callable[[Place, Mapping[str, Any]], None], place: Place, call: Mapping[str, Any]) -> None:
    # What goes wrong here shows in the outcome of the call, which nothing then happens to.
    with contextlib.suppress(RunAgentError, grpc.RpcError):
        with _client(place, call, "arrived", timeout=_PATIENCE_SECONDS) as client:
            client.run(mark=call["kwargs"]["mark"]["text"])
        action(place, call)


def _cancel(place: Place, call: Mapping[str, Any]) -> None:
    with grpc.insecure_channel(f"{place.host}:{place.grpc_port}") as channel:
        request = pb.CancelInvocationRequest(request_id=call["request_id"])
        agent_service_pb2_grpc.AgentServiceStub(channel).CancelInvocation(request, timeout=_PATIENCE_SECONDS)


def _take_over(place: Place, call: Mapping[str, Any]) -> None:
    """Makes the same request again, which takes the stream over, and leaves when it has."""
    kwargs = {name: value["text"] if "text" in value else int(value["json"]) for name, value in call["kwargs"].items()}
    with _client(place, call, call["entrypoint_tag"]) as client:
        stream = client.with_request_id(call["request_id"]).run_stream(**kwargs)
        with stream:
            next(stream)


def _stop(place: Place, call: Mapping[str, Any]) -> None:
    place.stop()


_ACTIONS: dict[str, Callable[[Place, Mapping[str, Any]], None]] = {
    "cancel": _cancel,
    "take-over": _take_over,
    "stop": _stop,
}


def _client(place: Place, call: Mapping[str, Any], tag: str, timeout: float | None = None) -> RunAgentClient:
    return RunAgentClient(
        call["agent_id"],
        tag,
        host=place.host,
        port=place.grpc_port,
        transport="grpc",
        api_key=call.get("api_key"),
        timeout=timeout,
    )
