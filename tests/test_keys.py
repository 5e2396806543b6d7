from __future__ import annotations

import gc
from pathlib import Path

import pytest

from runagent_grpc.keys import ApiKeys


def test_a_key_has_an_owner_and_another_has_none() -> None:
    keys = ApiKeys(["one", "two"])

    assert keys.owner_of("one") not in (None, keys.owner_of("two"))
    for wrong in ("", "One", "one ", " one", "on", "onee", "one,two", "öne", "\ud800", "o" * 100_000, "*"):
        assert keys.owner_of(wrong) is None


def test_an_owner_is_the_same_in_every_set_and_after_a_restart() -> None:
    assert ApiKeys(["a", "b"]).owner_of("a") == ApiKeys(["a"]).owner_of("a") == "ca978112ca1bbdca"


def test_a_set_without_keys_is_false_and_knows_nobody() -> None:
    assert not ApiKeys()
    assert not ApiKeys.parse(" \n# a comment, with a comma\n,,\n")
    assert ApiKeys().owner_of("") is None


def test_sets_are_joined_without_changing_either() -> None:
    one, two = ApiKeys(["a"]), ApiKeys(["b"])
    both = one | two

    assert both.owner_of("a") == one.owner_of("a")
    assert both.owner_of("b") == two.owner_of("b")
    assert one.owner_of("b") is None
    assert two.owner_of("a") is None
    assert not ApiKeys() | ApiKeys()


@pytest.mark.parametrize("key", ["", " ", "a b", "a\n", "a/b", "a+b", "a=b", "é", "a%20", 'a"', "a\0"], ids=repr)
def test_a_key_that_no_url_can_hold_unescaped_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="API key number 2 ") as caught:
        ApiKeys(["good", key])

    # A wrong key may be a right one with a slip of the hand.
    assert key.strip() == "" or key not in str(caught.value).partition("hold")[0]


def test_every_url_safe_character_is_taken() -> None:
    key = "abcXYZ019._~-"

    assert ApiKeys([key]).owner_of(key)


def test_a_text_holds_one_key_a_line_or_several_with_commas_between() -> None:
    keys = ApiKeys.parse("one\r\n  two , three # the third\n\n# four\nfive,\n")

    assert all(map(keys.owner_of, ["one", "two", "three", "five"]))
    assert not any(map(keys.owner_of, ["four", "the", "# four", "third"]))


def test_a_file_without_keys_or_with_a_bad_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_text("# none yet\n")
    with pytest.raises(ValueError, match=r"^keys\.txt holds no API key"):
        ApiKeys.read(path)
    path.write_text("no good\n")
    with pytest.raises(ValueError, match="API key number 1"):
        ApiKeys.read(path)
    with pytest.raises(FileNotFoundError):
        ApiKeys.read(tmp_path / "other.txt")
    path.write_text("fine\n")
    assert ApiKeys.read(path).owner_of("fine")


def test_no_key_is_kept_where_a_traceback_or_a_log_would_show_it() -> None:
    keys = ApiKeys([f"sk-{number}-secret" for number in range(3)])

    assert "secret" not in repr(keys) + str(keys) + repr(vars(keys))
    assert not [held for held in gc.get_referents(keys, *gc.get_referents(keys)) if "secret" in str(held)]
