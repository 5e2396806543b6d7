"""The HTTP server: the documented REST and WebSocket interface on the engine, its pages and its guards."""

from runagent_grpc.bridge.app import build_app
from runagent_grpc.bridge.server import HttpServer
from runagent_grpc.settings import BridgeSettings

__all__ = ["BridgeSettings", "HttpServer", "build_app"]
