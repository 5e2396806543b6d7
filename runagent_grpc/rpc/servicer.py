"""The RPCs of AgentService, each a thin walk from the message to the engine and back."""

from __future__ import annotations

from contextlib import aclosing

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc, call_pb2
from runagent_grpc.contract.messages import INVOCATION_ID_METADATA, duration_to, payload_to
from runagent_grpc.contract.records import agent_to, call_from, event_to, invocation_to
from runagent_grpc.engine import Engine, Reader
from runagent_grpc.errors import InvalidRequestError, Reason
from runagent_grpc.rpc.authentication import current_principal
from runagent_grpc.rpc.error_handlers import Context, failures_become_status

__all__ = ["AgentServicer"]


class AgentServicer(agent_service_pb2_grpc.AgentServiceServicer):
    """Serves the engine's agents."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.asked = 0
        """How many calls have come in."""

    async def ListAgents(self, request: pb.ListAgentsRequest, context: Context) -> pb.ListAgentsResponse:
        """Lists the one agent that this server serves."""
        async with failures_become_status(context):
            return pb.ListAgentsResponse(agents=[agent_to(self._engine.agents.manifest, schemas=False)])

    async def GetAgent(self, request: pb.GetAgentRequest, context: Context) -> pb.GetAgentResponse:
        """Describes the agent."""
        async with failures_become_status(context):
            manifest = self._engine.agents.find(request.agent_id).manifest
            return pb.GetAgentResponse(agent=agent_to(manifest, schemas=True))

    async def Run(self, request: pb.RunRequest, context: Context) -> pb.RunResponse:
        """Runs an entrypoint to its one value."""
        self.asked += 1
        async with failures_become_status(context):
            with await self._start(request.call, context, streaming=False) as reader:
                await _announce(reader, context)
                result = await reader.result()
                return pb.RunResponse(
                    invocation_id=reader.invocation_id,
                    result=payload_to(result),
                    elapsed=duration_to(reader.elapsed),
                )

    async def RunStream(  # type: ignore[override] # the stubs know only the form that yields
        self, request: pb.RunStreamRequest, context: Context
    ) -> None:
        """Streams an entrypoint's chunks, or those that are left of a stream that was cut."""
        self.asked += 1
        # Writes rather than yields: grpc.aio leaves a cancelled handler's generator to the
        # garbage collector, and the entrypoint's `finally` with it.
        async with failures_become_status(context):
            with await self._open_stream(request, context) as reader:
                await _announce(reader, context)
                async with aclosing(reader.events()) as events:
                    async for event in events:
                        await context.write(event_to(event))

    async def CancelInvocation(
        self, request: pb.CancelInvocationRequest, context: Context
    ) -> pb.CancelInvocationResponse:
        """Cancels an invocation of the same key."""
        async with failures_become_status(context):
            owner = current_principal.get().subject
            if request.request_id and not request.invocation_id:
                invocation = self._engine.cancel_request(request.request_id, owner=owner)
            else:
                invocation = self._engine.cancel(request.invocation_id, owner=owner)
            return pb.CancelInvocationResponse(invocation=invocation_to(invocation))

    async def _start(self, message: call_pb2.Call, context: Context, *, streaming: bool) -> Reader:
        # Asked before the arguments are read, so that the first mistake is the one that is reported.
        self._engine.agents.entrypoint(message.agent_id, message.entrypoint_tag, streaming=streaming)
        call = call_from(message, deadline=context.time_remaining(), principal=current_principal.get())
        return await self._engine.start(call, streaming=streaming)

    async def _open_stream(self, request: pb.RunStreamRequest, context: Context) -> Reader:
        match request.WhichOneof("source"):
            case "call":
                return await self._start(request.call, context, streaming=True)
            case "resume":
                point, owner = request.resume, current_principal.get().subject
                return await self._engine.resume(point.invocation_id, point.after_sequence, owner=owner)
        raise InvalidRequestError("Set `call` or `resume`.", reason=Reason.MALFORMED_REQUEST)


async def _announce(reader: Reader, context: Context) -> None:
    """Tells the caller the invocation's id at once, so that it can be cancelled or looked up from the start."""
    await context.send_initial_metadata(((INVOCATION_ID_METADATA, reader.invocation_id),))
