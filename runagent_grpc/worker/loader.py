"""Loads an agent: reads its configuration, sets its environment, imports its files, finds its functions.

Whatever is wrong is collected on the way, and raised at the end, all of it. Nothing is ever installed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from runagent_grpc.modules import AgentModules
from runagent_grpc.worker.agent import Agent
from runagent_grpc.worker.config.entrypoint import PythonEntrypointConfig, WebhookEntrypointConfig
from runagent_grpc.worker.config.validation import ConfigReading, examine_config
from runagent_grpc.worker.entrypoint import Entrypoint
from runagent_grpc.worker.environment import agent_environment, read_env_file
from runagent_grpc.worker.environment_overlay import EnvironmentOverlay, process_environment
from runagent_grpc.worker.extractor import Extractor, JsonPath, UnusablePathError
from runagent_grpc.worker.problems import InvalidAgentError, Problem, ProblemKind
from runagent_grpc.worker.target import UnusableTargetError, find_file, find_function
from runagent_grpc.worker.tracebacks import problem_of_import
from runagent_grpc.worker.webhook.function import webhook_function
from runagent_grpc.worker.wording import printable

__all__ = ["LoadResult", "load_agent", "try_load_agent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """All that is in an agent's folder, in order or not. Its files stay imported until it is unloaded."""

    folder: Path
    reading: ConfigReading
    problems: tuple[Problem, ...]
    """Everything that keeps it from being served."""
    entrypoints: tuple[Entrypoint, ...]
    """Those that are in order."""
    env_file: Mapping[str, str]
    """What its `.env` sets."""
    unload: Callable[[], None]

    @property
    def agent(self) -> Agent | None:
        """The agent, where nothing is wrong with it."""
        config = self.reading.config
        if self.problems or config is None:
            return None
        return Agent(
            agent_id=config.agent_id,
            agent_name=config.agent_name,
            description=config.description,
            version=config.version,
            framework=config.framework,
            auth_type=config.auth_settings.type,
            folder=self.folder,
            entrypoints=MappingProxyType({entrypoint.tag: entrypoint for entrypoint in self.entrypoints}),
            _unload=self.unload,
        )


def load_agent(folder: str | os.PathLike[str]) -> Agent:
    """Returns the agent in a folder, its files imported and its environment set, until `Agent.unload`.

    A folder may be loaded again while an agent that was loaded from it is in use: each has modules of its own, and the
    environment is the newest one's.

    Raises:
        InvalidAgentError: with every mistake in the configuration, the environment and the entrypoints. The process
            is then as it was before, as far as the author's code left it so.
    """
    result = try_load_agent(folder)
    if (agent := result.agent) is None:
        result.unload()
        raise InvalidAgentError(result.problems)
    return agent


def try_load_agent(folder: str | os.PathLike[str]) -> LoadResult:
    """Loads the agent in a folder as far as it can be loaded. Raises nothing about what is wrong with it."""
    folder = Path(folder).resolve()
    reading = examine_config(folder)
    problems = list(reading.problems)
    try:
        env_file = read_env_file(folder)
    except InvalidAgentError as error:
        env_file = {}
        problems += error.problems
    environment, mistakes = agent_environment(
        process=process_environment(), env_file=env_file, env_vars=reading.env_vars, config_file=reading.file
    )
    problems += mistakes

    export = EnvironmentOverlay(folder, environment)
    modules = AgentModules(folder)

    def unload() -> None:
        modules.remove()
        export.remove()

    try:
        with modules.importing():
            entrypoints = _load_entrypoints(folder, reading, modules, problems)
    except BaseException:
        unload()
        raise
    return LoadResult(
        folder=folder,
        reading=reading,
        problems=tuple(problems),
        entrypoints=tuple(entrypoints),
        env_file=env_file,
        unload=unload,
    )


def _load_entrypoints(
    folder: Path, reading: ConfigReading, modules: AgentModules, problems: list[Problem]
) -> list[Entrypoint]:
    entrypoints = []
    # None for a file that cannot be loaded: one problem, however many entrypoints name it.
    loaded: dict[Path, ModuleType | None] = {}
    for index, config in reading.entrypoints.items():
        where = _Where(file=reading.file, index=index, tag=config.tag)
        extractor = _compile_extractor(config.extractor, where, problems)
        if isinstance(config, WebhookEntrypointConfig):
            function = _make_webhook(config, problems)
            file = module = ""
        else:
            function = _load_function(config, where, folder, loaded, modules, problems)
            file, module = config.file, config.module
        if function is not None:
            entrypoints.append(
                Entrypoint.of(
                    config.tag,
                    function,
                    description=config.description,
                    file=file,
                    module=module,
                    extractor=extractor,
                    timeout_seconds=config.timeout_seconds,
                    max_timeout_seconds=config.max_timeout_seconds,
                    max_concurrent=config.max_concurrent,
                )
            )
    return entrypoints


@dataclass(frozen=True, slots=True, kw_only=True)
class _Where:
    """An entrypoint's place in the configuration."""

    file: str
    index: int
    tag: str

    def problem(self, name: str, value: str, error: Exception) -> Problem:
        """Returns what is wrong with the value of one of its fields."""
        return Problem(
            kind=ProblemKind.ENTRYPOINT,
            text=f"the entrypoint `{self.tag}`, {name} `{value}`: {error}",
            file=self.file,
            field=f"agent_architecture.entrypoints[{self.index}].{name}",
        )


def _compile_extractor(paths: Mapping[str, str], where: _Where, problems: list[Problem]) -> Extractor | None:
    compiled = {}
    for name, path in paths.items():
        try:
            compiled[name] = JsonPath.of(path)
        except UnusablePathError as error:
            problems.append(where.problem("extractor", printable(name), error))
    return Extractor(compiled) if compiled else None


def _make_webhook(config: WebhookEntrypointConfig, problems: list[Problem]) -> Callable[..., Any] | None:
    try:
        return webhook_function(config)
    except InvalidAgentError as error:
        # The environment is the same for all of them.
        problems += (problem for problem in error.problems if problem not in problems)
        return None


def _load_function(
    config: PythonEntrypointConfig,
    where: _Where,
    folder: Path,
    loaded: dict[Path, ModuleType | None],
    modules: AgentModules,
    problems: list[Problem],
) -> Callable[..., Any] | None:
    try:
        file = find_file(folder, config.file)
    except UnusableTargetError as error:
        problems.append(where.problem("file", config.file, error))
        return None
    if file not in loaded:
        loaded[file] = _load_file(file, folder, modules, problems)
    if (module := loaded[file]) is None:
        return None
    try:
        return find_function(module, config.module, config.file)
    except UnusableTargetError as error:
        problems.append(where.problem("module", config.module, error))
        return None


def _load_file(file: Path, folder: Path, modules: AgentModules, problems: list[Problem]) -> ModuleType | None:
    try:
        return modules.load(file)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - the author's code raises what it likes, SystemExit included
        problems.append(problem_of_import(error, file, folder))
        return None
