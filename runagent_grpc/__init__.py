"""Serves Python functions as a service that any language can call and stream from."""

from runagent_grpc.version import __version__

__all__ = ["__version__"]
