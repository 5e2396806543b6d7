"""Where an agent's modules live in this process: a package of their own, whose one folder is the agent's.

Relative imports work in it without an `__init__.py`; `import helper` works because the folder leads `sys.path`. Two
agents in one process do not see each other's modules while they are loaded, and neither do two that were loaded from
one folder, before an edit and after. What stays shared is Python's own: `sys.path` and `sys.modules` are one for all,
so `import helper` inside a function finds the agent's that loaded last.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import itertools
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

__all__ = ["AgentModules", "as_written"]

_ROOT = "_runagent_agents"
_numbers = itertools.count(1)
# The agents that are loaded, in order. It describes sys.path and sys.modules, so there is one of it as of them.
_loaded: list[AgentModules] = []


def as_written(text: str) -> str:
    """Returns a text with the names of agents' modules as their authors write them: `.helper`."""
    return re.sub(rf"{_ROOT}\.agent_\d+", "", text)


class AgentModules:
    """The modules of one agent, from its first file to `remove`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        # The number is never used again: functions that outlive their agent may still import from its package.
        self._name = f"{_ROOT}.agent_{next(_numbers)}"
        self._by_file: dict[Path, ModuleType] = {}
        self._foreign: frozenset[str] = frozenset()
        self._set_aside: dict[str, ModuleType] = {}
        """What it has imported by top-level names, while a newer agent has those."""

    @contextmanager
    def importing(self) -> Iterator[None]:
        """Makes this agent's folder, and no other agent's, the one that imports are looked up in."""
        # The newest first: of two with one folder, the modules that are there are its own.
        for other in reversed(_loaded):
            other._set_aside |= other._take_top_level()
        others = [str(other._folder) for other in _loaded]
        hidden = [entry for entry in sys.path if entry in others and entry != str(self._folder)]
        _set_path([str(self._folder), *(entry for entry in sys.path if entry not in others)])
        # Modules from before are not this agent's, even if they lie in its folder: it may be a project's own root.
        self._foreign = frozenset(sys.modules)
        _loaded.append(self)
        # Finders remember what folders held; this one's files may be newer.
        importlib.invalidate_caches()
        try:
            sys.modules.setdefault(_ROOT, ModuleType(_ROOT)).__path__ = []
            yield
        finally:
            # Agents that import inside their functions still need their folders.
            _set_path([sys.path[0], *hidden, *sys.path[1:]])

    def load(self, file: Path) -> ModuleType:
        """Executes a file of the folder, once, and lets through whatever it raises.

        `file` is absolute and resolved. Any name is fine: dots and dashes are no part of Python's names, but this one
        is never written in an import.
        """
        if file not in self._by_file:
            is_package = file.name == "__init__.py"
            self._by_file[file] = (
                self._package_of(file.parent) if is_package else self._imported_already(file) or self._execute(file)
            )
        return self._by_file[file]

    def remove(self) -> None:
        """Takes the modules and the entry of `sys.path` away. What a newer agent has hidden of another is back."""
        if self not in _loaded:
            return
        newest = _loaded[-1] is self
        _loaded.remove(self)
        if newest:
            self._take_top_level()
        if all(other._folder != self._folder for other in _loaded):
            self._take_top_level()
            _set_path([entry for entry in sys.path if entry != str(self._folder)])
        for name in list(sys.modules):
            if f"{name}.".startswith(f"{self._name}."):
                sys.modules.pop(name, None)
        # A package holds its submodules, even those that can no longer be imported from it.
        vars(sys.modules[_ROOT]).pop(self._name.rpartition(".")[2], None)
        self._by_file.clear()
        self._set_aside.clear()
        if newest and _loaded:
            for name, module in _loaded[-1]._set_aside.items():
                sys.modules.setdefault(name, module)
            _loaded[-1]._set_aside.clear()

    def _imported_already(self, file: Path) -> ModuleType | None:
        """Finds the file as another one of the agent's has imported it, by its relative or its top-level name."""
        for name in (self._name_of(file), file.stem if file.parent == self._folder else ""):
            module = sys.modules.get(name)
            if module is not None and name not in self._foreign and _file_of(module) == file:
                return module
        return None

    def _execute(self, file: Path) -> ModuleType:
        name = self._name_of(file)
        parent = self._package_of(file.parent)
        loader = importlib.machinery.SourceFileLoader(name, str(file))
        spec = importlib.util.spec_from_file_location(name, file, loader=loader)
        if spec is None:
            raise ImportError(f"{file.name} cannot be loaded as a module.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        # Other files of the agent may `import main`: that is this module, not a second run of it.
        alias = file.stem
        has_alias = file.parent == self._folder and alias.isidentifier() and alias not in sys.modules
        if has_alias and alias not in sys.stdlib_module_names:
            sys.modules[alias] = module
        try:
            loader.exec_module(module)
        except BaseException:
            for key in (name, alias):
                if sys.modules.get(key) is module:
                    del sys.modules[key]
            raise
        setattr(parent, name.rpartition(".")[2], module)
        return module

    def _package_of(self, folder: Path) -> ModuleType:
        """Returns the package that stands for a folder. One without `__init__.py` is a package, too."""
        name = self._name_of(folder)
        if name in sys.modules:
            return sys.modules[name]
        parent = self._package_of(folder.parent) if folder != self._folder else sys.modules[_ROOT]
        init = folder / "__init__.py"
        spec: importlib.machinery.ModuleSpec | None
        if init.is_file():
            spec = importlib.util.spec_from_file_location(name, init, submodule_search_locations=[str(folder)])
        else:
            spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [str(folder)]
        if spec is None:
            raise ImportError(f"{init} cannot be loaded as a package.")
        package = importlib.util.module_from_spec(spec)
        sys.modules[name] = package
        if init.is_file() and spec.loader:
            try:
                spec.loader.exec_module(package)
            except BaseException:
                del sys.modules[name]
                raise
        setattr(parent, name.rpartition(".")[2], package)
        return package

    def _name_of(self, path: Path) -> str:
        parts = (part.removesuffix(".py").replace(".", "_dot_") for part in path.relative_to(self._folder).parts)
        return ".".join([self._name, *parts])

    def _take_top_level(self) -> dict[str, ModuleType]:
        """Takes away the modules that were imported by their top-level names from this agent's folder."""
        # Lists of what is there now, for functions that run may import at any time.
        modules = list(sys.modules.items())
        tops = {
            name
            for name, module in modules
            if "." not in name and name not in self._foreign and _folder_of(module) == self._folder
        }
        taken = {name: module for name, module in modules if name.partition(".")[0] in tops}
        for name in taken:
            sys.modules.pop(name, None)
        return taken


def _set_path(entries: list[str]) -> None:
    # Only where it changes: a function that runs may be looking for a module in it, entry by entry.
    if sys.path != entries:
        sys.path[:] = entries


def _file_of(module: ModuleType) -> Path | None:
    file = vars(module).get("__file__") if isinstance(module, ModuleType) else None
    return Path(file).resolve() if isinstance(file, str) else None


def _folder_of(module: ModuleType) -> Path | None:
    """Returns the folder that a top-level module was found in.

    Not the folder's folders: a virtual environment may lie in there, and this package with it.
    """
    if file := _file_of(module):
        return file.parent.parent if file.name == "__init__.py" else file.parent
    places = vars(module).get("__path__") if isinstance(module, ModuleType) else None
    return next((Path(place).resolve().parent for place in places or ()), None)
