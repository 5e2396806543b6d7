"""The RPCs of HistoryService: what is kept of the past, each key its own."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile

from runagent_grpc._gen.runagent.v1 import history_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import history_service_pb2_grpc, invocation_pb2
from runagent_grpc.contract.messages import payload_to, timestamp_to
from runagent_grpc.contract.records import invocation_to
from runagent_grpc.core.history import InvocationHistory, RecordedLine
from runagent_grpc.core.invocation import InvocationRecord, InvocationState
from runagent_grpc.errors import InvalidRequestError, NotFoundError, Reason, Violation
from runagent_grpc.rpc.authentication import current_principal
from runagent_grpc.rpc.error_handlers import Context, failures_become_status
from runagent_grpc.values.payload import Payload, TruncatedPayload

__all__ = ["HistoryServicer"]


class HistoryServicer(history_service_pb2_grpc.HistoryServiceServicer):
    """Serves history, or says that the server keeps none."""

    def __init__(self, history: InvocationHistory | None) -> None:
        self._history = history

    async def GetInvocation(self, request: pb.GetInvocationRequest, context: Context) -> pb.GetInvocationResponse:
        """Tells all that is kept of one invocation."""
        async with failures_become_status(context):
            owner = current_principal.get().subject
            recorded = await self._kept().get(request.invocation_id, owner=owner)
            return _recorded_to(recorded)

    async def ListInvocations(self, request: pb.ListInvocationsRequest, context: Context) -> pb.ListInvocationsResponse:
        """Lists invocations by page."""
        async with failures_become_status(context):
            states = _states(request.state)
            size = _page_size(request.page_size)
            owner = current_principal.get().subject
            page = await self._kept().page(
                agent_id=request.agent_id, states=states, limit=size, token=request.page_token, owner=owner
            )
            invocations = map(invocation_to, page.invocations)
            return pb.ListInvocationsResponse(invocations=invocations, next_page_token=page.next_token)

    async def ListLogs(self, request: pb.ListLogsRequest, context: Context) -> pb.ListLogsResponse:
        """Lists lines of output by page."""
        async with failures_become_status(context):
            size = _page_size(request.page_size)
            owner = current_principal.get().subject
            page = await self._kept().logs(
                agent_id=request.agent_id,
                invocation_id=request.invocation_id,
                limit=size,
                token=request.page_token,
                owner=owner,
            )
            return pb.ListLogsResponse(lines=map(_line_to, page.lines), next_page_token=page.next_token)

    def _kept(self) -> InvocationHistory:
        if self._history is None:
            raise NotFoundError("This server keeps no history.", reason=Reason.INVOCATION_NOT_FOUND)
        return self._history


def _recorded_to(recorded: InvocationRecord) -> pb.GetInvocationResponse:
    response = pb.GetInvocationResponse(
        invocation=invocation_to(recorded),
        first_chunks=map(payload_to, _whole(recorded.first_chunks)),
        # Those behind the last that was cut, so that they are the end of the stream without a gap.
        last_chunks=map(payload_to, [*_whole(reversed(recorded.last_chunks))][::-1]),
    )
    if recorded.input is not None:
        call = pb.RecordedCall(
            input=recorded.input,
            user_id=recorded.user_id,
            request_id=recorded.request_id,
            transport=recorded.transport,
        )
        response.call.CopyFrom(call)
    return response


def _whole(chunks: Iterable[Payload | TruncatedPayload]) -> Iterable[Payload]:
    """Returns the chunks before the first of which only the beginning is kept."""
    return (chunk for chunk in takewhile(lambda chunk: not isinstance(chunk, TruncatedPayload), chunks))  # type: ignore[misc] # takewhile does not narrow


def _line_to(line: RecordedLine) -> pb.LogLine:
    return pb.LogLine(
        invocation_id=line.invocation_id,
        agent_id=line.agent_id,
        time=timestamp_to(line.time),
        level=line.level,
        text=line.text,
    )


def _states(state: int) -> tuple[InvocationState, ...]:
    if state == invocation_pb2.INVOCATION_STATE_UNSPECIFIED:
        return ()
    try:
        name = invocation_pb2.InvocationState.Name(state)  # type: ignore[arg-type] # an open enum: any number may come
    except ValueError:
        raise _refused("state", f"{state} is not a value of InvocationState.") from None
    return (InvocationState[name.removeprefix("INVOCATION_STATE_")],)


def _page_size(size: int) -> int:
    if size < 0:
        raise _refused("page_size", f"{size} is less than 0.")
    return size


def _refused(field: str, description: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"`{field}`: {description}", violations=(Violation(field=field, description=description),)
    )
