"""The options that say which agent is meant, and where it is served. Where that leads is the client's to find out."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from runagent_cli.retry_notices import tell_outages

if TYPE_CHECKING:
    from runagent_grpc.client import RunAgentClient

__all__ = ["Target", "target_options", "utf8_text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An agent, as the command line names it."""

    agent_id: str | None
    host: str | None
    port: int | None
    local: bool
    transport: Any
    """`auto`, `grpc` or `http`."""
    api_key: str | None

    def check_one_approach(self) -> None:
        """Raises UsageError unless there is either an id, or both host and port (docs/wire.md, CLI texts)."""
        has_address = self.host is not None or self.port is not None
        if self.agent_id and has_address:
            raise click.UsageError("Cannot specify both --agent-id and --host/--port. Choose one approach.")
        if not self.agent_id and not has_address:
            raise click.UsageError("Must specify either --agent-id or both --host and --port.")
        self.check_whole_address()

    def check_whole_address(self) -> None:
        """Raises UsageError for one of host and port alone."""
        if (self.host is None) != (self.port is None):
            raise click.UsageError("When using host/port, both --host and --port must be specified.")

    def words(self) -> list[str]:
        """Returns the options that name the same agent again; of a key, only that there is to be one."""
        options = {
            "--id": self.agent_id,
            "--host": self.host,
            "--port": self.port,
            "--transport": None if self.transport == "auto" else self.transport,
            "--api-key": "KEY" if self.api_key else None,
        }
        words = [f"{name} {shlex.quote(str(value))}" for name, value in options.items() if value is not None]
        return [*words, "--local"] if self.local else words

    def client(self, entrypoint_tag: str | None = None, **options: Any) -> RunAgentClient:
        """Returns a client of the agent. Raises RunAgentError where nothing says where it is."""
        from runagent_grpc.client import RunAgentClient

        tell_outages()
        return RunAgentClient(
            self.agent_id,
            entrypoint_tag,
            local=self.local,
            host=self.host,
            port=self.port,
            transport=self.transport,
            api_key=self.api_key,
            **options,
        )


def utf8_text(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A click callback that refuses what no message can carry: bytes of the command line that are not UTF-8."""
    if value is not None and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise click.BadParameter("It is not UTF-8 text.", ctx=context, param=parameter) from None
    return value


_OPTIONS = (
    click.option("--id", "--agent-id", "agent_id", metavar="ID", callback=utf8_text, help="The agent's id."),
    click.option("--local", is_flag=True, help="Look the agent up among those served on this machine."),
    click.option("--host", metavar="HOST", callback=utf8_text, help="The server's host; with --port."),
    click.option("--port", type=click.IntRange(1, 65535), metavar="PORT", help="The server's port; with --host."),
    click.option(
        "--transport",
        type=click.Choice(["auto", "grpc", "http"]),
        default="auto",
        show_default=True,
        help="What to speak to the server.",
    ),
    click.option(
        "--api-key",
        metavar="KEY",
        help="The key to call with. Better set RUNAGENT_API_KEY: other users of this machine can see a command line.",
    ),
)


def target_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options of a target, which it takes as its argument `target`."""

    @functools.wraps(command)
    def with_target(
        *args: Any,
        agent_id: str | None,
        local: bool,
        host: str | None,
        port: int | None,
        transport: str,
        api_key: str | None,
        **options: Any,
    ) -> None:
        target = Target(agent_id=agent_id, local=local, host=host, port=port, transport=transport, api_key=api_key)
        command(*args, target=target, **options)

    for option in reversed(_OPTIONS):
        with_target = option(with_target)
    return with_target
