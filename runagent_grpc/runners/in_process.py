"""Runs calls in the server's own process, where debuggers and `print` work: the default for one agent."""

from __future__ import annotations

from runagent_grpc.core.manifest import AgentManifest
from runagent_grpc.core.runner import Work, WorkInProgress
from runagent_grpc.worker.worker import Worker

__all__ = ["InProcessRunner"]


class InProcessRunner:
    """Hands calls to a worker on the engine's own event loop."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    @property
    def manifest(self) -> AgentManifest:
        """What is served."""
        return self._worker.manifest

    async def start(self, work: Work) -> WorkInProgress:
        """Binds a call. Raises InvalidRequestError for arguments that do not fit."""
        return await self._worker.bind(work)
