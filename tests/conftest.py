"""What every test can rely on: an empty home, signals as a terminal has them, workers that share no folder."""

from __future__ import annotations

import os
import signal

import hypothesis
import pytest
from xdist.remote import Producer

from tests.sharing import Scheduling

# How long one example takes says nothing on a machine that runs other tests, too.
hypothesis.settings.register_profile("suite", deadline=None)


def pytest_configure() -> None:
    """Sets what processes that tests start inherit, and what Hypothesis expects."""
    # A script ignores SIGINT for its jobs in the background. Servers that inherit that never end by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    hypothesis.settings.load_profile("suite")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Makes `--dist loadfile` keep together what builds in one folder."""
    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--runner",
        choices=["in-process", "process"],
        default="in-process",
        help="where the entrypoints of the engine's tests run",
    )


@pytest.fixture(autouse=True)
def empty_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the machine's own registry, keys and proxies out of every test, and the tests out of them."""
    for name in os.environ:
        if name.startswith("RUNAGENT_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("RUNAGENT_CACHE_DIR", str(home / "cache"))
