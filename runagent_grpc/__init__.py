"""Serves Python functions as a service that any language can call and stream from."""

from runagent_grpc.current import CurrentInvocation, current_invocation
from runagent_grpc.version import __version__

__all__ = ["CurrentInvocation", "__version__", "current_invocation"]
