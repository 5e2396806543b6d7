"""Runs entrypoints: calls in, results and chunks out, whatever transport they come over."""

from runagent_grpc.core.call import Call, OnDisconnect
from runagent_grpc.core.events import StreamChunks, StreamCompleted, StreamEvent, StreamHeartbeat, StreamStarted
from runagent_grpc.core.invocation import Invocation, InvocationState
from runagent_grpc.core.recorder import LogLine, NullRecorder, Output, Recorder, TruncatedPayload
from runagent_grpc.core.store import Archived, InvocationStore, Journal, NullInvocationStore, RequestKey
from runagent_grpc.engine.engine import Engine
from runagent_grpc.engine.reader import Reader
from runagent_grpc.engine.settings import EngineSettings
from runagent_grpc.runners.in_process import InProcessRunner, Runner, Work
from runagent_grpc.worker.output import OutputRecorder

__all__ = [
    "Archived",
    "Call",
    "Engine",
    "EngineSettings",
    "InProcessRunner",
    "Invocation",
    "InvocationState",
    "InvocationStore",
    "Journal",
    "LogLine",
    "NullInvocationStore",
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
    "TruncatedPayload",
    "Work",
]
