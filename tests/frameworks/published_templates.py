"""The templates of the published package, unpacked from its sdist, and what their entrypoints are to answer.

Nothing of them is kept in this repository: they are downloaded into the environment that they are served in.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.openai_api import Answer, Rule

__all__ = ["CALLS", "NOT_CALLED", "RULES", "Call", "python_of_the_templates", "unpacked_templates"]

_PACKAGE = "runagent==0.1.49"
_ENVIRONMENT = Path(__file__).parents[2] / ".venv-frameworks" / "published_templates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One entrypoint, called."""

    template: str
    """The template's folder in the sdist's `templates`."""
    tag: str
    kwargs: Mapping[str, Any]
    heard: Callable[[Any], Any]
    """What matters of the outcome: a result, or a list of chunks."""
    expected: Any
    args: tuple[Any, ...] = field(default=())


def call(template: str, tag: str, heard: Callable[[Any], Any], expected: Any, /, *args: Any, **kwargs: Any) -> Call:
    return Call(template=template, tag=tag, args=args, kwargs=kwargs, heard=heard, expected=expected)


def each(*path: str | int) -> Callable[[Any], Any]:
    """Takes the same thing out of each chunk."""
    return lambda chunks: [at(*path)(chunk) for chunk in chunks]


def at(*path: str | int) -> Callable[[Any], Any]:
    """Takes one thing out of a value, None where it has none of that name."""

    def taken(value: Any) -> Any:
        for step in path:
            value = value.get(step) if isinstance(value, dict) else value[step]
        return value

    return taken


def last(*path: str | int) -> Callable[[Any], Any]:
    """Takes one thing out of the last chunk."""
    return lambda chunks: at(*path)(chunks[-1])


def joined(*path: str | int) -> Callable[[Any], str]:
    """Joins the texts of the chunks."""
    return lambda chunks: "".join(text for text in each(*path)(chunks) if text)


RULES = (
    Rule(answer=Answer(tool="web_search", arguments={"query": "AutoGen"}), contains="AutoGen?", after_tool=False),
    Rule(answer=Answer(tool="multiply", arguments={"a": 6, "b": 7}), contains="6 times 7", after_tool=False),
    Rule(answer=Answer(text="The product is 42."), contains="42", after_tool=True),
    Rule(answer=Answer(text="1. Charge it.\n2. Sell it."), contains="numbered list"),
    Rule(answer=Answer(text="Sell it."), contains="Charge it"),
    Rule(answer=Answer(text="Sun and wind."), contains="Current Task"),
    Rule(answer=Answer(text="Dear Bob, hello."), contains="professional email"),
)
"""What the model says to the templates."""

_SAID = "You said: Hello"
_WORDS = ["You", " said:", " Hello"]
_EMAIL = {"sender_name": "Ada", "recipient_name": "Bob", "subject": "Hello"}
_PHONE = {"query": "My phone is slow", "num_solutions": 2}
_ADVICE = ["Charge it.", "Sell it."]
_MESSAGES = [{"role": "user", "content": "Hello"}]
_LOOKED_UP = "AutoGen is a programming framework for building multi-agent applications."

