"""What a server can be set to: each setting, its default, unit, range and help, declared once.

A dataclass for each part that has settings. Imports nothing else of the package, so that the command line can make its
options from it without loading a server.
"""

from runagent_grpc.settings.bridge import BridgeSettings
from runagent_grpc.settings.declaration import Kind, Setting, Unit, setting, settings_of
from runagent_grpc.settings.engine import EngineSettings
from runagent_grpc.settings.grpc import GrpcSettings
from runagent_grpc.settings.listen import DEFAULT_GRPC_PORT, DEFAULT_HTTP_PORT, ListenSettings
from runagent_grpc.settings.recording import RecordingSettings
from runagent_grpc.settings.shutdown import ShutdownSettings

__all__ = [
    "DEFAULT_GRPC_PORT",
    "DEFAULT_HTTP_PORT",
    "BridgeSettings",
    "EngineSettings",
    "GrpcSettings",
    "Kind",
    "ListenSettings",
    "RecordingSettings",
    "Setting",
    "ShutdownSettings",
    "Unit",
    "setting",
    "settings_of",
]
