from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def empty_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the machine's own registry, keys and proxies out of every test, and the tests out of them."""
    for name in os.environ:
        if name.startswith("RUNAGENT_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("RUNAGENT_CACHE_DIR", str(home / "cache"))
