"""Runs entrypoints: calls in, results and chunks out, whatever transport they come over."""

from runagent_grpc.engine.archive import Archive, Archived, Journal, NullArchive, RequestKey
from runagent_grpc.engine.call import Call, OnDisconnect
from runagent_grpc.engine.engine import Engine
from runagent_grpc.engine.events import StreamChunks, StreamCompleted, StreamEvent, StreamHeartbeat, StreamStarted
from runagent_grpc.engine.invocation import Invocation, InvocationState
from runagent_grpc.engine.output import OutputRecorder
from runagent_grpc.engine.reader import Reader
from runagent_grpc.engine.recorder import Excerpt, LogLine, NullRecorder, Output, Recorder
from runagent_grpc.engine.runner import InProcessRunner, Runner, Work
from runagent_grpc.engine.settings import EngineSettings

__all__ = [
    "Archive",
    "Archived",
    "Call",
    "Engine",
    "EngineSettings",
    "Excerpt",
    "InProcessRunner",
    "Invocation",
    "InvocationState",
    "Journal",
    "LogLine",
    "NullArchive",
    "NullRecorder",
    "OnDisconnect",
    "Output",
    "OutputRecorder",
    "Reader",
    "Recorder",
    "RequestKey",
    "Runner",
    "StreamChunks",
    "StreamCompleted",
    "StreamEvent",
    "StreamHeartbeat",
    "StreamStarted",
    "Work",
]
