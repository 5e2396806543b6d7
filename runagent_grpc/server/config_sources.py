"""Where a server's settings come from: flags first, then the environment, then a file, then the defaults."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runagent_grpc.server.config import SETTINGS, ServerConfig
from runagent_grpc.server.config_file import UnreadableConfigError, read_config_file

__all__ = ["InvalidConfigError", "load_config"]

_PREFIX = "RUNAGENT_SERVER_"
_WRAPPING_BYTES = 64 * 1024
"""What a gRPC message may hold besides the one payload."""
_OF_KUBERNETES = re.compile(r"SERVICE_HOST|SERVICE_PORT.*|PORT_\d+_.*")


class InvalidConfigError(Exception):
    """A configuration that cannot be used, with everything that is wrong with it."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        """A sentence each, with the file and the line, or the variable."""


def load_config(
    file: Path | None = None,
    *,
    environment: Mapping[str, str],
    flags: Mapping[str, Any],
) -> ServerConfig:
    """Returns the configuration of a server, or raises InvalidConfigError with every problem of all sources.

    Args:
        file: A configuration file, YAML or JSON.
        environment: Variables, of which those count that begin with `RUNAGENT_SERVER_`.
        flags: Values by the settings' names, checked already; those that were not given are left out.
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    if file is not None:
        try:
            values, problems = read_config_file(file)
        except UnreadableConfigError as error:
            problems = [str(error)]
    from_environment, more = _read_environment(environment)
    values |= from_environment
    values |= flags
    config = ServerConfig.of(values)
    problems += more
    problems += _contradictions(config)
    if problems:
        raise InvalidConfigError(tuple(problems))
    return config


def _read_environment(environment: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    by_variable = {setting.variable: setting for setting in SETTINGS}
    values: dict[str, Any] = {}
    problems: list[str] = []
    for variable, text in sorted(environment.items()):
        if not variable.startswith(_PREFIX):
            continue
        setting = by_variable.get(variable)
        if setting is None:
            problems.append(f"{variable}: there is no such setting.{_hint(variable, list(by_variable))}")
            continue
        try:
            values[setting.name] = setting.parse(text)
        except ValueError as error:
            problems.append(f"{variable}: {error}")
    return values, problems


def _hint(variable: str, known: list[str]) -> str:
    if _OF_KUBERNETES.fullmatch(variable.removeprefix(_PREFIX)):
        return (
            " Kubernetes sets it for a Service named `runagent-server`: set `enableServiceLinks: false`, or rename it."
        )
    # Without the beginning that they share, by which all are alike.
    names = [name.removeprefix(_PREFIX) for name in known]
    near = difflib.get_close_matches(variable.removeprefix(_PREFIX), names, n=1)
    return f" Did you mean {_PREFIX}{near[0]}?" if near else ""


def _contradictions(config: ServerConfig) -> Iterator[str]:
    yield from config.contradictions()
    payload, message = config.limits.max_payload_bytes, config.grpc.max_message_bytes
    if config.listen.grpc and payload + _WRAPPING_BYTES > message:
        yield (
            f"`limits.max_payload_bytes` ({payload:,}) and 64 KiB for what wraps it exceed `grpc.max_message_bytes` "
            f"({message:,}). Lower the one, or raise the other."
        )
