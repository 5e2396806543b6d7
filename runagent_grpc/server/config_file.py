"""A configuration file, YAML or JSON: its values, and everything that is wrong with them, each with its line.

PyYAML finds the syntax and the lines. What a value means is the setting's to say, so that text without quotes means
what it means in a flag.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from runagent_grpc.server.config import SECTIONS, SETTINGS
from runagent_grpc.settings import Kind, Setting

__all__ = ["UnreadableConfigError", "read_config_file"]

_STANDARD = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset(f"{_STANDARD}{name}" for name in ("bool", "float", "int", "str"))
_BY_KEY = {setting.key: setting for setting in SETTINGS}


class UnreadableConfigError(Exception):
    """There is nothing to look at: no file, no YAML or JSON in it. Its text is one problem."""


def read_config_file(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Returns the values that a file sets, by the settings' names, and its problems.

    Relative paths are resolved against the file's folder. Raises UnreadableConfigError.
    """
    reader = _Reader(path)
    root = reader.root()
    values = dict(reader.values_of(root)) if root is not None else {}
    return values, reader.problems


class _Reader:
    """Reads one file, and keeps the problems that it finds."""

    def __init__(self, path: Path) -> None:
        self.problems: list[str] = []
        self._path = path
        self._is_json = path.suffix.lower() == ".json"

    def root(self) -> yaml.Node | None:
        """Returns the one document; None where the file is empty."""
        text = self._text()
        try:
            if self._is_json:
                json.loads(text)
                # YAML takes no tabs between tokens. Within JSON's strings there are none, so lines stay where they are.
                text = text.replace("\t", " ")
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except json.JSONDecodeError as error:
            raise UnreadableConfigError(f"{self._at(error.lineno)}: not valid JSON: {error.msg}.") from None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = self._at(mark.line + 1) if mark else str(self._path)
            raise UnreadableConfigError(f"{place}: not valid YAML: {error.problem}.") from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise UnreadableConfigError(f"{self._at(line)}: a character that YAML does not allow.") from None
        except (RecursionError, ValueError) as error:
            raise UnreadableConfigError(
                f"{self._path}: cannot be read ({type(error).__name__}). Simplify it."
            ) from None
        if root is None or _is_null(root):
            return None
        return root

    def values_of(self, root: yaml.Node) -> Iterator[tuple[str, Any]]:
        """Yields each setting's name and value."""
        for section, members in self._members(root, "", tuple(SECTIONS)):
            # A section whose settings are all commented out.
            if _is_null(members):
                continue
            names = tuple(setting.name for setting in SETTINGS if setting.section == section)
            for name, node in self._members(members, f"{section}.", names):
                setting = _BY_KEY[f"{section}.{name}"]
                try:
                    yield name, self._value(setting, node)
                except ValueError as error:
                    self._report(node, f"`{setting.key}`: {error}")

    def _members(self, node: yaml.Node, prefix: str, known: tuple[str, ...]) -> Iterator[tuple[str, yaml.Node]]:
        """Yields the members of a mapping that have a known name, and reports the others."""
        if not isinstance(node, yaml.MappingNode):
            what = f"`{prefix.rstrip('.')}`" if prefix else "the file"
            self._report(node, f"{what}: expected {_listed(known)}, got {_described(node)}.")
            return
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            if name not in known:
                self._report(key, f"`{prefix}{name}`: there is no such {_what(prefix)}.{_meant(prefix, name, known)}")
            elif name in seen:
                self._report(key, f"`{prefix}{name}` is given more than once. Keep one of them.")
            else:
                seen.add(name)
                yield name, value

    def _value(self, setting: Setting, node: yaml.Node) -> Any:
        if setting.is_optional and (_is_null(node) or _is_none(node)):
            return None
        if setting.kind is Kind.TEXTS:
            if not isinstance(node, yaml.SequenceNode):
                raise setting.error(_described(node))
            return tuple(self._text_in(setting, item) for item in node.value)
        if setting.kind in (Kind.TEXT, Kind.PATH):
            text = self._text_in(setting, node)
            # Joined with a path that is absolute, that one stands.
            return self._path.parent / text if setting.kind is Kind.PATH else text
        if not isinstance(node, yaml.ScalarNode) or node.style is not None or node.tag not in _PLAIN_TAGS:
            raise setting.error(_described(node))
        if setting.kind is Kind.BOOLEAN and node.value.isdigit():
            # In a variable 0 and 1 are booleans; JSON and YAML have their own.
            raise setting.error(_described(node))
        return setting.parse(node.value)

    def _text_in(self, setting: Setting, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode) or node.tag != f"{_STANDARD}str" or not node.value:
            raise setting.error(_described(node))
        return str(node.value)

    def _text(self) -> str:
        try:
            # Editors on Windows put a byte order mark first.
            return self._path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise UnreadableConfigError(f"{self._path}: not UTF-8 at byte {error.start}. Save it as UTF-8.") from None
        except OSError as error:
            raise UnreadableConfigError(f"{self._path}: cannot be read: {error.strerror}.") from None

    def _report(self, node: yaml.Node, problem: str) -> None:
        self.problems.append(f"{self._at(node.start_mark.line + 1)}: {problem}")

    def _at(self, line: int) -> str:
        return f"{self._path}, line {line}"


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == f"{_STANDARD}null" and node.style is None


def _is_none(node: yaml.Node) -> bool:
    """Whether a node is the word that means null in flags and variables. In quotes it is text."""
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.value.lower() == "none"


def _described(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "an object"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    if _is_null(node):
        return "null"
    is_quoted = isinstance(node, yaml.ScalarNode) and node.style
    return f"the text `{node.value}`" if is_quoted else f"`{node.value}`"


def _what(prefix: str) -> str:
    return "setting" if prefix else "section"


def _listed(known: tuple[str, ...]) -> str:
    return f"an object with {', '.join(known[:-1])} or {known[-1]}" if len(known) > 1 else f"an object with {known[0]}"


def _meant(prefix: str, name: str, known: tuple[str, ...]) -> str:
    """Returns what a name that is not known was probably meant to be."""
    # By the name in Python, too, and in whatever section it is.
    keys = {called: setting.key for setting in SETTINGS for called in (setting.name, setting.field)}
    keys |= {near: f"{prefix}{near}" for near in known}
    near = difflib.get_close_matches(name, keys, n=1, cutoff=0.7)
    return f" Did you mean `{keys[near[0]]}`?" if near else ""
