"""The arguments of a call: free `--key=value` parameters, or one JSON object from a file.

Free values stay the strings that they are: the server knows the entrypoint's signature, and coerces them by it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from runagent_cli.failures import CommandFailedError

__all__ = ["STANDARD_INPUT", "keyword_arguments"]

STANDARD_INPUT = "-"

_UTF8_BOM = b"\xef\xbb\xbf"

_JSON_NAMES = {
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}


def keyword_arguments(extra: Sequence[str], input_file: str | None) -> dict[str, Any]:
    """Returns the arguments that the command line gives an entrypoint.

    Raises UsageError for what is no `--key=value`, and for a file and parameters together; CommandFailedError for a
    file that holds no JSON object.
    """
    parameters = _parameters(extra)
    if input_file is None:
        return parameters
    if parameters:
        raise click.UsageError(
            "Cannot specify both --input file and extra parameters. "
            "Use either --input config.json OR --param1=value1 --param2=value2"
        )
    return _object_in(input_file)


def _parameters(extra: Sequence[str]) -> dict[str, Any]:
    parameters = {}
    stray = []
    for argument in extra:
        name, equals, value = argument.removeprefix("--").partition("=")
        if argument.startswith("--") and name and equals:
            parameters[name] = value
        else:
            stray.append(argument)
    if stray:
        raise click.UsageError(f"Invalid extra arguments: {stray}. Extra parameters must be in --key=value format.")
    for name, value in parameters.items():
        if not (_is_utf8(name) and _is_utf8(value)):
            shown = name.encode("ascii", "backslashreplace").decode()
            raise click.UsageError(f"The parameter --{shown} is not UTF-8 text.")
    return parameters


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _object_in(input_file: str) -> dict[str, Any]:
    from runagent_grpc.errors import InvalidRequestError
    from runagent_grpc.values.payload import parse_json

    try:
        value = parse_json(_read(input_file).removeprefix(_UTF8_BOM))
    except InvalidRequestError as error:
        raise CommandFailedError(f"Invalid JSON in input file: {input_file}", suggestion=error.message) from error
    if not isinstance(value, dict):
        raise CommandFailedError(
            f"The input file {input_file} holds {_JSON_NAMES[type(value)]}, not an object.",
            suggestion='Name the parameters in it, such as {"message": "Hello"}.',
        )
    return value


def _read(input_file: str) -> bytes:
    if input_file == STANDARD_INPUT:
        if sys.stdin is None:
            raise CommandFailedError("There is no standard input to read from.")
        return sys.stdin.buffer.read()
    try:
        return Path(input_file).read_bytes()
    except OSError as error:
        raise CommandFailedError(f"The input file {input_file} cannot be read: {error.strerror}.") from error
