"""Where an agent's modules live in a process, and what they are called: `main`, `helper`, `pkg.mod`.

A module has the name that a script beside it would import it by, so that a pickle finds its classes in the next
process, and a child process its functions. It has a second name in a package of the agent's own,
`_runagent_agents.agent_N.main`: relative imports go by that, and work without an `__init__.py`. Both names lead to one
module. Where the plain name belongs to another module (`json.py`) or has a dot in it (`agent.v2.py`), the name is
`_runagent_agents.json`.

Two agents in one process do not see each other's modules while they are loaded, and neither do two that were loaded
from one folder, before an edit and after. What stays shared is Python's own: `sys.path` and `sys.modules` are one for
all, so a plain name leads to the agent's that loaded last.

Children that `spawn` and `forkserver` start get `sys.path` from multiprocessing, and from here how to find modules in
the agent's folder. They import this module alone: it is small, and belongs to no other part.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import itertools
import multiprocessing
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType

__all__ = ["AgentModules", "as_written"]

_ROOT = "_runagent_agents"
_DOT = "_dot_"
_numbers = itertools.count(1)
# The agents that are loaded, in order. It describes sys.path and sys.modules, so there is one of it as of them.
_loaded: list[AgentModules] = []


def as_written(text: str) -> str:
    """Returns a text with the names of agents' modules as their authors write them: `.helper`."""
    return re.sub(rf"{_ROOT}(\.agent_\d+)?", "", text)


