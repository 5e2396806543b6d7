"""How a setting is declared, in the metadata of a dataclass's field, and what its text means.

Text from a flag, a variable and a configuration file means the same, by the same declaration. What a program passes to
the dataclasses itself is not checked here: its types are, by its type checker.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from dataclasses import dataclass
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any

__all__ = ["Kind", "Setting", "Unit", "setting", "settings_of"]

_PREFIX = "RUNAGENT_SERVER_"
_DECLARATION = "runagent_grpc.setting"
_INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_NONE = "none"
_SHOWN_CHARACTERS = 60


class Unit(StrEnum):
    """What a number counts. A number without one counts what its setting's help names."""

    NONE = ""
    BYTES = "bytes"
    SECONDS = "seconds"


class Kind(Enum):
    """What the value of a setting is; the text says what is expected of whoever writes it."""

    BOOLEAN = "true or false"
    INTEGER = "a whole number"
    NUMBER = "a number"
    TEXT = "text"
    PATH = "a path"
    TEXTS = "a list of texts"


_KINDS: dict[Any, Kind] = {
    bool: Kind.BOOLEAN,
    int: Kind.INTEGER,
    float: Kind.NUMBER,
    str: Kind.TEXT,
    Path: Kind.PATH,
    tuple[str, ...]: Kind.TEXTS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declaration:
    help: str
    name: str | None
    unit: Unit
    minimum: float | None
    above: float | None
    maximum: float | None
    flag: bool
    metavar: str
    without: str


def setting(
    default: object,
    *,
    help: str,  # noqa: A002 - as click and argparse call it
    name: str | None = None,
    unit: Unit = Unit.NONE,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    flag: bool = False,
    metavar: str = "N",
    without: str = _NONE,
) -> Any:
    """Declares a field of a frozen dataclass as a setting.

    Args:
        default: What it is where nobody sets it.
        help: One sentence, which the command line and the documentation show.
        name: What users call it, where that is not the field's own name. No two settings share one.
        unit: What a number counts.
        minimum: The smallest number allowed.
        above: The number that it must be larger than.
        maximum: The largest number allowed.
        flag: Whether `runagent serve` has a flag of this name.
        metavar: What the flag's help has in place of a value without a unit.
        without: What happens where it is None, as the documentation shows it.
    """
    declaration = _Declaration(
        help=help,
        name=name,
        unit=unit,
        minimum=minimum,
        above=above,
        maximum=maximum,
        flag=flag,
        metavar=metavar,
        without=without,
    )
    return dataclasses.field(default=default, metadata={_DECLARATION: declaration})


@dataclass(frozen=True, slots=True)
class Setting:
    """A declared setting, and where it belongs: a field of the section's dataclass."""

    section: str
    field: str
    kind: Kind
    is_optional: bool
    default: Any
    _declared: _Declaration

    @property
    def name(self) -> str:
        """What users call it: the key in its section, and the flag with dashes."""
        return self._declared.name or self.field

    @property
    def key(self) -> str:
        """Where it is in a configuration file."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"{_PREFIX}{self.name.upper()}"

    @property
    def flags(self) -> str | None:
        """The flag of `runagent serve`, or a flag and its opposite, as click writes them; None: it has none."""
        if not self._declared.flag:
            return None
        flag = f"--{self.name.replace('_', '-')}"
        if self.kind is Kind.BOOLEAN:
            return f"{flag}/--no-{flag[2:]}"
        # One value at a time.
        return flag.removesuffix("s") if self.kind is Kind.TEXTS else flag

    @property
    def help(self) -> str:
        return self._declared.help

    @property
    def metavar(self) -> str:
        """What stands for a value in the flag's help."""
        return self._declared.unit.upper() or self._declared.metavar

    @property
    def unit(self) -> Unit:
        return self._declared.unit

    @property
    def minimum(self) -> float | None:
        return self._declared.minimum

    @property
    def above(self) -> float | None:
        return self._declared.above

    @property
    def maximum(self) -> float | None:
        return self._declared.maximum

    @property
    def expected(self) -> str:
        """What a value has to be, as an error says it."""
        words = self.kind.value
        if self._declared.unit:
            words += f" of {self._declared.unit}"
        if self.minimum is not None:
            words += f" from {_number(self.minimum)}"
        if self.above is not None:
            words += f" above {_number(self.above)}"
        if self.maximum is not None:
            words += f" {'to' if self.above is None else 'and up to'} {_number(self.maximum)}"
        return f"{words}, or {_NONE}" if self.is_optional else words

    @property
    def default_text(self) -> str:
        """The default, as the documentation and the command line show it."""
        return self.text_of(self.default)

    def text_of(self, value: Any) -> str:
        """Returns a value as people write it, with its unit."""
        if value is None or value == ():
            return self._declared.without
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, tuple):
            return ", ".join(value)
        if not isinstance(value, int | float):
            return str(value)
        if self.unit is Unit.SECONDS:
            return f"{_number(value)} s"
        if self.unit is Unit.BYTES:
            for size, unit in ((1024 * 1024, "MiB"), (1024, "KiB")):
                if value >= size:
                    return f"{value / size:,g} {unit}"
            return f"{value:,} bytes"
        return _number(value)

    def parse(self, text: str) -> Any:
        """Returns the value that a text means; of a list, items with commas between.

        `none` means None where the setting may be that, and an empty list. Raises ValueError, whose text says what is
        expected and what is there.
        """
        if text.lower() == _NONE and self.is_optional:
            return None
        value: Any = None
        match self.kind:
            case Kind.BOOLEAN:
                value = _BOOLEANS.get(text.lower())
            case Kind.INTEGER if _INTEGER.fullmatch(text):
                value = self._within_bounds(int(text))
            case Kind.NUMBER if _NUMBER.fullmatch(text):
                value = self._within_bounds(float(text))
            case Kind.TEXT if text:
                value = text
            case Kind.PATH if text:
                value = Path(text)
            case Kind.TEXTS:
                items = tuple(item.strip() for item in text.split(","))
                value = () if text.lower() == _NONE else items if all(items) else None
        if value is None:
            raise self.error(f"`{text}`" if text else "nothing")
        return value

    def error(self, got: str) -> ValueError:
        """Returns what to raise for a value that is not what is expected."""
        if len(got) > _SHOWN_CHARACTERS:
            got = f"{got[: _SHOWN_CHARACTERS - 4]}...`"
        return ValueError(f"expected {self.expected}, got {got}.")

    def _within_bounds(self, number: float) -> float | None:
        too_low = self.minimum is not None and number < self.minimum
        too_high = self.maximum is not None and number > self.maximum
        if too_low or too_high or (self.above is not None and number <= self.above) or not math.isfinite(number):
            return None
        return number


def settings_of(section: str, kind: type) -> tuple[Setting, ...]:
    """Returns the settings that a section's dataclass declares, in its order."""
    hints = typing.get_type_hints(kind)
    found = []
    for field in dataclasses.fields(kind):
        value_kind, is_optional = _kind_of(hints[field.name])
        found.append(Setting(section, field.name, value_kind, is_optional, field.default, field.metadata[_DECLARATION]))
    return tuple(found)


def _kind_of(hint: Any) -> tuple[Kind, bool]:
    if isinstance(hint, types.UnionType):
        (kind,) = (member for member in typing.get_args(hint) if member is not types.NoneType)
        return _KINDS[kind], True
    return _KINDS[hint], False


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.10g}"
