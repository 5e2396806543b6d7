"""What loaded agents have put into the environment of this process, and what was there before.

Of agents that were loaded from one folder, before an edit and after, the newest one's variables are set and no others:
an edit may take a variable away. What agents of other folders have set stays, where no newer agent sets it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["EnvironmentOverlay", "process_environment"]


class EnvironmentOverlay:
    """The variables of one agent, set from when this is made until `remove`."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder = folder
        self.variables = dict(variables)
        with _changing():
            for name in self.variables:
                _before.setdefault(name, os.environ.get(name))
            _exports.append(self)

    def remove(self) -> None:
        """Takes the variables back."""
        if self not in _exports:
            return
        with _changing():
            _exports.remove(self)
        for name in self.variables:
            if not any(name in export.variables for export in _exports):
                del _before[name]


# What is loaded, in order, and the process's own values of all that it sets: None for what it did not have. They
# describe os.environ, so there is one of each as there is one of that.
_exports: list[EnvironmentOverlay] = []
_before: dict[str, str | None] = {}


def process_environment() -> dict[str, str]:
    """Returns the environment that there would be without any agent."""
    environment = {**os.environ, **_before}
    return {name: value for name, value in environment.items() if value is not None}


@contextmanager
def _changing() -> Iterator[None]:
    """Brings os.environ up to what the block changes, and touches nothing else: the author's code may set things."""
    old = _in_force()
    yield
    new = _in_force()
    for name in old.keys() | new.keys():
        if old.get(name) == new.get(name):
            continue
        value = new.get(name, _before[name])
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _in_force() -> dict[str, str]:
    newest = {export.folder: export for export in _exports}
    exports = [export for export in _exports if newest[export.folder] is export]
    return {name: value for export in exports for name, value in export.variables.items()}
