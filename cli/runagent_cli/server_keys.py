"""The API keys that a server asks its callers for: where the command line and the environment name them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from runagent_cli.failures import CommandFailedError

if TYPE_CHECKING:
    from runagent_grpc.auth.api_keys import ApiKeys

__all__ = ["KEYS_VARIABLE", "api_key_file_option", "keys_of"]

KEYS_VARIABLE = "RUNAGENT_API_KEYS"
_Command = TypeVar("_Command", bound=Callable[..., None])


def api_key_file_option(help_text: str) -> Callable[[_Command], _Command]:
    """Gives a command the option, which it takes as its argument `api_key_file`."""
    return click.option("--api-key-file", type=click.Path(path_type=Path), metavar="FILE", help=help_text)


def keys_of(file: Path | None) -> ApiKeys:
    """Returns the keys in a file and in the environment, or raises CommandFailedError where they cannot be used.

    Takes the variable out of the environment, so that neither the agent's code nor a program that it starts finds it:
    call this before the agent is loaded.
    """
    from runagent_grpc.auth.api_keys import ApiKeys

    text = os.environ.pop(KEYS_VARIABLE, None)
    try:
        keys = ApiKeys.parse(text or "")
    except ValueError as error:
        raise CommandFailedError(f"{KEYS_VARIABLE}: {error}") from error
    if text is not None and not keys:
        raise CommandFailedError(
            f"{KEYS_VARIABLE} is set and holds no API key. Give it keys with commas between, or unset {KEYS_VARIABLE}."
        )
    if file is None:
        return keys
    try:
        return keys | ApiKeys.read(file)
    except OSError as error:
        raise CommandFailedError(f"The API key file {file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise CommandFailedError(f"The API key file {file} is not UTF-8 text.") from error
    except ValueError as error:
        raise CommandFailedError(f"The API key file {file} cannot be used: {error}") from error
