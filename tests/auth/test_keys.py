from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from runagent_grpc.auth.api_keys import ApiKeys

A, B = "a-long-enough-key", "b-long-enough-key"


def test_a_key_has_an_owner_and_another_has_none() -> None:
    keys = ApiKeys(["one-long-enough", "two-long-enough"])

    one, two = "one-long-enough", "two-long-enough"
    assert keys.subject_of(one) not in (None, keys.subject_of(two))
    similar = (one.upper(), f"{one} ", f" {one}", one[:-1], f"{one}h", f"{one},{two}", one.replace("o", "ö"))
    for wrong in ("", *similar, "\ud800", "o" * 100_000, "*"):
        assert keys.subject_of(wrong) is None


def test_an_owner_is_the_same_in_every_set_and_after_a_restart() -> None:
    assert ApiKeys([A, B]).subject_of(A) == ApiKeys([A]).subject_of(A) == "b5681434f49f4f18"


def test_a_set_without_keys_is_false_and_knows_nobody() -> None:
    assert not ApiKeys()
    assert not ApiKeys.parse(" \n# a comment, with a comma\n,,\n")
    assert ApiKeys().subject_of("") is None


def test_sets_are_joined_without_changing_either() -> None:
    one, two = ApiKeys([A]), ApiKeys([B])
    both = one | two

    assert both.subject_of(A) == one.subject_of(A)
    assert both.subject_of(B) == two.subject_of(B)
    assert one.subject_of(B) is None
    assert two.subject_of(A) is None
    assert not ApiKeys() | ApiKeys()


@pytest.mark.parametrize(
    "odd", [" ", "a b", "a\n", "a/b", "a+b", "a=b", "é", "a%20", 'a"', "a\0", "a#b", "#"], ids=repr
)
def test_a_key_that_no_url_can_hold_unescaped_is_refused(odd: str) -> None:
    key = f"long-enough-{odd}"
    with pytest.raises(ValueError, match="API key number 2 ") as caught:
        ApiKeys([A, key])

    # A wrong key may be a right one with a slip of the hand.
    assert key not in str(caught.value)


@pytest.mark.parametrize("key", ["", "a", "eleven-char"])
def test_a_key_that_can_be_guessed_is_refused_with_how_to_make_one(key: str) -> None:
    with pytest.raises(ValueError, match="API key number 2 is shorter than 12 characters") as caught:
        ApiKeys([A, key])

    assert "openssl rand -hex 32" in str(caught.value)
    assert not key or f"`{key}`" not in str(caught.value)


@pytest.mark.parametrize("text", ["before-the-mark#after-it", "before-the-mark#", "before-the-mark# a comment"])
def test_a_mark_of_comments_within_a_key_is_refused_and_cuts_no_key_short(text: str) -> None:
    with pytest.raises(ValueError, match=r"API key number 1 .*`#`") as caught:
        ApiKeys.parse(text)

    assert "space before" in str(caught.value)
    assert "before-the-mark" not in str(caught.value)


def test_every_url_safe_character_is_taken() -> None:
    key = "abcXYZ019._~-"

    assert ApiKeys([key]).subject_of(key)


def test_a_text_holds_one_key_a_line_or_several_with_commas_between() -> None:
    names = ["one", "two", "three", "four", "five"]
    one, two, three, four, five = (f"{name}-is-long-enough" for name in names)
    keys = ApiKeys.parse(f"{one}\r\n  {two} , {three} # the third\n\n# {four}\n{five},# the last\n")

    assert all(map(keys.subject_of, [one, two, three, five]))
    assert not any(map(keys.subject_of, [four, "the", f"# {four}", "third"]))


def test_a_file_without_keys_or_with_a_bad_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_text("# none yet\n")
    path.chmod(0o600)
    with pytest.raises(ValueError, match=r"^keys\.txt holds no API key"):
        ApiKeys.read(path)
    path.write_text("no good\n")
    with pytest.raises(ValueError, match="API key number 1"):
        ApiKeys.read(path)
    with pytest.raises(FileNotFoundError):
        ApiKeys.read(tmp_path / "other.txt")
    path.write_text(f"{A}\n")
    assert ApiKeys.read(path).subject_of(A)


def test_no_key_is_kept_where_a_traceback_or_a_log_would_show_it() -> None:
    keys = ApiKeys([f"sk-{number}-secret-enough" for number in range(3)])

    assert "secret" not in repr(keys) + str(keys) + repr(vars(keys))
    assert not [held for held in gc.get_referents(keys, *gc.get_referents(keys)) if "secret" in str(held)]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="This system's files have no such modes.")
@pytest.mark.parametrize("mode", [0o644, 0o604, 0o606, 0o602])
def test_a_file_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.txt"
    path.write_text(f"{A}\n")
    path.chmod(mode)
    with pytest.raises(ValueError, match=r"^other users can read or change it\. Run `chmod 600 keys\.txt`"):
        ApiKeys.read(path)
    path.chmod(0o400)
    assert ApiKeys.read(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="Only root can give a file away.")
def test_a_file_of_another_user_or_another_group_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_text(f"{A}\n")
    path.chmod(0o640)
    assert ApiKeys.read(path)
    os.chown(path, -1, 54_321)
    with pytest.raises(ValueError, match="other users can read"):
        ApiKeys.read(path)
    path.chmod(0o600)
    os.chown(path, 54_321, -1)
    with pytest.raises(ValueError, match="belongs to another user"):
        ApiKeys.read(path)
