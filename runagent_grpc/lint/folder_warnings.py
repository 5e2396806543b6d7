"""Warnings of what lies in an agent's folder, or does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from runagent_grpc.lint.finding import Remark
from runagent_grpc.lint.subject import Subject
from runagent_grpc.worker.advice import REQUIREMENTS_FILE, install_command
from runagent_grpc.worker.environment import ENV_FILE

__all__ = ["env_file_in_git", "requirements_not_installed"]

_PATIENCE_SECONDS = 5.0
_MOST_NAMES = 8
# A name, perhaps with extras and versions. A line with a marker may not be meant for this environment.
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(?:\(?[<>=!~].*)?$")


def env_file_in_git(subject: Subject) -> Iterator[Remark]:
    """Secrets that are about to be committed, or were."""
    if not os.path.isfile(subject.folder / ENV_FILE):
        return
    if _git(subject.folder, "ls-files", "--error-unmatch", ENV_FILE) == 0:
        yield Remark(
            file=ENV_FILE,
            text=f"It is under version control, where secrets do not belong. Take it out with `git rm --cached "
            f"{ENV_FILE}`, name it in .gitignore, and replace the secrets that it has held.",
        )
    # 1 is git's word for a file that is not ignored; it has others for a folder that is not its own.
    elif _git(subject.folder, "check-ignore", "--quiet", ENV_FILE) == 1:
        yield Remark(
            file=ENV_FILE,
            text="Git does not ignore it, so that its secrets may be committed. Add the line `.env` to .gitignore.",
        )


def requirements_not_installed(subject: Subject) -> Iterator[Remark]:
    """Packages that the agent says it needs, and that are not there."""
    file = subject.folder / REQUIREMENTS_FILE
    if not os.path.isfile(file):
        return
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return
    missing: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        requirement = _REQUIREMENT.match(line.partition(" #")[0].strip())
        if requirement and not _is_installed(requirement["name"]):
            missing.setdefault(requirement["name"], number)
    if missing:
        names = [f"`{name}`" for name in missing][:_MOST_NAMES]
        more = f" and {len(missing) - len(names)} more" if len(missing) > len(names) else ""
        yield Remark(
            file=REQUIREMENTS_FILE,
            line=min(missing.values()),
            text=f"{', '.join(names)}{more} {'is' if len(missing) == 1 else 'are'} not installed in {sys.prefix}, "
            f"where this command runs. Install what the agent needs: `{install_command(subject.folder)}`.",
        )


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _git(folder: Path, *arguments: str) -> int | None:
    """Returns git's exit code, and None where there is no git."""
    try:
        ended = subprocess.run(  # noqa: S603 - a fixed program with our own words
            # Whose folder it is may have told git to run a program of theirs.
            ["git", "-c", "core.fsmonitor=false", *arguments],  # noqa: S607 - the git that the person uses
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.returncode
