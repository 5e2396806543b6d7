"""Takes a runner through cases: fills in calls, does what has to happen meanwhile, and compares what comes back."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tests.conformance.cases import Case, Step, cases, written_out
from tests.conformance.catalogue import Runner
from tests.conformance.comparison import differences
from tests.conformance.meanwhile import meanwhile
from tests.conformance.places import AGENT_ID, Place, place_of, served_once
from tests.conformance.process import RunnerDiedError, RunnerProcess

__all__ = ["Kit", "Result", "cases_for", "verdict"]

_NO_WORDS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a case."""

    case_id: str
    problems: tuple[str, ...] = ()
    skipped: str | None = None
    """Why it was not run."""

    @property
    def passed(self) -> bool:
        return not self.problems and self.skipped is None


def cases_for(runner: Runner) -> list[Case]:
    """Returns the cases that can be asked of a runner at all."""
    return [case for case in cases() if not case.runners or not set(case.runners).isdisjoint(runner.kinds)]


def verdict(result: Result, known: Mapping[str, str]) -> tuple[str, ...]:
    """Returns what is wrong with a result, given the cases that are known to fail. One that passes is wrong as well."""
    if result.case_id not in known or result.skipped is not None:
        return result.problems
    if result.passed:
        return (f"It passes, and is listed as failing ({known[result.case_id]}): take it off the list.",)
    return ()


class Kit:
    """One runner, and the servers that it is led to."""

    def __init__(self, runner: Runner, given: Place | None = None) -> None:
        """`given` is a server that somebody else runs; cases that need one of the kit's own are then skipped."""
        self._runner = runner
        self._given = given
        self._process = RunnerProcess(runner.command, runner.cwd)
        self._places: dict[str, Place] = {}
        self._resources = ExitStack()

    @property
    def hopeless(self) -> bool:
        """Whether the runner does not start, so that there is no use in more cases."""
        return self._process.hopeless

    def run(self, case: Case) -> Result:
        """Runs a case to its end, or to the first step that is not as expected."""
        if self.hopeless:
            return Result(case_id=case.case_id, problems=("The runner does not start.",))
        needs_ours = case.server not in ("shared", "nobody", "scripted") or any(step.meanwhile for step in case.steps)
        if self._given is not None and needs_ours:
            return Result(case_id=case.case_id, skipped=f"It needs a server of the kit's own ({case.server}).")
        words = {"$mark": str(uuid.uuid4()), "$request_id": str(uuid.uuid4())}
        with self.place_of(case) as place:
            place.play(case.script)
            for number, step in enumerate(case.steps, 1):
                call = self.call_of(case, step, place, number=number, words=words)
                problems = self._problems(step, call, place, words)
                if problems:
                    where = f"Step {number}: " if len(case.steps) > 1 else ""
                    return Result(case_id=case.case_id, problems=tuple(where + problem for problem in problems))
        return Result(case_id=case.case_id)

    def place_of(self, case: Case) -> AbstractContextManager[Place]:
        """Returns the server that a case needs, for the length of the block."""
        if self._given is not None and case.server == "shared":
            return contextlib.nullcontext(self._given)
        if served_once(case.server):
            return place_of(case.server)
        return self._kept(case.server)

    def call_of(
        self, case: Case, step: Step, place: Place, *, number: int = 1, words: Mapping[str, str] = _NO_WORDS
    ) -> dict[str, Any]:
        """Returns the call of a step as the runner gets it. `words` stand for what is new each time."""
        return {
            "id": f"{case.case_id}#{number}",
            "agent_id": AGENT_ID,
            "entrypoint_tag": "echo",
            "args": [],
            "kwargs": {},
            **place.address_for(self._runner.transport),
            **_filled(written_out(step.call), words),
        }

    def close(self) -> None:
        """Ends the runner and the servers."""
        self._process.close()
        self._resources.close()

    def __enter__(self) -> Kit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _problems(self, step: Step, call: dict[str, Any], place: Place, words: dict[str, str]) -> list[str]:
        expected = step.expected(self._runner.kinds)
        started = time.monotonic()
        try:
            with meanwhile(step.meanwhile, place, call):
                outcome = self._process.ask(call)
        except RunnerDiedError as error:
            return [str(error)]
        seconds = time.monotonic() - started
        if outcome.get("invocation_id"):
            words["$invocation_id"] = outcome["invocation_id"]
        return differences(_filled(expected, words), outcome, seconds, self._runner.tells)

    @contextlib.contextmanager
    def _kept(self, server: str) -> Iterator[Place]:
        if server not in self._places:
            self._places[server] = self._resources.enter_context(place_of(server))
        yield self._places[server]


def _filled(value: Any, words: Mapping[str, str]) -> Any:
    """Returns a value with the words that stand for something else each time replaced by it."""
    match value:
        case str() if "$" in value and len(value) < 1000:
            for word, meaning in words.items():
                value = value.replace(word, meaning)
        case dict():
            return {name: _filled(item, words) for name, item in value.items()}
        case list():
            return [_filled(item, words) for item in value]
    return value
