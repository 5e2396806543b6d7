"""Runs calls: admission, the replay buffer, deadlines and readers, whatever transport they come over."""

from runagent_grpc.engine.engine import Engine
from runagent_grpc.engine.reader import Reader
from runagent_grpc.settings import EngineSettings

__all__ = ["Engine", "EngineSettings", "Reader"]