class AgentModules:
    """The modules of one agent, from its first file to `remove`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        # The number is never used again: functions that outlive their agent may still import from its package.
        self.package = f"{_ROOT}.agent_{next(_numbers)}"
        self._files: dict[str, Path] = {}
        """What `load` was asked for, by name in the package."""
        self._foreign: frozenset[str] = frozenset()
        self._set_aside: dict[str, ModuleType] = {}
        """Its modules by plain name, while a newer agent has those names."""

    @contextmanager
    def importing(self) -> Iterator[None]:
        """Makes this agent's folder, and no other agent's, the one that imports are looked up in."""
        # The newest first: of two with one folder, the modules that are there are its own.
        for other in reversed(_loaded):
            other._set_aside |= other._take_away()
        others = [str(other.folder) for other in _loaded]
        hidden = [entry for entry in sys.path if entry in others and entry != str(self.folder)]
        _set_path([str(self.folder), *(entry for entry in sys.path if entry not in others)])
        self.enter()
        # Finders remember what folders held; this one's files may be newer.
        importlib.invalidate_caches()
        try:
            yield
        finally:
            # Agents that import inside their functions still need their folders.
            _set_path([sys.path[0], *hidden, *sys.path[1:]])
            _bring_back()

    def load(self, file: Path) -> ModuleType:
        """Executes a file of the folder, once, and lets through whatever it raises.

        `file` is absolute and resolved. Any name is fine: dots and dashes are no part of Python's names, but this one
        is never written in an import.
        """
        plain = sys.modules.get(file.stem) if file.parent == self.folder else None
        if plain is not None and file.stem not in self._foreign and _file_of(plain) == file:
            return plain
        parts = [part.replace(".", _DOT) for part in self._parts_of(file)]
        name = ".".join([self.package, *(part for part in parts if part != "__init__")])
        self._files[name] = file
        return importlib.import_module(name)

    def remove(self) -> None:
        """Takes the modules and the entry of `sys.path` away. What a newer agent has hidden of another is back."""
        if self not in _loaded:
            return
        if all(newer.folder != self.folder for newer in self._newer()):
            self._take_away()
        _loaded.remove(self)
        if all(other.folder != self.folder for other in _loaded):
            _set_path([entry for entry in sys.path if entry != str(self.folder)])
        for name in list(sys.modules):
            if f"{name}.".startswith(f"{self.package}."):
                sys.modules.pop(name, None)
        # A package holds its submodules, even those that can no longer be imported from it.
        for name, module in list(vars(sys.modules[_ROOT]).items()):
            if f"{_package_of(module)}.".startswith(f"{self.package}."):
                vars(sys.modules[_ROOT]).pop(name)
        self._files.clear()
        self._set_aside.clear()
        _bring_back()
        if not _loaded:
            _leave()

    def enter(self) -> None:
        """Counts the agent as the newest that is loaded, and as one that children find the modules of."""
        # Modules from before are not this agent's, even if they lie in its folder: it may be a project's own root.
        self._foreign = frozenset(sys.modules)
        _loaded.append(self)
        sys.modules.setdefault(_ROOT, ModuleType(_ROOT)).__path__ = []
        if _finder not in sys.meta_path:
            # Before the finder that looks into sys.path, and after those of what is built in.
            place = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
            sys.meta_path.insert(place, _finder)
        if (config := _inherited_by_children()) is not None:
            config[_ROOT] = _ChildSetup()

    def find(self, name: str, path: Sequence[str]) -> ModuleSpec | None:
        """Finds a module by its name in the package; `path` is its parent's."""
        if name in self._files:
            return self._spec_of(name, self._files[name])
        if name == self.package:
            return self._spec_of_folder(name, self.folder)
        spec = PathFinder.find_spec(name, path)
        if spec is None:
            return self._find_dotted(name, path)
        if type(spec.loader) is SourceFileLoader and Path(spec.loader.path).is_relative_to(self.folder):
            return self._spec_of(name, Path(spec.loader.path))
        return spec

    def find_by_plain_name(self, name: str, file: Path) -> ModuleSpec | None:
        """Finds the module that a plain name leads to, which is `file`, if it is one of this agent's."""
        top, _, tail = name.partition(".")[0], *name.rpartition(".")[1:]
        place = self.folder.joinpath(*name.split("."))
        if top in sys.stdlib_module_names or top in self._foreign:
            return None
        if file not in (place.with_name(f"{tail}.py"), place / "__init__.py"):
            return None
        return _same_module(name, f"{self.package}.{name}", file)

    def find_by_kept_name(self, name: str) -> ModuleSpec | None:
        """Finds a module that has no plain name by the one that it has instead: its path within the folder."""
        first = name.partition(".")[0]
        if not self._has(first):
            return None
        return _same_module(f"{_ROOT}.{name}", self.package if first == "__init__" else f"{self.package}.{name}")

    @contextmanager
    def executing(self, module: ModuleType, name: str) -> Iterator[None]:
        """Lets a module be found by its plain name, while it is executed and from then on."""
        hidden = self._is_hidden(_top_of(name))
        parent, _, tail = name.rpartition(".")
        # A folder without an `__init__.py` may be a part of what else has its name.
        holder = importlib.import_module(parent) if parent not in ("", _ROOT) and not hidden else None
        (self._set_aside if hidden else sys.modules)[name] = module
        # Dataclasses look their module up, so it has its name at least while it is executed.
        lent = hidden and sys.modules.setdefault(name, module) is module
        try:
            yield
        except BaseException:
            for modules in (sys.modules, self._set_aside):
                if modules.get(name) is module:
                    del modules[name]
            raise
        finally:
            if lent and self._is_hidden(_top_of(name)) and sys.modules.get(name) is module:
                del sys.modules[name]
        if holder is not None:
            setattr(holder, tail, module)

    def bring_back(self) -> None:
        """Gives the plain names back that no newer agent has."""
        for name, module in list(self._set_aside.items()):
            if not self._is_hidden(_top_of(name)):
                sys.modules.setdefault(name, self._set_aside.pop(name, module))

    def name_of(self, file: Path) -> str:
        """Returns the plain name of a file, where that leads to it, or one that is the same in the next process."""
        parts = self._parts_of(file)
        top = parts[0]
        name = ".".join(part.replace(".", _DOT) for part in parts)
        taken = top == "__init__" or top in sys.stdlib_module_names or top in self._foreign
        if taken or any("." in part for part in parts) or not (self._is_hidden(top) or self._leads_here(top)):
            return f"{_ROOT}.{name}"
        return name

    def _parts_of(self, file: Path) -> tuple[str, ...]:
        parts = file.relative_to(self.folder).with_suffix("").parts
        return parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts

    def _leads_here(self, top: str) -> bool:
        if (module := sys.modules.get(top)) is not None:
            return self._is_own(module)
        spec = PathFinder.find_spec(top)
        if spec is None:
            return False
        files = (str(self.folder / f"{top}.py"), str(self.folder / top / "__init__.py"))
        return spec.origin in files or str(self.folder / top) in (spec.submodule_search_locations or ())

    def _spec_of(self, name: str, file: Path) -> ModuleSpec | None:
        loader = _AgentFileLoader(name, str(file), self)
        places = [str(file.parent)] if file.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(name, file, loader=loader, submodule_search_locations=places)

    def _spec_of_folder(self, name: str, folder: Path) -> ModuleSpec | None:
        if (folder / "__init__.py").is_file():
            return self._spec_of(name, folder / "__init__.py")
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
        return spec

    def _find_dotted(self, name: str, path: Sequence[str]) -> ModuleSpec | None:
        tail = name.rpartition(".")[2]
        written = tail.replace(_DOT, ".")
        for folder in map(Path, path if written != tail else ()):
            if (folder / f"{written}.py").is_file():
                return self._spec_of(name, folder / f"{written}.py")
            if (folder / written).is_dir():
                return self._spec_of_folder(name, folder / written)
        return None

    def _newer(self) -> list[AgentModules]:
        return _loaded[_loaded.index(self) + 1 :] if self in _loaded else []

    def _has(self, top: str) -> bool:
        names = (top, top.replace(_DOT, "."))
        return any((self.folder / path).exists() for name in names for path in (name, f"{name}.py"))

    def _is_hidden(self, top: str) -> bool:
        top = top.removeprefix(f"{_ROOT}.")
        return any(newer.folder == self.folder or newer._has(top) for newer in self._newer())

    def _is_own(self, module: ModuleType) -> bool:
        return _package_of(module) == self.package or _folder_of(module) == self.folder

    def _take_away(self) -> dict[str, ModuleType]:
        """Takes away the modules that have plain names and lie in this agent's folder."""
        # Lists of what is there now, for functions that run may import at any time.
        modules = list(sys.modules.items())
        tops = {
            name
            for name, module in modules
            if name == _top_of(name) != self.package and name not in self._foreign and self._is_own(module)
        }
        taken = {name: module for name, module in modules if _top_of(name) in tops}
        for name in taken:
            sys.modules.pop(name, None)
        return taken