CALLS = (
    call("ag2/default", "ag2_invoke", at("summary"), _SAID, message="Hello", max_turns=1),
    call("ag2/default", "ag2_stream", each("content"), ["Hello", _SAID], message="Hello", max_turns=1),
    call("agno/agno_persistent", "agno_print_response", at("content"), _SAID, prompt="Hello"),
    call(
        "agno/agno_persistent",
        "agno_print_response_stream",
        lambda chunks: (joined("content")(chunks), chunks[0]["type"], chunks[-1]["type"]),
        (_SAID, "session_info", "session_end"),
        prompt="Hello",
    ),
    call("agno/default", "agno_print_response", at(), _SAID, prompt="Hello"),
    call("agno/default", "agno_print_response_stream", joined("content"), _SAID, prompt="Hello"),
    call("autogen/default", "autogen_invoke", at("messages", -1, "content"), _LOOKED_UP, task="What is AutoGen?"),
    call(
        "autogen/default",
        "autogen_step_stream",
        lambda chunks: (each("type")(chunks), chunks[-2]["message"], chunks[-1]),
        (
            ["TextMessage", "ToolCallRequestEvent", "ToolCallExecutionEvent", "ToolCallSummaryMessage", None],
            _LOOKED_UP,
            {"type": None, "source": None, "message": None},
        ),
        task="What is AutoGen?",
    ),
    call("autogen/default", "autogen_token_stream", each("delta"), ["Hello", *_WORDS, _SAID, None], task="Hello"),
    call("crewai/default", "research_crew", at("raw"), "Sun and wind.", topic="Energy"),
    call("crewai/default", "extracted_research_crew", at(), {"content": "Sun and wind."}, topic="Energy"),
    call("default/default", "minimal", lambda text: "key findings" in text, True, message="Analyze it"),
    call("default/default", "minimal_stream", last(), "\n[STREAM COMPLETE]", message="Hello"),
    call(
        "langchain/chatbot",
        "generic",
        lambda value: (value["success"], value["errors"]),
        (True, []),
        {"messages": _MESSAGES},
    ),
    call("langchain/default", "generic", at("response"), _SAID, message="Hello"),
    call("langchain/default", "generic_stream", joined("content"), _SAID, message="Hello"),
    call("langgraph/default", "generic", at("validated_results"), "Sell it.", **_PHONE),
    call("langgraph/default", "generic_stream", at(0, "solve", "solutions"), _ADVICE, **_PHONE),
    call("langgraph/problem_solver_advanced", "generic", at("validated_results"), "Sell it.", **_PHONE),
    call("langgraph/problem_solver_advanced", "generic_stream", at(0, "solve", "solutions"), _ADVICE, **_PHONE),
    call("letta/advanced", "basic", at("messages", 0, "content"), _SAID, message="Hello"),
    call("letta/advanced", "basic_stream", each("content"), ["You", "said:", "Hello"], message="Hello"),
    call("letta/default", "astrology", at("messages", 0, "content"), _SAID, message="Hello"),
    call("letta/default", "astrology_stream", each("content"), ["You", "said:", "Hello"], message="Hello"),
    call("letta/rag", "basic", at("messages", 0, "content"), _SAID, message="Hello"),
    # It calls a function that its author has commented out, and streams what Python says of that.
    call(
        "letta/rag",
        "basic_stream",
        at(),
        ["Letta streaming error: name '_extract_message_from_input' is not defined"],
        message="Hello",
    ),
    call(
        "llamaindex/default",
        "math_run",
        at("response", "blocks", 0, "text"),
        "The product is 42.",
        "What is 6 times 7?",
    ),
    call("llamaindex/default", "math_stream", last("response"), "The product is 42.", "What is 6 times 7?"),
    call("openai/default", "simple_assistant", at("choices", 0, "message", "content"), _SAID, "Hello"),
    call("openai/default", "simple_assistant_extracted", at("extracted_content"), _SAID, "Hello"),
    call(
        "openai/default",
        "simple_assistant_stream",
        each("choices", 0, "delta", "content"),
        ["", *_WORDS, None],
        "Hello",
    ),
    call("openai/default", "simple_assistant_extracted_stream", each("delta_content"), ["", *_WORDS, None], "Hello"),
    call("openai/email_agent", "generic_email", at(), "Dear Bob, hello.", **_EMAIL),
    call("openai/email_agent", "email_stream", at(), ["Dear", " Bob,", " hello."], **_EMAIL),
    call("parlant/default", "parlant_simple", at("content"), _SAID, message="Hello"),
    call("parlant/default", "parlant_stream", each("content"), ["You ", "said: ", "Hello ", ""], message="Hello"),
)

NOT_CALLED = {
    (
        "n8n/default",
        "food_doctor",
    ): "It is a workflow in the account of its author, which tests have no business to call.",
}
"""Entrypoints that are served, and why nobody calls them here."""


def python_of_the_templates() -> Path:
    """Returns the interpreter that has what the templates import; skips the test, or fails it, where there is none."""
    if (_ENVIRONMENT / "done").exists():
        return _ENVIRONMENT / "bin" / "python"
    reason = "What the templates import is missing; `make test-frameworks FRAMEWORK=published_templates` installs it."
    if os.environ.get("REQUIRE_FRAMEWORKS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def unpacked_templates(python: Path) -> Path:
    """Returns the folder with the templates, downloaded when they are first asked for."""
    folder = _ENVIRONMENT / "published"
    done = folder / "done"
    if not done.exists():
        download = [str(python), "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*download, "--dest", str(folder), _PACKAGE], check=True)
        (sdist,) = folder.glob("*.tar.gz")
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        done.touch()
    (templates,) = folder.glob("*/templates")
    return templates
