"""The runners that the kit knows: which program, over which wire, and what that wire has words for."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tests.conformance.comparison import ERROR_KEYS

__all__ = ["KNOWN_FAILING", "ROOT", "RUNNERS", "Runner", "known_failing"]

ROOT = Path(__file__).parents[2]
KNOWN_FAILING = Path(__file__).parent / "known_failing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """A program that makes calls, and what can be asked of it."""

    name: str
    title: str
    """What it is called in tables."""
    command: tuple[str, ...]
    transport: str
    kinds: tuple[str, ...] = ("client",)
    """Which cases it is for, and which expectations: where wires differ, the first of these that a case names."""
    tells: frozenset[str] = ERROR_KEYS
    """The keys of an error that its wire has words for."""
    cwd: Path = ROOT
    build: tuple[tuple[str, ...], ...] = ()
    """What makes it, before it is started."""
    same_as: str = ""
    """The runner that it is over another wire. It is known to fail the same, and has no column of its own in tables."""

    @property
    def known_failing(self) -> Mapping[str, str]:
        """The cases that it is known to fail, each with its reason."""
        return known_failing(self.same_as or self.name)


def known_failing(name: str) -> Mapping[str, str]:
    """Returns the cases that a runner is known to fail, each with its reason."""
    path = KNOWN_FAILING / f"{name}.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return {
        case.strip(): reason.strip()
        for case, _, reason in (line.partition(":") for line in lines if line.strip() and not line.startswith("#"))
    }


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"tests.conformance.runners.{module}", *arguments)


_WITHOUT_PAUSE = ERROR_KEYS - {"retry_after"}

_RUNNERS = {
    runner.name: runner
    for runner in (
        Runner(
            name="python-grpc",
            title="Python, gRPC",
            command=_python("python_client"),
            transport="auto",
            kinds=("client", "grpc"),
        ),
        Runner(
            name="python-aio-grpc",
            title="Python asyncio, gRPC",
            command=_python("python_client", "--aio"),
            transport="grpc",
            kinds=("client", "grpc"),
        ),
        Runner(
            name="python-http",
            title="Python, REST and WebSocket",
            command=_python("python_client"),
            transport="http",
            kinds=("client", "http"),
        ),
        Runner(
            name="python-aio-http",
            title="Python asyncio, REST and WebSocket",
            command=_python("python_client", "--aio"),
            transport="http",
            kinds=("client", "http"),
        ),
        Runner(
            name="raw-grpc",
            title="bare gRPC stubs",
            command=_python("raw_grpc"),
            transport="grpc",
            kinds=("raw", "raw-grpc"),
        ),
        Runner(
            name="raw-http",
            title="bare REST and WebSocket",
            command=_python("raw_http"),
            transport="http",
            kinds=("raw", "raw-http", "http"),
            tells=_WITHOUT_PAUSE,
        ),
        Runner(
            name="raw-legacy",
            title="legacy dialect",
            command=_python("raw_http", "--legacy"),
            transport="http",
            kinds=("raw", "raw-legacy", "http"),
            tells=frozenset({"message"}),
        ),
        Runner(
            name="js",
            title="JavaScript",
            command=("node", "conformance/runner.mjs"),
            transport="auto",
            kinds=("client", "js", "grpc"),
            cwd=ROOT / "sdks" / "js",
            build=(("sh", "-c", "test -d node_modules || npm ci --silent"), ("npm", "run", "--silent", "build")),
        ),
        Runner(
            name="go",
            title="Go",
            command=("go", "run", "./conformance"),
            transport="auto",
            kinds=("client", "go", "grpc"),
            cwd=ROOT / "sdks" / "go",
            build=(("go", "build", "./..."),),
        ),
        Runner(
            name="rust",
            title="Rust",
            command=(str(ROOT / "sdks" / "rust" / "target" / "debug" / "examples" / "conformance"),),
            transport="auto",
            kinds=("client", "rust", "grpc"),
            cwd=ROOT / "sdks" / "rust",
            build=(("cargo", "build", "--quiet", "--example", "conformance"),),
        ),
    )
}


def _over_http(runner: Runner) -> Runner:
    """Returns the same client on servers that speak no gRPC."""
    return replace(
        runner,
        name=f"{runner.name}-http",
        title=f"{runner.title}, REST and WebSocket",
        transport="http",
        kinds=("client", f"{runner.name}-http", "http"),
        same_as=runner.name,
    )


RUNNERS = _RUNNERS | {f"{name}-http": _over_http(_RUNNERS[name]) for name in ("js", "go", "rust")}