class _Finder:
    """Finds the modules of all agents that are loaded, by both of their names."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        newest_first = list(reversed(_loaded))
        root, _, inner = name.partition(".")
        if root == _ROOT:
            package = f"{_ROOT}.{inner.partition('.')[0]}"
            for agent in newest_first:
                if agent.package == package:
                    return agent.find(name, path or ())
            return next((spec for agent in newest_first if (spec := agent.find_by_kept_name(inner))), None)
        spec = PathFinder.find_spec(name, path)
        if spec is None or type(spec.loader) is not SourceFileLoader:
            return spec
        file = Path(spec.loader.path)
        return next((own for agent in newest_first if (own := agent.find_by_plain_name(name, file))), spec)


class _PlainSpec(ModuleSpec):
    """Says of a module that it has its plain name, and that its relative imports go by its name in the package."""

    def __init__(self, name: str, loader: _AgentFileLoader, package: str, places: list[str] | None) -> None:
        super().__init__(name, loader, origin=loader.path, is_package=places is not None)
        self.submodule_search_locations = places
        self.has_location = True
        self._package = package
        # Python reads it off a module that another thread may be executing.
        self._initializing = True

    @property
    def parent(self) -> str:
        return self._package


class _AgentFileLoader(SourceFileLoader):
    """Loads a file by its name in the package, as a module with its plain name."""

    def __init__(self, name: str, path: str, modules: AgentModules) -> None:
        super().__init__(name, path)
        self._modules = modules
        self._package = name if Path(path).name == "__init__.py" else name.rpartition(".")[0]

    def exec_module(self, module: ModuleType) -> None:
        # What Python has set is of the name that was imported. It checks a loader's name against the module's.
        self.name = module.__name__ = self._modules.name_of(Path(self.path))
        module.__package__, module.__loader__ = self._package, self
        places = [str(Path(self.path).parent)] if Path(self.path).name == "__init__.py" else None
        module.__spec__ = spec = _PlainSpec(self.name, self, self._package, places)
        try:
            with self._modules.executing(module, self.name):
                super().exec_module(module)
        finally:
            spec._initializing = False


class _SameModule(Loader):
    """Loads a module by another of its names."""

    def __init__(self, name: str) -> None:
        self._name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        if sys.modules.get(self._name) is module:
            # `importlib.reload`
            spec = _finder.find_spec(self._name, sys.modules[self._name.rpartition(".")[0]].__path__)
            if spec is not None and spec.loader is not None:
                spec.loader.exec_module(module)
        else:
            # Python takes from here what an import is to give.
            sys.modules[module.__name__] = importlib.import_module(self._name)


class _ChildSetup:
    """Travels to children in multiprocessing's own settings of a process, and sets them up when it is read."""

    def __reduce__(self) -> tuple[object, ...]:
        # Each folder once, where its newest agent is.
        newest_first = dict.fromkeys(str(agent.folder) for agent in reversed(_loaded))
        return _set_up_child, tuple(reversed(newest_first))


_finder = _Finder()


def _set_up_child(*folders: str) -> _ChildSetup:
    for folder in folders:
        AgentModules(Path(folder)).enter()
    return _ChildSetup()


def _inherited_by_children() -> dict[str, object] | None:
    # Private, and there since Python 2.6: each process hands it to its children, whatever starts them. Where it is
    # gone, children find all but what is imported relatively.
    config = getattr(multiprocessing.current_process(), "_config", None)
    return config if isinstance(config, dict) else None


def _leave() -> None:
    with contextlib.suppress(ValueError):
        sys.meta_path.remove(_finder)
    if (config := _inherited_by_children()) is not None:
        config.pop(_ROOT, None)


def _bring_back() -> None:
    for agent in reversed(_loaded):
        agent.bring_back()


def _same_module(name: str, other: str, file: Path | None = None) -> ModuleSpec:
    is_package = file is not None and file.name == "__init__.py"
    spec = ModuleSpec(name, _SameModule(other), origin=str(file) if file else None, is_package=is_package)
    spec.has_location = file is not None
    return spec


def _top_of(name: str) -> str:
    """Returns the part of a name that decides whose it is."""
    top, _, rest = name.partition(".")
    return f"{_ROOT}.{rest.partition('.')[0]}" if top == _ROOT else top


def _set_path(entries: list[str]) -> None:
    # Only where it changes: a function that runs may be looking for a module in it, entry by entry.
    if sys.path != entries:
        sys.path[:] = entries


def _package_of(module: object) -> str:
    package = vars(module).get("__package__") if isinstance(module, ModuleType) else None
    return package if isinstance(package, str) else ""


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
