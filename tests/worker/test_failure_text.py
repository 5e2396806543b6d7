"""What callers are told of an exception: its own text, and more where that says nothing by itself."""

from __future__ import annotations

import pytest

from runagent_grpc.client import RunAgentClient
from runagent_grpc.errors import ExecutionFailedError
from runagent_grpc.testing import RunningServer, serving
from runagent_grpc.worker.failure_text import failure_text


class DocumentedError(KeyError):
    def __str__(self) -> str:
        return "There is no such customer."


class MissingError(KeyError): ...


class BadGroup(ExceptionGroup[Exception]):
    def __str__(self) -> str:
        raise ValueError


NESTED = ExceptionGroup("in", [KeyError("a"), ValueError("b"), ValueError("c")])

TEXTS: list[tuple[BaseException, str]] = [
    (ValueError("no good"), "no good"),
    (LookupError("name"), "name"),
    (OSError(2, "No such file"), "[Errno 2] No such file"),
    (KeyError("name"), "KeyError: 'name'"),
    (KeyError(""), "KeyError: ''"),
    (KeyError(), "KeyError"),
    (MissingError("name"), "MissingError: 'name'"),
    (DocumentedError("name"), "There is no such customer."),
    (AssertionError(), "AssertionError"),
    (AssertionError("x is 3"), "AssertionError: x is 3"),
    (ValueError(" "), "ValueError"),
    (TimeoutError(), "TimeoutError"),
    (ExceptionGroup("many", [ValueError("one")]), "many (1 sub-exception): ValueError: one"),
    (ExceptionGroup("many", [TimeoutError()]), "many (1 sub-exception): TimeoutError"),
    (
        ExceptionGroup("out", [ValueError("one"), NESTED]),
        "out (2 sub-exceptions): ValueError: one; KeyError: 'a'; ValueError: b; ...",
    ),
    (BadGroup("many", [ValueError("one")]), "BadGroup"),
    (BaseExceptionGroup("many", [KeyboardInterrupt()]), "many (1 sub-exception): KeyboardInterrupt"),
]


@pytest.mark.parametrize(("error", "text"), TEXTS, ids=lambda value: value if isinstance(value, str) else "")
def test_an_exceptions_text_says_what_happened(error: BaseException, text: str) -> None:
    assert failure_text(error) == text


def client_of(server: RunningServer, tag: str, wire: str) -> RunAgentClient:
    if wire == "grpc":
        return server.client(tag)
    return RunAgentClient(server.agent.agent_id, tag, base_url=server.http_url, transport="http")


@pytest.mark.parametrize("wire", ["grpc", "http"])
def test_the_type_of_what_an_entrypoint_raised_reaches_the_caller(wire: str) -> None:
    def fail() -> None:
        raise LookupError("It is not there.")

    def fail_stream() -> None:
        raise KeyError("name")

    with serving({"fail": fail, "fail_stream": fail_stream}) as server:
        for tag, expected in {
            "fail": ("It is not there.", "LookupError"),
            "fail_stream": ("KeyError: 'name'", "KeyError"),
        }.items():
            with client_of(server, tag, wire) as client, pytest.raises(ExecutionFailedError) as caught:
                list(client.run())
            assert (caught.value.message, caught.value.details) == expected
