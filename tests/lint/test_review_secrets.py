"""Which values count as secrets, which as placeholders, and that neither is ever repeated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runagent_grpc.lint import Finding, review_agent

MakeFolder = Callable[..., Path]

# Put together here, so that nobody who looks for keys in this repository finds one.
RANDOM = "a8Fk29Lq01" + "ZxPw7T4mNb"
LONG = RANDOM * 2


def warnings_of(make_folder: MakeFolder, name: str, value: str) -> list[Finding]:
    return list(review_agent(make_folder(env_vars={name: value})).findings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENAI_API_KEY", "sk-" + LONG),
        ("ANYTHING", "sk-proj-" + LONG),
        ("CLAUDE", "sk-ant-api03-" + LONG),
        ("GITHUB", "ghp_" + LONG[:36]),
        ("GITHUB", "github_pat_" + LONG),
        ("AWS", "AKIA" + "QW3RT5ZU1OPAS7DF"),
        ("SLACK", "xoxb-" + "123456789012-" + RANDOM),
        ("MAPS", "AIza" + (LONG + "x")[:35]),
        ("HF", "hf_" + LONG[:34]),
        ("GROQ", "gsk_" + LONG),
        ("STRIPE", "sk_" + "live_" + RANDOM),
        ("SESSION", "eyJ" + RANDOM + ".eyJ" + RANDOM + "." + LONG),
        ("PEM", "-----BEGIN RSA " + "PRIVATE KEY-----"),
        ("MY_SERVICE_KEY", RANDOM),
        ("my_token", RANDOM.lower()),
        ("CLIENT_SECRET", "d41d8cd9" + "8f00b204e9800998ecf8427e"),
        ("DB_PASSWORD", RANDOM),
        ("DB_PASS", RANDOM),
        ("OPENAI_KEY", RANDOM),
        ("SERVICE_JWT", RANDOM),
        ("DATABASE_PWD", RANDOM),
        ("OPENAI_API_KEY", "${OPENAI_API_KEY:-sk-" + LONG + "}"),
        ("HEADER", "Bearer sk-" + LONG),
        ("DATABASE_URL", "postgres://ada:lovelace1815@db.example.com/x"),
    ],
)
def test_a_secret_is_told_and_not_repeated(make_folder: MakeFolder, name: str, value: str) -> None:
    (finding,) = warnings_of(make_folder, name, value)
    assert (finding.kind, finding.file) == ("secret", "runagent.config.json")
    assert finding.text.startswith(f"`env_vars.{name}` holds a secret")
    assert not any(part in finding.text for part in (value, value[:8], value[-8:], RANDOM))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENAI_API_KEY", "${OUR_TEST_SET}"),
        ("OPENAI_API_KEY", "${OUR_TEST_UNSET:-}"),
        ("MODEL", "gpt-4o-mini-2024-07-18"),
        ("MODEL", "claude-sonnet-4-20250514"),
        ("PRIMARY_KEY", "customer_id"),
        ("CACHE_KEY", "user-sessions-v2-2024"),
        ("MAX_TOKENS", "4096"),
        ("EOS_TOKEN", "<|endoftext|>"),
        ("PUBLIC_KEY", RANDOM),
        ("SUPABASE_ANON_KEY", "eyJ" + RANDOM + ".eyJ" + RANDOM + "." + LONG),
        ("NEXT_PUBLIC_TOKEN", RANDOM),
        ("SSH_KEY", "/home/ada/.ssh/id_ed25519"),
        ("KEY", "https://example.com/keys/1234567890abc"),
        ("COMMIT", RANDOM),
        ("AUTHORIZATION", "none"),
        ("SESSION", "none"),
        ("DATABASE_URL", "postgres://postgres:postgres@localhost/x"),
        ("DATABASE_URL", "postgres://ada:${DB_PASSWORD:-}@db.example.com/x"),
        ("DB_PASSWORD", "postgres"),
        ("LOG_LEVEL", "debug"),
        ("EMPTY_KEY", ""),
        ("TASK", "sk-etching-a-long-drawing-of-things"),
    ],
)
def test_what_is_no_secret_is_left_alone(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("OUR_TEST_SET", RANDOM)
    assert warnings_of(make_folder, name, value) == []


@pytest.mark.parametrize(
    "value",
    [
        "your-api-key",
        "your_openai_api_key_here",
        "YOUR_API_KEY",
        "<your key>",
        "sk-your-key",
        "sk-xxxxxxxxxxxxxxxxxxxxxxxx",
        "sk-...",
        "changeme",
        "CHANGE_ME",
        "xxx",
        "...",
        "***",
        "TODO",
        "insert-key-here",
        "placeholder",
        "[API KEY]",
        "{{ api_key }}",
    ],
)
def test_a_placeholder_is_told_as_one(make_folder: MakeFolder, value: str) -> None:
    (finding,) = warnings_of(make_folder, "OUR_TEST_API_KEY", value)
    assert finding.kind == "placeholder"
    assert finding.text == "`env_vars.OUR_TEST_API_KEY` is a placeholder. Remove it here, and set it in .env."


@pytest.mark.parametrize("value", ["your-api-key", ""])
def test_what_hides_the_environments_own_value_is_told(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("OUR_TEST_API_KEY", RANDOM)
    (finding,) = warnings_of(make_folder, "OUR_TEST_API_KEY", value)
    assert finding.text.endswith("and goes before the value that the environment has. Remove it here.")
    assert RANDOM not in finding.text
