"""The cases in `vectors/`, read and written out: what a runner is given, and what is expected of it."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["SCHEMA", "VECTORS", "Case", "Step", "cases", "written_out"]

VECTORS = Path(__file__).parent / "vectors"
SCHEMA = Path(__file__).parent / "schema.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of a case."""

    call: Mapping[str, Any]
    expect: Mapping[str, Any]
    expect_over: Mapping[str, Mapping[str, Any]]
    meanwhile: str | None
    """What the kit does while the call is under way."""

    def expected(self, wires: Sequence[str]) -> Mapping[str, Any]:
        """Returns what is expected over the first of these wires that the case tells apart."""
        return next((self.expect_over[wire] for wire in wires if wire in self.expect_over), self.expect)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Calls, one after the other, and what is to come of each."""

    suite: str
    name: str
    steps: tuple[Step, ...]
    server: str = "shared"
    script: tuple[Any, ...] = ()
    runners: tuple[str, ...] = field(default=())
    """The kinds of runner that it is for; none means all."""

    @property
    def case_id(self) -> str:
        return f"{self.suite}/{self.name}"


@functools.cache
def cases() -> tuple[Case, ...]:
    """Returns every case, suite by suite."""
    return tuple(case for path in sorted(VECTORS.glob("*.json")) for case in _cases_in(json.loads(path.read_text())))


def written_out(value: Any) -> Any:
    """Returns what a case writes, with the large values that it writes in short."""
    match value:
        case {"repeat": {"text": str(text)}, "times": int(times)}:
            return {"text": text * times}
        case {"repeat": {"binary": str(text)}, "times": int(times)}:
            # Whole groups of base64 repeat like the bytes that they stand for.
            return {"binary": text * times}
        case {"nested": int(levels)}:
            return {"json": "[" * levels + "]" * levels}
        case dict():
            return {name: written_out(item) for name, item in value.items()}
        case list():
            return [written_out(item) for item in value]
    return value


def _cases_in(suite: Mapping[str, Any]) -> Iterator[Case]:
    for case in suite["cases"]:
        yield Case(
            suite=suite["suite"],
            name=case["name"],
            steps=tuple(_step(step) for step in case.get("steps", [case])),
            server=case.get("server", "shared"),
            script=tuple(case.get("script", ())),
            runners=tuple(case.get("runners", ())),
        )


def _step(step: Mapping[str, Any]) -> Step:
    return Step(
        call=step["call"],
        expect=step["expect"],
        expect_over=step.get("expect_over", {}),
        meanwhile=step.get("meanwhile"),
    )
