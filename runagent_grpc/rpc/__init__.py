"""The gRPC face of a server: `runagent.v1`, health and reflection."""

from runagent_grpc.rpc.server import GrpcServer, GrpcSettings

__all__ = ["GrpcServer", "GrpcSettings"]
