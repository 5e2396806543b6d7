"""What looks like a secret does not reach the disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runagent_grpc.store import HistoryStore
from runagent_grpc.store.masking import is_secret, masked_beginning, masked_json
from runagent_grpc.values.payload import Json, TruncatedPayload
from tests.store.recording import begin, end


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "db_password",
        "userPassword",
        "PASSWD",
        "api_key",
        "apiKey",
        "openai-api-key",
        "OPENAI_API_KEY",
        "x-api-key",
        "apikey",
        "token",
        "access_token",
        "refreshToken",
        "Authorization",
        "client_secret",
        "private_key",
        "AWSSecretAccessKey",
        "aws_credentials",
        "Set-Cookie",
        "jwt",
        "userJwt",
        "session",
        "user_session",
        "pass",
        "DB_PASS",
        "openai_key",
        "openaiKey",
        "STRIPE_KEY",
    ],
)
def test_a_key_that_names_a_secret_is_known(key: str) -> None:
    assert is_secret(key)
    assert masked_json(Json(json.dumps({key: "x"}))) == json.dumps({key: "***"}, separators=(",", ":"))


@pytest.mark.parametrize(
    "key",
    [
        "",
        "key",
        "keys",
        "keyboard",
        "primary_key",
        "max_tokens",
        "tokens",
        "token_count",
        "author",
        "compass",
        "bypass",
        "passed",
        "session_id",
        "sessions",
        "cache_key",
        "passage",
        "1",
    ],
)
def test_a_key_that_names_something_else_is_left_alone(key: str) -> None:
    assert not is_secret(key)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ('{"a":1.0,"token":null}', '{"a":1.0,"token":null}'),
        ('{"password":"x","b":[{"api_key":{"a":1}}]}', '{"password":"***","b":[{"api_key":"***"}]}'),
        ('["{\\"token\\": \\"x\\"}","{token"]', '["{\\"token\\":\\"***\\"}","{token"]'),
        ('"token"', '"token"'),
        ('{"pass":12,"session":{"id":1,"jwt":"x"}}', '{"pass":12,"session":{"id":1,"jwt":"***"}}'),
        ('{"pass":"x","session":"y","openai_key":["z"]}', '{"pass":"***","session":"***","openai_key":"***"}'),
    ],
)
def test_secrets_in_json_are_masked(text: str, masked: str) -> None:
    assert masked_json(Json(text)) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ('{"password":"a \\" b","n":1,"to', '{"password":"***","n":1,"to'),
        ('[{"token" : "unfinis', '[{"token" : "***"'),
        ('{"secret":12345', '{"secret":"***"'),
        ('{"secret":12345,"b":{"api_key":{"c":1', '{"secret":"***","b":{"api_key":"***"'),
        ('{"secret":[1,2],"b":"after', '{"secret":"***"'),
        ('{"config":"{\\"token\\": \\"x\\",\\"b', '{"config":"{\\"token\\": "***",\\"b'),
        ('{"session":{"id":1,"pass":true,"jwt":"x', '{"session":{"id":1,"pass":true,"jwt":"***"'),
        ('{"session":"abc","pass":"de', '{"session":"***","pass":"***"'),
        ('{"config":"{\\"session\\": \\"x\\",\\"b', '{"config":"{\\"session\\": "***",\\"b'),
        ("the password is in the safe", "the password is in the safe"),
    ],
)
def test_secrets_in_the_beginning_of_json_are_masked(text: str, masked: str) -> None:
    assert masked_beginning(text) == masked


def test_no_secret_reaches_the_file(database: Path) -> None:
    names = {"login": ("user", "password")}
    with HistoryStore(database, agent_id="agent", parameter_names=names) as store:
        invocation = begin(
            store,
            "ada",
            "hunter2",
            tag="login",
            kwargs={"api_key": "hunter2", "headers": {"Authorization": "hunter2"}, "config": '{"token": "hunter2"}'},
        )
        end(
            store,
            invocation,
            Json('{"session":{"token":"hunter2"}}'),
            first_chunks=[
                Json('{"secret":"hunter2"}'),
                TruncatedPayload(beginning='{"password":"hunter2', size=50_000),
            ],
        )
        told = store.history.get(invocation.invocation_id)
    assert told.input == (
        '{"args":["ada","***"],'
        '"kwargs":{"api_key":"***","headers":{"Authorization":"***"},"config":"{\\"token\\":\\"***\\"}"}}'
    )
    assert told.result == Json('{"session":{"token":"***"}}')
    assert told.first_chunks[0] == Json('{"secret":"***"}')
    for file in database.parent.glob("*.db*"):
        assert b"hunter2" not in file.read_bytes()
