"""`runagent serve`: serves the agent in a folder until it is told to stop."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runagent_cli import output
from runagent_cli.failures import CommandFailedError, failing_as
from runagent_cli.limits import Limits, limit_options
from runagent_cli.running_check import check_not_served
from runagent_cli.server_keys import KEYS_VARIABLE, api_key_file_option, keys_of

if TYPE_CHECKING:
    from runagent_grpc.local.registry import Registry
    from runagent_grpc.server.reload import ReloadListener
    from runagent_grpc.server.server import Server, ServerSettings
    from runagent_grpc.worker import Agent

__all__ = ["serve"]


@click.command(short_help="Serve the agent in a folder.")
@click.argument("path", default=".", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, metavar="HOST", help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="HTTP port; 0 takes any.  [default: 8450, or the next that is free]",
)
@click.option(
    "--grpc-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="gRPC port; 0 takes any.  [default: 50051, or the next that is free]",
)
@click.option("--no-http", is_flag=True, help="Serve gRPC alone, without REST and WebSocket.")
@click.option("--no-grpc", is_flag=True, help="Serve REST and WebSocket alone, without gRPC.")
@click.option(
    "--cors-origin",
    "cors_origins",
    multiple=True,
    metavar="ORIGIN",
    help="Let web pages of this origin call, such as https://app.example; may be repeated. Local pages may anyway.",
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="Take HTTP requests that name this host, such as a proxy's or a container's name; may be repeated.",
)
@api_key_file_option(f"Ask callers for one of the keys in this file, one a line. {KEYS_VARIABLE} may hold keys, too.")
@click.option("--no-payloads", is_flag=True, help="Keep no input and no output in the history.")
@click.option(
    "--max-recorded-bytes",
    type=click.IntRange(256),
    default=64 * 1024,
    show_default=True,
    metavar="BYTES",
    help="How much of a call's input, and of its output, the history keeps.",
)
@click.option(
    "--journal",
    is_flag=True,
    help="Keep the chunks of streams that can be resumed on disk, as they are, for whoever asks after a crash.",
)
@limit_options
@click.option("--reload", is_flag=True, help="Load the agent anew when its files change, for the calls that come.")
@click.option("--insecure", is_flag=True, help="Listen beyond this machine without asking for keys.")
@click.option("--another", is_flag=True, help="Serve it even where a server of this agent runs already.")
@click.option("--debug", is_flag=True, help="Log everything, and show the traceback of a failure.")
@click.option("--no-animation", is_flag=True, expose_value=False, help="Accepted; there is no animation.")
@click.option(
    "--animation-style",
    type=click.Choice(["field", "ascii", "minimal", "quick"]),
    expose_value=False,
    help="Accepted; there is no animation.",
)
@click.pass_context
def serve(
    context: click.Context,
    path: Path,
    host: str,
    port: int | None,
    grpc_port: int | None,
    no_http: bool,
    no_grpc: bool,
    cors_origins: tuple[str, ...],
    allowed_hosts: tuple[str, ...],
    api_key_file: Path | None,
    no_payloads: bool,
    max_recorded_bytes: int,
    journal: bool,
    limits: Limits,
    reload: bool,
    insecure: bool,
    another: bool,
    debug: bool,
) -> None:
    """Serves the agent in the folder PATH until Ctrl-C or SIGTERM.

    Calls that run then may end; a second signal leaves at once.

    \b
    Examples:
      runagent serve
      runagent serve path/to/agent --port 8000 --grpc-port 50052
      runagent serve --reload
      runagent serve --cors-origin https://app.example
      runagent serve path/to/agent --host 0.0.0.0 --api-key-file keys.txt
    """
    if no_http and no_grpc:
        raise click.UsageError("--no-http and --no-grpc leave nothing to serve; give one of them.")
    if journal and no_payloads:
        raise click.UsageError("--journal keeps chunks as they are, --no-payloads keeps none; give one of them.")
    context.find_root().params["debug"] |= debug
    from runagent_grpc.server.grpc_forks import import_without_fork_handlers

    # Before anything else imports gRPC: the agent's entrypoints may fork.
    import_without_fork_handlers()
    from runagent_cli.logs import log_to_stderr
    from runagent_grpc.server.server import ServerSettings
    from runagent_grpc.store import RecordingSettings

    log_to_stderr(debug=context.find_root().params["debug"])
    _warn_of_published_package()
    # Found before the agent is loaded, whose `.env` is for the agent's own code, not for the server.
    keys, registry = keys_of(api_key_file), _registry()
    # What the agent prints is for whoever watches the server; stdout stays for data.
    with contextlib.redirect_stdout(sys.stderr), _load(path) as agent:
        if not another:
            check_not_served(agent, registry)
        _serve(
            agent,
            registry,
            ServerSettings(
                host=host,
                http=not no_http,
                http_port=port,
                grpc_enabled=not no_grpc,
                grpc_port=grpc_port,
                allowed_hosts=allowed_hosts,
                cors_origins=cors_origins,
                keys=keys,
                insecure=insecure,
                drain_grace=limits.drain_grace,
                engine=limits.of_engine(),
                journal=journal,
                recording=RecordingSettings(record_payloads=not no_payloads, max_recorded_bytes=max_recorded_bytes),
            ),
            reload_listener=_reload_listener() if reload else None,
        )
    output.note("Stopped.")


def _load(path: Path) -> Agent:
    from runagent_grpc.worker import InvalidAgentError, load_agent

    try:
        return load_agent(path)
    except InvalidAgentError as error:
        many = len(error.problems) > 1
        raise CommandFailedError(f"The agent cannot be served:\n{error}" if many else str(error)) from error


def _registry() -> Registry:
    from runagent_grpc.local.registry import Registry

    return Registry()


def _serve(
    agent: Agent, registry: Registry, settings: ServerSettings, *, reload_listener: ReloadListener | None
) -> None:
    from runagent_grpc.addresses import PortInUseError
    from runagent_grpc.server.process import NoJournalError, serve_until_signalled
    from runagent_grpc.server.server import UnsafeSettingsError

    try:
        with failing_as():
            serve_until_signalled(
                agent,
                settings=settings,
                registry=registry,
                on_ready=_announce,
                on_stop=_announce_stop,
                reload_listener=reload_listener,
            )
    except (NoJournalError, PortInUseError, UnsafeSettingsError) as error:
        raise CommandFailedError(str(error)) from error
    except OSError as error:
        raise CommandFailedError(
            f"The server cannot listen on {settings.host}: {error.strerror or error}.",
            suggestion="Give an address of this machine with --host.",
        ) from error


def _reload_listener() -> ReloadListener:
    from runagent_grpc.server.reload import ReloadListener

    return ReloadListener(on_reloaded=_announce_reload, on_refused=_announce_refusal)


def _announce_reload(agent: Agent, files: tuple[str, ...]) -> None:
    first, *others = files
    what = f"{first} and {len(others):,} more have changed" if others else f"{first} has changed"
    output.note(f"Loaded anew, for {what}.")


def _announce_refusal(reason: str) -> None:
    output.failure(f"Not taken, and nothing has changed for callers:\n{reason}")


def _announce(server: Server) -> None:
    from runagent_cli.banner import addresses, banner, host_for_others

    words = f"{server.agent.agent_name} is served at"
    for address in addresses(server.host, http_port=server.http_port, grpc_port=server.grpc_port):
        output.title(f"{words} {address}")
        words = "and at".rjust(len(words))
    if host := host_for_others(server.settings.host):
        words = "from other machines at".rjust(len(words))
        for address in addresses(host, http_port=server.http_port, grpc_port=server.grpc_port):
            output.title(f"{words} {address}")
            words = "and at".rjust(len(words))
    _warn_of_strangers(server.settings)
    output.note(banner(server.agent, asks_for_key=bool(server.settings.keys)))


def _announce_stop(server: Server) -> None:
    running = server.engine.running
    calls = "1 call that still runs" if running == 1 else f"{running:,} calls that still run"
    waiting = f"waiting up to {server.settings.drain_grace:g} s for {calls}. " if running else ""
    output.note(f"Stopping: {waiting}Press Ctrl-C again to leave at once." if waiting else "Stopping.")


def _warn_of_strangers(settings: ServerSettings) -> None:
    from runagent_grpc.addresses import is_loopback

    if is_loopback(settings.host):
        return
    if settings.keys:
        output.warning(f"It listens on {settings.host}, and without TLS: keys can be read on the way.")
    else:
        output.warning(f"It listens on {settings.host}, and asks for no key: anyone there can call the agent.")


def _warn_of_published_package() -> None:
    from importlib.metadata import PackageNotFoundError, version

    with contextlib.suppress(PackageNotFoundError):
        output.warning(
            f"The published package `runagent` {version('runagent')} is installed here, too, and claims the same\n"
            "import name and command. Uninstall both, then install runagent-grpc alone."
        )
