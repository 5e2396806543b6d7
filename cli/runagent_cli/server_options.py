"""What sets up a server on the command line: options made from the declarations of its settings, and a file."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from runagent_cli.failures import CommandFailedError
from runagent_grpc.server.config import SETTINGS, ServerConfig
from runagent_grpc.settings import Kind, Setting

__all__ = ["config_option", "server_config", "server_options"]

_Command = TypeVar("_Command", bound=Callable[..., None])

_WITH_FLAGS = tuple(setting for setting in SETTINGS if setting.flags)


class _Value(click.ParamType):  # type: ignore[type-arg] # not generic in the oldest click
    """A setting's value, written as it is in the environment."""

    def __init__(self, setting: Setting) -> None:
        self.name = setting.name
        self._setting = setting

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._setting.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def server_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command these options, which it takes as `config_file`, and as `flags`: those given, by name."""

    @functools.wraps(command)
    def with_flags(*args: Any, **options: Any) -> None:
        context = click.get_current_context()
        flags = {}
        for setting in _WITH_FLAGS:
            value = options.pop(parameter := _parameter_of(setting))
            # Asked of click, since `none` is a value, too.
            if context.get_parameter_source(parameter) is ParameterSource.COMMANDLINE:
                flags[setting.name] = _joined(value)
        command(*args, flags=flags, **options)

    decorated: Callable[..., None] = with_flags
    for setting in reversed(_WITH_FLAGS):
        decorated = _option_of(setting)(decorated)
    help_text = (
        "Take settings from this YAML or JSON file. Variables RUNAGENT_SERVER_... go before it, flags before both."
    )
    return config_option(help_text)(decorated)


def config_option(help_text: str) -> Callable[[_Command], _Command]:
    """Gives a command the option, which it takes as its argument `config_file`."""
    return click.option("--config", "config_file", type=click.Path(path_type=Path), metavar="FILE", help=help_text)


def server_config(file: Path | None, flags: Mapping[str, Any]) -> ServerConfig:
    """Returns the configuration of a server from all its sources, or raises CommandFailedError with all problems."""
    from runagent_grpc.server.config_sources import InvalidConfigError, load_config

    try:
        return load_config(file, environment=os.environ, flags=flags)
    except InvalidConfigError as error:
        many = len(error.problems) > 1
        raise CommandFailedError(f"The server configuration is invalid:\n{error}" if many else str(error)) from error


def _option_of(setting: Setting) -> Callable[[Callable[..., None]], Callable[..., None]]:
    parameter, flags = _parameter_of(setting), setting.flags or ""
    # The default is shown, not given: what was not given leaves the setting to the environment and the file.
    if setting.kind is Kind.BOOLEAN:
        shown = flags.split("/")[0 if setting.default else 1].removeprefix("--")
        return click.option(flags, parameter, default=None, help=f"{setting.help}  [default: {shown}]")
    is_list = setting.kind is Kind.TEXTS
    more = "May be repeated." if is_list else f" [default: {setting.default_text}]"
    return click.option(
        flags,
        parameter,
        type=_Value(setting),
        multiple=is_list,
        metavar=setting.metavar,
        help=f"{setting.help} {more}",
    )


def _parameter_of(setting: Setting) -> str:
    return f"set_{setting.name}"


def _joined(value: Any) -> Any:
    """Returns the items of a flag that was repeated in one tuple, and anything else as it is."""
    return tuple(item for items in value for item in items) if isinstance(value, tuple) else value
