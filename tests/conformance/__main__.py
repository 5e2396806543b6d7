"""The kit as a command: `python -m tests.conformance --help`."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.cases import Case, cases
from tests.conformance.catalogue import RUNNERS, Runner, known_failing
from tests.conformance.features import PAGE, column_of, page_with
from tests.conformance.kit import Kit, Result, cases_for, verdict
from tests.conformance.places import given_place
from tests.conformance.toolchains import build


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the cases that were asked for. Returns 0 where all is as it should be, 1 where it is not."""
    options = _parser().parse_args(arguments)
    # What the servers have to say of failures that were asked for.
    logging.getLogger("runagent_grpc").setLevel(logging.CRITICAL)
    chosen = [case for case in cases() if not options.case or any(name in case.case_id for name in options.case)]
    if not chosen:
        _say(f"No case is called {' or '.join(options.case)}; the files in tests/conformance/vectors name them.")
        return 2
    if options.write_table and (options.runner or options.server or options.case):
        _say("The table is of all cases, for runners and a server of ours: leave out what chooses others.")
        return 2
    if options.runner:
        return int(bool(_run(_runner_in(options), chosen, options).wrong))
    runs = {}
    for name in RUNNERS if options.all else options.of or _OURS:
        missing = build(RUNNERS[name])
        if missing is None:
            runs[name] = _run(RUNNERS[name], chosen, options)
        else:
            _say(f"{RUNNERS[name].title} is left out. {missing}")
    if options.write_table:
        right = [RUNNERS[name] for name, run in runs.items() if not run.wrong and not RUNNERS[name].same_as]
        columns = {runner.name: column_of(runner, runs[runner.name].failing) for runner in right}
        PAGE.write_text(page_with(PAGE.read_text(), columns))
    left_out = bool(options.of) and len(runs) < len(options.of)
    return int(left_out or any(run.wrong for run in runs.values()))


@dataclass(slots=True)
class _Run:
    """The cases that a runner went through, by what came of them."""

    wrong: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    failing: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


_OURS = tuple(name for name in RUNNERS if name.startswith(("python", "raw")))


def _run(runner: Runner, chosen: Sequence[Case], options: argparse.Namespace) -> _Run:
    known = known_failing(options.known_failing) if options.known_failing else runner.known_failing
    host, _, port = (options.server or "").rpartition(":")
    run = _Run()
    with Kit(runner, given_place(host, int(port)) if port else None) as kit:
        for case in (case for case in cases_for(runner) if case in chosen):
            if kit.hopeless:
                _say(f"{runner.title} is given up, for it does not start.")
                break
            result = kit.run(case)
            problems = verdict(result, known)
            came = (
                run.wrong
                if problems
                else run.skipped
                if result.skipped
                else run.passed
                if result.passed
                else run.failing
            )
            came.append(case.case_id)
            _tell(result, problems, known.get(result.case_id), loudly=options.verbose)
    counts = f"{len(run.passed)} passed, {len(run.wrong)} failed, {len(run.failing)} known to fail"
    _say(f"{runner.title}: {counts}, {len(run.skipped)} skipped.")
    return run


def _tell(result: Result, problems: Sequence[str], known: str | None, *, loudly: bool) -> None:
    if problems:
        _say(f"FAILED   {result.case_id}")
        for problem in problems:
            _say(f"         {problem}")
    elif loudly:
        word, why = (
            ("passed  ", "")
            if result.passed
            else ("skipped ", result.skipped)
            if result.skipped
            else ("known   ", known)
        )
        _say(f"{word} {result.case_id}{f' ({why})' if why else ''}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _runner_in(options: argparse.Namespace) -> Runner:
    return Runner(
        name=options.name,
        title=options.name,
        command=tuple(shlex.split(options.runner)),
        transport=options.transport,
        kinds=("client", options.name, "http" if options.transport == "http" else "grpc"),
        cwd=Path(options.cwd).resolve(),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance",
        description="Makes calls through a client, and compares what comes back with tests/conformance/vectors.",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--runner", metavar="COMMAND", help="a program that speaks the runner protocol")
    which.add_argument(
        "--of",
        metavar="NAME",
        action="append",
        choices=RUNNERS,
        help="one of ours; may be repeated: " + ", ".join(RUNNERS),
    )
    which.add_argument("--all", action="store_true", help="all of ours that this machine can build")
    parser.add_argument("--cwd", metavar="FOLDER", default=".", help="where to start --runner [here]")
    parser.add_argument("--name", default="yours", help="what --runner is called in the summary [yours]")
    parser.add_argument(
        "--known-failing", metavar="NAME", help="the list in known_failing/ that holds for --runner [its name]"
    )
    parser.add_argument(
        "--transport", choices=("auto", "grpc", "http"), default="auto", help="what --runner is to speak [auto]"
    )
    parser.add_argument(
        "--server", metavar="HOST:PORT", help="a server that serves tests/conformance/agent [one of our own]"
    )
    parser.add_argument(
        "--case", metavar="TEXT", action="append", default=[], help="only cases whose name holds this; may be repeated"
    )
    parser.add_argument("--write-table", action="store_true", help="write what was found into docs/sdks.md")
    parser.add_argument("-v", "--verbose", action="store_true", help="name the cases that are right, too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
