"""What `runagent serve` says once it serves: what can be called, and a command to try."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

from runagent_cli.inputs import inputs_of
from runagent_cli.run import run
from runagent_cli.run_stream import run_stream
from runagent_cli.shell import INDENT, pasted

if TYPE_CHECKING:
    from runagent_grpc.core.manifest import AgentManifest

__all__ = ["addresses", "banner", "entrypoint_lines", "host_for_others"]

_COLUMNS = 80
_LONGEST_TAG = 30

# Kept for documentation (RFC 5737), so that nothing is there. None of the probe's bytes leave the machine.
_OUT_THERE = ("192.0.2.1", 9)

_TAKEN = frozenset(
    {"--help", *(name for command in (run, run_stream) for parameter in command.params for name in parameter.opts)}
)
"""The names that are no entrypoint's where they do not follow a bare `--`."""


def addresses(host: str, *, http_port: int | None, grpc_port: int | None) -> list[str]:
    """Returns where an agent is served, as clients take it."""
    from runagent_grpc.addresses import joined

    ports = {"grpc": grpc_port, "http": http_port}
    return [f"{scheme}://{joined(host, port)}" for scheme, port in ports.items() if port is not None]


def host_for_others(host: str) -> str | None:
    """Returns an address that other machines can use, for a server on every address of this one.

    None for any other server, and where this machine knows no way out.
    """
    from runagent_grpc.addresses import connectable, is_loopback

    if connectable(host) == host:
        return None
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(_OUT_THERE)
            address: str = probe.getsockname()[0]
    except OSError:
        return None
    return None if is_loopback(address) else address


def banner(agent: AgentManifest, *, asks_for_key: bool) -> str:
    """Returns what follows the address, at most 80 columns wide where the agent's names allow it."""
    where = "another terminal, with RUNAGENT_API_KEY set to a key" if asks_for_key else "another terminal"
    lines = [
        f"{INDENT}id  {agent.agent_id}",
        "",
        *entrypoint_lines(agent),
        "",
        f"Try it from {where}:",
        *_command(agent),
        "",
        "Press Ctrl-C to stop.",
    ]
    return "\n".join(lines)


def entrypoint_lines(agent: AgentManifest) -> Iterator[str]:
    """Returns a line for each entrypoint: its tag, what calling it gives, and what it is for."""
    entrypoints = agent.entrypoints.values()
    width = min(max(len(entrypoint.tag) for entrypoint in entrypoints), _LONGEST_TAG)
    for entrypoint in entrypoints:
        kind = "stream" if entrypoint.streaming else "value"
        summary = _first_sentence(entrypoint.description)
        line = f"{INDENT}{entrypoint.tag:<{width}}  {kind:<6}  {summary}".rstrip()
        room = max(_COLUMNS, len(f"{INDENT}{entrypoint.tag:<{width}}  {kind:<6}"))
        yield line if len(line) <= room else f"{line[: room - 3].rstrip()}..."


def _first_sentence(description: str) -> str:
    sentence, stop, _ = " ".join(description.split("\n\n")[0].split()).partition(". ")
    return sentence + stop.rstrip()


def _command(agent: AgentManifest) -> Iterator[str]:
    """Returns the lines of a command that works as it stands."""
    # The first that streams, or else the first.
    entrypoint = max(agent.entrypoints.values(), key=lambda entrypoint: entrypoint.streaming)
    required = [parameter for parameter in inputs_of(entrypoint.input_schema) if parameter.required]
    words = [
        "runagent run-stream" if entrypoint.streaming else "runagent run",
        f"--id {shlex.quote(agent.agent_id)}",
        "--local",
        f"--tag {shlex.quote(entrypoint.tag)}",
    ]
    if any(f"--{parameter.name}" in _TAKEN for parameter in required):
        words.append("--")
    words += [f"--{parameter.name}={shlex.quote(parameter.example)}" for parameter in required]
    return pasted(words)
