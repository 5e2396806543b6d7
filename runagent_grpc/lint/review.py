"""Reviews the agent in a folder: everything that keeps it from being served, and what somebody will wonder about.

It imports the author's files, as serving does, and calls none of the author's functions. What the import sets in this
process is taken back.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from runagent_grpc.lint.config_warnings import (
    configurations_not_read,
    ids_of_folders,
    placeholders,
    secrets,
    webhook_credentials,
    webhooks_without_tls,
)
from runagent_grpc.lint.finding import Finding, Remark, Severity
from runagent_grpc.lint.folder_warnings import env_file_in_git, requirements_not_installed
from runagent_grpc.lint.function_warnings import (
    blocking_calls,
    generators_without_stream,
    parameters_by_position_alone,
    parameters_without_schema,
    streams_without_chunks,
)
from runagent_grpc.lint.subject import Subject, subject_of
from runagent_grpc.worker.agent import Agent
from runagent_grpc.worker.loader import try_load_agent
from runagent_grpc.worker.problems import Problem

__all__ = ["WARNINGS", "Review", "review_agent"]

WARNINGS: Mapping[str, Callable[[Subject], Iterable[Remark]]] = MappingProxyType(
    {
        "stream-without-chunks": streams_without_chunks,
        "generator-without-stream": generators_without_stream,
        "parameter-without-schema": parameters_without_schema,
        "parameter-by-position-alone": parameters_by_position_alone,
        "blocking-call": blocking_calls,
        "configuration-not-read": configurations_not_read,
        "id-of-folder": ids_of_folders,
        "secret": secrets,
        "placeholder": placeholders,
        "webhook-credentials": webhook_credentials,
        "webhook-without-tls": webhooks_without_tls,
        "env-file-in-git": env_file_in_git,
        "requirements-not-installed": requirements_not_installed,
    }
)
"""Every kind of warning, and what finds it. None is to be wrong ever: one that is costs the others their readers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What there is to say about an agent."""

    folder: Path
    findings: tuple[Finding, ...]
    """Errors first, as the loader tells them; then warnings, by their place."""
    agent: Agent | None
    """The agent, unloaded again, and None where its folder keeps it from being served."""
    auth_type: str
    """"none" or "api_key", whatever else is wrong."""
    config_file: str
    """The name of the configuration that was read."""
    lines: Mapping[str, int]
    """In which line of it a field stands."""


def review_agent(folder: str | os.PathLike[str]) -> Review:
    """Loads the agent in a folder, says everything that there is to say about it, and unloads it.

    Whatever the author's code raises is a finding, but for KeyboardInterrupt, which is let through.
    """
    with _taken_back():
        examination = try_load_agent(folder)
        try:
            subject = subject_of(examination)
            errors = [_finding_of(problem, subject) for problem in examination.problems]
            warnings = [
                Finding(severity=Severity.WARNING, kind=kind, file=remark.file, line=remark.line, text=remark.text)
                for kind, find in WARNINGS.items()
                # Two tags of one function are one remark.
                for remark in dict.fromkeys(find(subject))
            ]
        finally:
            examination.unload()
    return Review(
        folder=examination.folder,
        findings=(*errors, *sorted(warnings, key=lambda finding: (finding.file, finding.line or 0))),
        agent=examination.agent,
        auth_type=_auth_type_in(subject.config),
        config_file=subject.config_file,
        lines=subject.lines,
    )


def _finding_of(problem: Problem, subject: Subject) -> Finding:
    line = problem.line
    if line is None and problem.field and problem.file == subject.config_file:
        line = subject.line_of(problem.field)
    return Finding(
        severity=Severity.ERROR,
        kind=problem.kind.value,
        file=problem.file,
        line=line,
        text=problem.text[:1].upper() + problem.text[1:],
    )


def _auth_type_in(config: Mapping[str, object]) -> str:
    settings = config.get("auth_settings")
    return "api_key" if isinstance(settings, Mapping) and settings.get("type") == "api_key" else "none"


@contextlib.contextmanager
def _taken_back() -> Iterator[None]:
    """Takes back what the author's code sets in this process at import, as far as others would notice."""
    environment, path, place = dict(os.environ), list(sys.path), _working_folder()
    streams = sys.stdin, sys.stdout, sys.stderr
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = streams
        sys.path[:] = path
        with contextlib.suppress(OSError):
            os.chdir(place)
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)


def _working_folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        # It is gone, and there is no way back to it.
        return ""
