"""The clients for code that blocks are what `make unasync` writes from those for asyncio."""

from __future__ import annotations

import pytest

from scripts import unasync

pytest.importorskip("ruff", reason="formats what is generated, and is a tool of development alone")


def sources() -> dict[str, str]:
    return {name: (unasync.ROOT / name).read_text(encoding="utf-8") for name in unasync.TWINS}


def test_every_twin_is_what_its_source_says() -> None:
    for name, text in unasync.generate(sources()).items():
        assert (unasync.ROOT / unasync.TWINS[name]).read_text(encoding="utf-8") == text


def test_a_twin_that_was_edited_fails_the_check(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert unasync.main(["--check"]) == 0

    real = unasync.generate(sources())
    first = next(iter(real))
    monkeypatch.setattr(unasync, "generate", lambda _: real | {first: real[first] + "# another line\n"})
    assert unasync.main(["--check"]) == 1
    assert unasync.TWINS[first] in capsys.readouterr().err


def test_nothing_of_asyncio_is_left_in_a_twin() -> None:
    for name, text in unasync.generate(sources()).items():
        assert text.startswith(f"# Generated from {name} by scripts/unasync.py; do not edit.\n")
        assert "async" not in text.partition("\n")[2].lower()
        assert "await" not in text


def test_a_rule_that_matches_nothing_is_refused() -> None:
    name = next(iter(unasync.TWINS))
    with pytest.raises(ValueError, match="matches nothing"):
        unasync.generate({name: "x = 1\n"})
