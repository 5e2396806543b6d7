"""`runagent serve`: serves the agent in a folder until it is told to stop."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runagent_cli import output
from runagent_cli.failures import CommandFailedError, failing_as
from runagent_cli.running_check import check_not_served
from runagent_cli.server_keys import keys_of
from runagent_cli.server_options import server_config, server_options

if TYPE_CHECKING:
    from runagent_grpc.auth.api_keys import ApiKeys
    from runagent_grpc.local.registry import Registry
    from runagent_grpc.server.config import ServerConfig
    from runagent_grpc.server.reload import ReloadListener
    from runagent_grpc.server.server import Server
    from runagent_grpc.worker import Agent

__all__ = ["serve"]


@click.command(short_help="Serve the agent in a folder.")
@click.argument("path", default=".", type=click.Path(path_type=Path))
@server_options
@click.option("--reload", is_flag=True, help="Load the agent anew when its files change, for the calls that come.")
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
    config_file: Path | None,
    flags: Mapping[str, Any],
    reload: bool,
    another: bool,
    debug: bool,
) -> None:
    """Serves the agent in the folder PATH until Ctrl-C, SIGTERM or SIGHUP.

    Calls that run then may end; a second signal leaves at once.

    \b
    Examples:
      runagent serve
      runagent serve path/to/agent --port 8000 --grpc-port 50052
      runagent serve --reload
      runagent serve --cors-origin https://app.example
      runagent serve path/to/agent --host 0.0.0.0 --api-key-file keys.txt
      runagent serve path/to/agent --config server.yaml
    """
    if flags.get("http") is False and flags.get("grpc") is False:
        raise click.UsageError("--no-http and --no-grpc leave nothing to serve; give one of them.")
    if flags.get("journal") and flags.get("payloads") is False:
        raise click.UsageError("--journal keeps chunks as they are, --no-payloads keeps none; give one of them.")
    context.find_root().params["debug"] |= debug
    output.open_descriptors()
    from runagent_grpc.server.grpc_forks import import_without_fork_handlers

    # Before anything else imports gRPC: the agent's entrypoints may fork.
    import_without_fork_handlers()
    from runagent_cli.logs import log_to_stderr
    from runagent_grpc.worker.standard_streams import guarded_streams

    # Before the agent is loaded, which may keep a stream for later.
    context.with_resource(guarded_streams())
    context.with_resource(log_to_stderr(debug=context.find_root().params["debug"]))
    _warn_of_published_package()
    # Found before the agent is loaded, whose `.env` is for the agent's own code, not for the server.
    config = server_config(config_file, flags)
    keys, registry = keys_of(config.listen.api_key_file), _registry()
    # What the agent prints is for whoever watches the server; stdout stays for data.
    with contextlib.redirect_stdout(sys.stderr), _load(path) as agent:
        if not another:
            check_not_served(agent, registry)
        _serve(
            agent,
            registry,
            config,
            keys,
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
    agent: Agent,
    registry: Registry,
    config: ServerConfig,
    keys: ApiKeys,
    *,
    reload_listener: ReloadListener | None,
) -> None:
    from runagent_grpc.addresses import PortInUseError
    from runagent_grpc.server.config import UnsafeSettingsError
    from runagent_grpc.server.process import NoJournalError, serve_until_signalled

    try:
        with failing_as():
            serve_until_signalled(
                agent,
                config=config,
                authenticator=keys,
                registry=registry,
                on_ready=_announce,
                on_stop=_announce_stop,
                reload_listener=reload_listener,
            )
    except (NoJournalError, PortInUseError, UnsafeSettingsError) as error:
        raise CommandFailedError(str(error)) from error
    except OSError as error:
        raise CommandFailedError(
            f"The server cannot listen on {config.listen.host}: {error.strerror or error}.",
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
    if host := host_for_others(server.config.listen.host):
        words = "from other machines at".rjust(len(words))
        for address in addresses(host, http_port=server.http_port, grpc_port=server.grpc_port):
            output.title(f"{words} {address}")
            words = "and at".rjust(len(words))
    _warn_of_strangers(server)
    output.note(banner(server.agent, asks_for_key=server.authenticator.required))


def _announce_stop(server: Server) -> None:
    running = server.engine.running
    calls = "1 call that still runs" if running == 1 else f"{running:,} calls that still run"
    waiting = f"waiting up to {server.config.shutdown.drain_grace:g} s for {calls}. " if running else ""
    output.note(f"Stopping: {waiting}Press Ctrl-C again to leave at once." if waiting else "Stopping.")


def _warn_of_strangers(server: Server) -> None:
    from runagent_grpc.addresses import is_loopback

    host = server.config.listen.host
    if is_loopback(host):
        return
    if server.authenticator.required:
        output.warning(f"It listens on {host}, and without TLS: keys can be read on the way.")
    else:
        output.warning(f"It listens on {host}, and asks for no key: anyone there can call the agent.")


def _warn_of_published_package() -> None:
    from importlib.metadata import PackageNotFoundError, version

    with contextlib.suppress(PackageNotFoundError):
        output.warning(
            f"The published package `runagent` {version('runagent')} is installed here, too, and claims the same\n"
            "import name and command. Uninstall both, then install runagent-grpc alone."
        )
