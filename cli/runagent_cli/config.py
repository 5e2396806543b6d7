"""`runagent config`: the settings that are kept on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from runagent_cli import output
from runagent_cli.db_view import format_option, json_text, table
from runagent_cli.effective import effective_settings, masked
from runagent_cli.failures import CommandFailedError, failing_as
from runagent_cli.target import utf8_text

__all__ = ["config"]


@click.group(invoke_without_command=True, short_help="Keep a base URL and a key; show or reset them.")
@click.option("--set-api-key", metavar="KEY", callback=utf8_text, help="Keep this key.")
@click.option("--set-base-url", metavar="URL", callback=utf8_text, help="Keep this base URL.")
@click.option(
    "--register-agent",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="PATH",
    help="Accepted, and needless: `runagent serve` registers what it serves.",
)
@click.option("--delete-agent", metavar="ID", callback=utf8_text, help="Forget where an agent of this machine was.")
@click.pass_context
def config(
    context: click.Context,
    set_api_key: str | None,
    set_base_url: str | None,
    register_agent: Path | None,
    delete_agent: str | None,
) -> None:
    """Keeps which server to call where no command line names one, and the key for it.

    RUNAGENT_BASE_URL and RUNAGENT_API_KEY go before what is kept. The kept key is sent to the kept base URL alone.
    Without a command or an option, shows what is in effect.

    \b
    Examples:
      runagent config set-base-url https://agents.example
      runagent config set-api-key
      runagent config --set-base-url http://localhost:8450
      runagent config show
    """
    if set_base_url is not None or set_api_key is not None:
        _keep(base_url=set_base_url, api_key=set_api_key)
    if register_agent is not None:
        output.note(f"Nothing to do: `runagent serve {register_agent}` registers the agent when it serves it.")
    if delete_agent is not None:
        _forget(delete_agent)
    told = (set_api_key, set_base_url, register_agent, delete_agent)
    if context.invoked_subcommand is None and all(option is None for option in told):
        context.invoke(show, output_format="table")


@config.command("set-base-url", short_help="Keep the server to call by default.")
@click.argument("url", callback=utf8_text)
def set_base_url_command(url: str) -> None:
    """Keeps URL as the server to call where no command line names one: http, https, grpc or grpcs."""
    _keep(base_url=url)


@config.command("set-api-key", short_help="Keep the key for that server.")
@click.argument("key", required=False, callback=utf8_text)
def set_api_key_command(key: str | None) -> None:
    """Keeps KEY for the kept base URL. Without KEY, asks for it, or reads it from standard input where that is no
    terminal, so that no command line shows it."""
    _keep(api_key=_asked_for() if key is None else key)


@config.command(short_help="Show the settings, and where each is from.")
@format_option()
def show(output_format: str) -> None:
    """Shows the settings in effect, and where each is from. Of a key, only the end is shown."""
    with failing_as(), output.DataOutput() as data:
        settings = effective_settings()
        shown = {
            "base_url": (settings.base_url.value, settings.base_url.source),
            "api_key": (masked(settings.api_key.value), settings.api_key.source),
        }
        if output_format == "json":
            told = {name: {"value": value or None, "source": source or None} for name, (value, source) in shown.items()}
            data.write_text(json_text(told))
        else:
            rows = [(name, value or "not set", source) for name, (value, source) in shown.items()]
            data.write_text(table(("SETTING", "VALUE", "FROM"), rows, elastic=(1,)))
    if settings.key_is_for:
        output.warning(f"The kept key is for {settings.key_is_for}, and goes to no other server.")


@config.command(short_help="Forget the settings.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def reset(yes: bool) -> None:
    """Forgets the base URL and the key that are kept. The registry and the history stay."""
    from runagent_grpc.local.registry_file import registry_path
    from runagent_grpc.local.user_settings import remove_user_settings

    if not yes:
        click.confirm("Forget the base URL and the API key?", abort=True, err=True)
    with failing_as():
        removed = remove_user_settings(registry_path())
    output.note("The settings are forgotten." if removed else "No settings were kept.")


def _keep(*, base_url: str | None = None, api_key: str | None = None) -> None:
    from runagent_grpc.local.registry_file import registry_path
    from runagent_grpc.local.user_settings import change_user_settings

    given = {"base_url": base_url and base_url.strip(), "api_key": api_key and api_key.strip()}
    changes = {name: value for name, value in given.items() if value is not None}
    with failing_as():
        # All of it, before any of it is kept.
        if "base_url" in changes:
            _check_base_url(changes["base_url"])
        if "api_key" in changes:
            _check_api_key(changes["api_key"])
        change_user_settings(registry_path(), changes)
        settings = effective_settings()
    key = settings.api_key
    if "base_url" in changes:
        output.note(f"The base URL is {changes['base_url']}.")
        if settings.base_url.source == "RUNAGENT_BASE_URL":
            output.warning("RUNAGENT_BASE_URL is set, and goes before it.")
        if key.value and key.source != "RUNAGENT_API_KEY" and "api_key" not in changes:
            output.note(f"The kept key, {masked(key.value)}, goes there from now on.")
    if "api_key" in changes:
        output.note(f"The API key is {masked(changes['api_key'])}.")
        if key.source == "RUNAGENT_API_KEY":
            output.warning("RUNAGENT_API_KEY is set, and goes before it.")
        if not settings.base_url.value:
            output.note("It goes to the base URL alone; `runagent config set-base-url URL` names one.")


def _check_base_url(url: str) -> None:
    """Refuses what clients would not take."""
    from runagent_grpc.client.address import resolve
    from runagent_grpc.local.registry import Registry

    # An empty one would be none to `resolve`.
    given: dict[str, Any] = {"agent_id": "", "local": False, "host": None, "port": None, "base_url": url or " "}
    resolve(**given, transport="auto", environ={}, registry=Registry())


def _check_api_key(key: str) -> None:
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise CommandFailedError("The API key is empty, or holds characters that no header can carry.")


def _asked_for() -> str:
    if sys.stdin is not None and not sys.stdin.isatty():
        return sys.stdin.readline()
    key: str = click.prompt("API key", hide_input=True, err=True)
    return key


def _forget(agent_id: str) -> None:
    from runagent_grpc.local.registry import Registry

    with failing_as():
        registry = Registry()
        if registry.living(agent_id):
            raise CommandFailedError(f"Agent `{agent_id}` is being served.", suggestion="Stop its server first.")
        if not registry.remove(agent_id):
            raise CommandFailedError(f"No agent `{agent_id}` has been served on this machine.")
    output.note(f"The agent `{agent_id}` is forgotten; its folder and its history stay.")
