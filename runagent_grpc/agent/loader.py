"""Loads an agent: reads its configuration, sets its environment, imports its files, finds its functions.

Whatever is wrong is collected on the way, and raised at the end, all of it. Nothing is ever installed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import MappingProxyType, ModuleType

from runagent_grpc.agent.agent import Agent
from runagent_grpc.agent.config import AgentConfig, EntrypointConfig, examine_config
from runagent_grpc.agent.config_file import CONFIG_FILE
from runagent_grpc.agent.entrypoint import Entrypoint
from runagent_grpc.agent.entrypoint_config import WebhookEntrypointConfig
from runagent_grpc.agent.environment import agent_environment, read_env_file
from runagent_grpc.agent.exports import Export, process_environment
from runagent_grpc.agent.modules import AgentModules
from runagent_grpc.agent.problems import InvalidAgentError
from runagent_grpc.agent.target import UnusableTargetError, find_file, find_function
from runagent_grpc.agent.tracebacks import describe_failed_import

__all__ = ["load_agent"]


def load_agent(folder: str | os.PathLike[str]) -> Agent:
    """Returns the agent in a folder, its files imported and its environment set, until `Agent.unload`.

    A folder may be loaded again while an agent that was loaded from it is in use: each has modules of its own, and the
    environment is the newest one's.

    Raises:
        InvalidAgentError: with every mistake in the configuration, the environment and the entrypoints. The process
            is then as it was before, as far as the author's code left it so.
    """
    folder = Path(folder).resolve()
    reading = examine_config(folder)
    problems = list(reading.problems)
    try:
        env_file = read_env_file(folder)
    except InvalidAgentError as error:
        env_file = {}
        problems += error.problems
    environment, mistakes = agent_environment(
        process=process_environment(), env_file=env_file, env_vars=reading.env_vars
    )
    problems += mistakes

    export = Export(folder, environment)
    modules = AgentModules(folder)

    def unload() -> None:
        modules.remove()
        export.remove()

    try:
        with modules.importing():
            entrypoints = _load_entrypoints(folder, reading.entrypoints, modules, problems)
        if problems or reading.config is None:
            raise InvalidAgentError(problems)
    except BaseException:
        unload()
        raise
    return _agent_of(reading.config, folder, entrypoints, unload)


def _agent_of(
    config: AgentConfig, folder: Path, entrypoints: Iterable[Entrypoint], unload: Callable[[], None]
) -> Agent:
    return Agent(
        agent_id=config.agent_id,
        agent_name=config.agent_name,
        description=config.description,
        version=config.version,
        framework=config.framework,
        auth_type=config.auth_settings.type,
        folder=folder,
        entrypoints=MappingProxyType({entrypoint.tag: entrypoint for entrypoint in entrypoints}),
        _unload=unload,
    )


def _load_entrypoints(
    folder: Path, configs: Iterable[EntrypointConfig], modules: AgentModules, problems: list[str]
) -> list[Entrypoint]:
    entrypoints = []
    # None for a file that cannot be loaded: one problem, however many entrypoints name it.
    loaded: dict[Path, ModuleType | None] = {}
    for config in configs:
        if isinstance(config, WebhookEntrypointConfig):
            # Refused already.
            continue
        where = f"{CONFIG_FILE}: the entrypoint `{config.tag}`"
        try:
            file = find_file(folder, config.file)
        except UnusableTargetError as error:
            problems.append(f"{where}, file `{config.file}`: {error}")
            continue
        if file not in loaded:
            loaded[file] = _load_file(file, folder, modules, problems)
        if (module := loaded[file]) is None:
            continue
        try:
            function = find_function(module, config.module, config.file)
        except UnusableTargetError as error:
            problems.append(f"{where}, module `{config.module}`: {error}")
        else:
            entrypoints.append(
                Entrypoint.of(
                    config.tag,
                    function,
                    file=config.file,
                    module=config.module,
                    timeout_seconds=config.timeout_seconds,
                    max_timeout_seconds=config.max_timeout_seconds,
                    max_concurrent=config.max_concurrent,
                )
            )
    return entrypoints


def _load_file(file: Path, folder: Path, modules: AgentModules, problems: list[str]) -> ModuleType | None:
    try:
        return modules.load(file)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  # the author's code raises what it likes, SystemExit included
        problems.append(describe_failed_import(error, file, folder))
        return None
