"""What every runner in Python does alike: lines in, lines out, and the values in them."""

from __future__ import annotations

import base64
import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

from runagent_grpc.errors import RunAgentError

__all__ = ["Call", "Outcome", "answer_lines", "arguments_in", "error_to", "failed_stream", "value_from", "value_to"]

Call = dict[str, Any]
Outcome = dict[str, Any]


def answer_lines(answer: Callable[[Call], Outcome]) -> None:
    """Answers each line of standard input, to its end. A crash is an outcome as well."""
    for line in sys.stdin.buffer:
        call = json.loads(line)
        try:
            outcome = answer(call)
        except Exception as error:  # noqa: BLE001 - what is no error of the client's is what the kit is there to find
            traceback.print_exc()
            outcome = {"error": {"code": "CRASH", "reason": None, "message": repr(error)}}
            if call["method"] in ("run_stream", "resume"):
                outcome |= {"chunks": [], "ended": "failed"}
        sys.stdout.write(json.dumps({"id": call["id"], **outcome}) + "\n")
        sys.stdout.flush()


def arguments_in(call: Call) -> tuple[list[Any], dict[str, Any]]:
    """Returns a call's arguments as a programmer would have written them."""
    named = (*call["kwargs"].items(), *call.get("keywords", ()))
    return [value_from(value) for value in call["args"]], {name: value_from(value) for name, value in named}


def value_from(written: dict[str, Any]) -> Any:
    """Returns the value that a line writes."""
    ((kind, held),) = written.items()
    match kind:
        case "text":
            return held
        case "json":
            return json.loads(held)
        case "binary":
            return base64.b64decode(held, validate=True)
        case "utf16":
            return b"".join(unit.to_bytes(2, "little") for unit in held).decode("utf-16-le", "surrogatepass")
        case "number":
            return float(held)
    raise ValueError(f"A value of the kind {kind!r} is not known.")


def value_to(value: Any) -> dict[str, str]:
    """Returns a value as a line writes it."""
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, bytes):
        return {"binary": base64.b64encode(value).decode()}
    return {"json": json.dumps(value)}


def error_to(error: RunAgentError) -> dict[str, Any]:
    """Returns an error as a line writes it."""
    return {
        "code": error.code,
        "reason": error.reason,
        "message": error.message,
        "suggestion": error.suggestion,
        "fields": [violation.field for violation in error.violations],
        "retry_after": error.retry_after,
    }


def failed_stream(chunks: list[Any], error: dict[str, Any]) -> Outcome:
    """Returns the outcome of a stream that came to a bad end."""
    return {"chunks": [value_to(chunk) for chunk in chunks], "ended": "failed", "error": error}
