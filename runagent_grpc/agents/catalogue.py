"""The agents that a server serves, by id."""

from __future__ import annotations

from dataclasses import dataclass

from runagent_grpc.core.manifest import AgentManifest, EntrypointManifest
from runagent_grpc.core.runner import Runner
from runagent_grpc.errors import InvalidRequestError, NotFoundError, Reason

__all__ = ["AgentCatalogue", "ServedAgent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedAgent:
    """An agent as it is served now: what it is, and where its calls go."""

    manifest: AgentManifest
    runner: Runner


class AgentCatalogue:
    """Serves one agent. A newer generation of it may take its place while calls run on the one before."""

    def __init__(self, served: ServedAgent) -> None:
        self._served = served

    @property
    def manifest(self) -> AgentManifest:
        """The manifest of the agent that is served."""
        return self._served.manifest

    def replace(self, served: ServedAgent) -> None:
        """Serves the calls to come from another generation. Calls that run end on the one that they began with."""
        self._served = served

    def find(self, agent_id: str) -> ServedAgent:
        """Returns the agent of an id; an empty one means the only agent. Raises NotFoundError for an unknown one."""
        if agent_id not in ("", self._served.manifest.agent_id):
            raise NotFoundError("Agent not found")
        return self._served

    def entrypoint(self, agent_id: str, tag: str, *, streaming: bool) -> EntrypointManifest:
        """Returns the entrypoint that a call names.

        Raises NotFoundError for an unknown agent or tag, InvalidRequestError for the wrong mode, in that order.
        Transports ask before they read a call's arguments, so that the first mistake is the one that is reported.
        """
        manifest = self.find(agent_id).manifest
        entrypoint = manifest.entrypoints.get(tag)
        if entrypoint is None:
            known = ", ".join(manifest.entrypoints)
            raise NotFoundError(
                f"Entrypoint {tag[:200]} not found",
                reason=Reason.ENTRYPOINT_NOT_FOUND,
                suggestion=f"The agent's entrypoints are: {known[:500]}.",
            )
        if entrypoint.streaming and not streaming:
            raise InvalidRequestError(
                f"Can't use Streaming Entrypoint `{tag}` through non-streaming endpoint.",
                reason=Reason.STREAM_ENTRYPOINT,
            )
        if streaming and not entrypoint.streaming:
            raise InvalidRequestError(
                f"Entrypoint `{tag}` is not a streaming entrypoint. "
                "Use a streaming entrypoint (ending with '_stream').",
                reason=Reason.NON_STREAM_ENTRYPOINT,
            )
        return entrypoint
