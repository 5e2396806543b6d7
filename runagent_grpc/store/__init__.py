"""History and logs: kept in the file of the local registry by servers, read by them and by whoever looks there."""

from runagent_grpc.settings import RecordingSettings
from runagent_grpc.store.cleanup import (
    count_invocations_before,
    count_lines_before,
    remove_invocations_before,
    remove_lines_before,
)
from runagent_grpc.store.history import History
from runagent_grpc.store.store import HistoryStore

__all__ = [
    "History",
    "HistoryStore",
    "RecordingSettings",
    "count_invocations_before",
    "count_lines_before",
    "remove_invocations_before",
    "remove_lines_before",
]
