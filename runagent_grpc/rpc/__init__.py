"""The gRPC server: `runagent.v1`, health and reflection."""

from runagent_grpc.rpc.server import GrpcServer
from runagent_grpc.settings import GrpcSettings

__all__ = ["GrpcServer", "GrpcSettings"]
