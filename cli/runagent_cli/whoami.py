"""`runagent whoami`: which server is called by default, whether it answers, and with which key."""

from __future__ import annotations

import textwrap
from typing import Any

import click

from runagent_cli import output
from runagent_cli.db_view import format_option, json_text
from runagent_cli.effective import EffectiveSettings, effective_settings, masked
from runagent_cli.failures import failing_as
from runagent_cli.probe import PATIENCE_SECONDS

__all__ = ["whoami"]

_COLUMNS = 80
_HANGING = 10


@click.command(short_help="Show which server is called by default, and as whom.")
@format_option("text")
def whoami(output_format: str) -> None:
    """Shows the server that is called where no command line names one, whether it answers, and the key for it."""
    with failing_as(), output.DataOutput() as data:
        settings = effective_settings()
        told = _told(settings)
        data.write_text(json_text(told) if output_format == "json" else _text(settings, told))


def _told(settings: EffectiveSettings) -> dict[str, Any]:
    key = settings.api_key if not settings.key_is_for else None
    return {
        "base_url": settings.base_url.value or None,
        "base_url_source": settings.base_url.source or None,
        "api_key": (key and masked(key.value)) or None,
        "api_key_source": (key and key.source) or None,
        **_answer(settings),
    }


def _answer(settings: EffectiveSettings) -> dict[str, Any]:
    """Asks the server what it serves."""
    from runagent_grpc.client import RunAgentClient
    from runagent_grpc.errors import AuthenticationError, PermissionDeniedError, RunAgentError

    if not settings.base_url.value:
        return {"answers": None, "agents": [], "error": None}
    try:
        with RunAgentClient(local=False, timeout=PATIENCE_SECONDS) as client:
            agents = client.list_agents()
    except RunAgentError as error:
        refuses = isinstance(error, AuthenticationError | PermissionDeniedError)
        return {"answers": refuses, "agents": [], "error": error.message}
    told = [{"agent_id": agent.agent_id, "agent_name": agent.agent_name, "version": agent.version} for agent in agents]
    return {"answers": True, "agents": told, "error": None}


def _text(settings: EffectiveSettings, told: dict[str, Any]) -> str:
    if told["base_url"]:
        lines = [("Server", f"{told['base_url']} (from {told['base_url_source']})"), ("Answers", _answers(told))]
        lines += [("Agent", _agent(agent)) for agent in told["agents"]]
    else:
        lines = [
            (
                "Server",
                "none by default. Name one by --local, or --host and --port, or keep one with "
                "`runagent config set-base-url URL`.",
            )
        ]
    if told["api_key"]:
        key = f"{told['api_key']} (from {told['api_key_source']})"
    elif settings.key_is_for:
        key = f"none; the one that is kept is for {settings.key_is_for}"
    else:
        key = "none"
    lines.append(("API key", key))
    return "".join(f"{line}\n" for name, value in lines for line in _wrapped(name, value))


def _answers(told: dict[str, Any]) -> str:
    if told["error"]:
        return f"{'yes, and refuses' if told['answers'] else 'no'}: {told['error']}"
    return "yes"


def _agent(agent: dict[str, str]) -> str:
    words = [agent["agent_id"], agent["version"], f"({agent['agent_name']})" if agent["agent_name"] else ""]
    return " ".join(word for word in words if word)


def _wrapped(name: str, value: str) -> list[str]:
    return textwrap.wrap(
        output.printable(f"{name:<{_HANGING - 1}} {value}"),
        _COLUMNS,
        subsequent_indent=" " * _HANGING,
        break_long_words=False,
        break_on_hyphens=False,
    )
