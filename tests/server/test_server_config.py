"""A server's configuration: where its settings come from, and what is said of those that cannot be."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.auth.api_keys import ApiKeys
from runagent_grpc.client import AsyncRunAgentClient
from runagent_grpc.contract.messages import MAX_MESSAGE_BYTES
from runagent_grpc.server.config import SETTINGS, ServerConfig
from runagent_grpc.server.config_sources import InvalidConfigError, load_config
from runagent_grpc.server.server import Server
from runagent_grpc.settings import Kind, ListenSettings, Setting
from runagent_grpc.worker import Agent
from tests.waiting import on_a_loop

UNKNOWN = "there is no such setting."
QUEUED = "expected a whole number from 0 to 1,000,000"
PORT = "expected a whole number from 0 to 65,535, or none"


def written(tmp_path: Path, text: str, name: str = "server.yaml") -> Path:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return file


def loaded(file: Path | None = None, flags: dict[str, Any] | None = None, /, **environment: str) -> ServerConfig:
    return load_config(file, environment=environment, flags=flags or {})


def problems_of(file: Path | None = None, /, **environment: str) -> tuple[str, ...]:
    with pytest.raises(InvalidConfigError) as caught:
        loaded(file, **environment)
    return caught.value.problems


def problem_of(tmp_path: Path, text: str, name: str = "server.yaml") -> str:
    """What is said of a file without the folder that it is in."""
    (problem,) = problems_of(written(tmp_path, text, name))
    return problem.removeprefix(f"{tmp_path}/")


def another_value(setting: Setting) -> Any:
    """A value that a setting may have, and that is not its default."""
    match setting.kind:
        case Kind.BOOLEAN:
            return not setting.default
        case Kind.TEXTS:
            return ("one", "two")
        case Kind.TEXT:
            return "another"
        case Kind.PATH:
            return Path("/another")
        case _ if setting.name == "max_payload_bytes":
            return setting.default - 1
        case Kind.NUMBER:
            return (setting.default or setting.maximum or 1) / 2
        case Kind.INTEGER:
            return 1234 if setting.default is None else setting.default + 1


def as_text(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value).lower()


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
class TestEverySetting:
    def test_has_a_default_that_is_within_its_range(self, setting: Setting) -> None:
        if setting.default is not None and setting.default != ():
            assert setting.parse(as_text(setting.default)) == setting.default

    def test_comes_from_the_file(self, setting: Setting, tmp_path: Path) -> None:
        value = another_value(setting)
        plain = list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
        document = json.dumps({setting.section: {setting.name: plain}})
        for name in ("server.yaml", "server.json"):
            assert loaded(written(tmp_path, document, name)) == ServerConfig.of({setting.name: value}) != ServerConfig()

    def test_comes_from_the_environment(self, setting: Setting) -> None:
        value = another_value(setting)
        environment = {f"RUNAGENT_SERVER_{setting.name.upper()}": as_text(value)}
        assert loaded(**environment) == ServerConfig.of({setting.name: value}) != ServerConfig()

    def test_refuses_what_is_beyond_its_range(self, setting: Setting, tmp_path: Path) -> None:
        step = 1 if setting.kind is Kind.INTEGER else 0.01
        beyond = [setting.minimum - step] if setting.minimum is not None else []
        beyond += [setting.above] if setting.above is not None else []
        beyond += [setting.maximum + step] if setting.maximum is not None else []
        for number in beyond:
            text = f"{number:.15g}"
            (said,) = problems_of(**{setting.variable: text})
            assert said == f"{setting.variable}: expected {setting.expected}, got `{text}`."
            file = written(tmp_path, f"{setting.section}:\n  {setting.name}: {text}\n")
            (said,) = problems_of(file)
            assert said == f"{file}, line 2: `{setting.key}`: expected {setting.expected}, got `{text}`."

    @pytest.mark.parametrize("document", ["{}", "[[]]", "null", '""', "true", "3.5", '"3"'])
    def test_refuses_another_type(self, setting: Setting, document: str, tmp_path: Path) -> None:
        fits = {
            Kind.BOOLEAN: {"true"},
            Kind.NUMBER: {"3.5"},
            Kind.TEXT: {'"3"'},
            Kind.PATH: {'"3"'},
            Kind.TEXTS: set(),
            Kind.INTEGER: set(),
        }[setting.kind]
        if document in fits or (document == "null" and setting.is_optional):
            return
        (said,) = problems_of(written(tmp_path, f'{{"{setting.section}": {{"{setting.name}": {document}}}}}', "a.json"))
        assert f"`{setting.key}`: expected {setting.expected}, got " in said

    def test_says_what_it_sets(self, setting: Setting) -> None:
        assert setting.help.endswith(".")
        assert "|" not in setting.help


def test_no_two_settings_share_a_name() -> None:
    assert Counter(setting.name for setting in SETTINGS).most_common(1)[0][1] == 1


def test_flags_go_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, "limits: {max_queued: 1, max_concurrent: 1, heartbeat: 1}")
    environment = {"RUNAGENT_SERVER_MAX_QUEUED": "2", "RUNAGENT_SERVER_MAX_CONCURRENT": "2"}
    limits = loaded(file, {"max_queued": 3}, **environment).limits
    assert (limits.max_queued, limits.max_invocations, limits.heartbeat_interval) == (3, 2, 1)


def test_a_limit_of_the_file_can_be_lifted(tmp_path: Path) -> None:
    file = written(tmp_path, "limits:\n  rate_limit: 5\nhttp:\n  cors_origins: [https://a.example]\n")
    config = loaded(file, RUNAGENT_SERVER_RATE_LIMIT="none", RUNAGENT_SERVER_CORS_ORIGINS="none")
    assert (config.limits.rate_limit, config.http.cors_origins) == (None, ())
    assert loaded(file, {"rate_limit": None}).limits.rate_limit is None


def test_a_path_is_relative_to_the_file_that_names_it(tmp_path: Path) -> None:
    file = written(tmp_path, "listen:\n  api_key_file: keys.txt\n")
    assert loaded(file).listen.api_key_file == tmp_path / "keys.txt"
    assert loaded(file, RUNAGENT_SERVER_API_KEY_FILE="keys.txt").listen.api_key_file == Path("keys.txt")


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "limits:\n", "limits:\n  # max_queued: 5\n", "{}", "null"])
def test_a_file_that_sets_nothing_leaves_the_defaults(tmp_path: Path, text: str) -> None:
    assert loaded(written(tmp_path, text)) == ServerConfig()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("limits:\n  max_qeued: 5\n", f"line 2: `limits.max_qeued`: {UNKNOWN} Did you mean `limits.max_queued`?"),
        ("limit:\n  max_queued: 5\n", "line 1: `limit`: there is no such section. Did you mean `limits`?"),
        ("max_queued: 5\n", "line 1: `max_queued`: there is no such section. Did you mean `limits.max_queued`?"),
        ("http:\n  drain_grace: 5\n", f"line 2: `http.drain_grace`: {UNKNOWN} Did you mean `shutdown.drain_grace`?"),
        (
            "limits:\n  max_invocations: 5\n",
            f"line 2: `limits.max_invocations`: {UNKNOWN} Did you mean `limits.max_concurrent`?",
        ),
        (
            "listen:\n  api_keys: [secret]\n",
            f"line 2: `listen.api_keys`: {UNKNOWN} Did you mean `listen.api_key_file`?",
        ),
        (
            "limits:\n  max_queued: 5\n  max_queued: 6\n",
            "line 3: `limits.max_queued` is given more than once. Keep one of them.",
        ),
        ("limits:\n\n  max_queued: many\n", f"line 3: `limits.max_queued`: {QUEUED}, got `many`."),
        ("limits:\n  max_queued: '5'\n", f"line 2: `limits.max_queued`: {QUEUED}, got the text `5`."),
        ("limits:\n  max_queued: 5.5\n", f"line 2: `limits.max_queued`: {QUEUED}, got `5.5`."),
        ("limits:\n  max_queued: 010\n", f"line 2: `limits.max_queued`: {QUEUED}, got `010`."),
        (
            "limits:\n  rate_limit: .nan\n",
            "line 2: `limits.rate_limit`: expected a number above 0 and up to 1,000,000, or none, got `.nan`.",
        ),
        (
            "limits:\n  heartbeat: .inf\n",
            "line 2: `limits.heartbeat`: expected a number of seconds from 0.1 to 3,600, got `.inf`.",
        ),
        ("listen:\n  http: 1\n", "line 2: `listen.http`: expected true or false, got `1`."),
        ("listen:\n  host: 1.5\n", "line 2: `listen.host`: expected text, got `1.5`."),
        (
            "http:\n  cors_origins: https://a.example\n",
            "line 2: `http.cors_origins`: expected a list of texts, got `https://a.example`.",
        ),
        ("limits: 5\n", "line 1: `limits`: expected an object with max_concurrent"),
        (
            "- limits\n",
            "line 1: the file: expected an object with listen, limits, grpc, http, history or shutdown, got a list.",
        ),
        ("limits:\n  max_queued: !!python/name:os.system 5\n", "line 2: `limits.max_queued`: expected a whole number"),
        ("limits: {max_queued: 5\n", "line 2: not valid YAML: expected ',' or '}', but got '<stream end>'."),
        ("limits:\n\tmax_queued: 5\n", "line 2: not valid YAML: found character '\\t' that cannot start any token."),
        ("a: 1\n---\nb: 2\n", "line 2: not valid YAML: but found another document."),
        ("a: \x01\n", "line 1: a character that YAML does not allow."),
        ("listen: {grpc: off, http: off}\n", "`listen.http` and `listen.grpc` are both off."),
        (
            "history: {journal: on, payloads: off}\n",
            "`history.journal` keeps chunks as they are, and `history.payloads` is off.",
        ),
        (
            "grpc: {max_message_bytes: 1048576}\n",
            "`limits.max_payload_bytes` (33,488,896) and 64 KiB for what wraps it exceed `grpc.",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    said = problem_of(tmp_path, text)
    assert said.removeprefix("server.yaml, ").startswith(problem)
    assert "secret" not in said


def test_json_is_read_as_json_and_tabs_move_no_line(tmp_path: Path) -> None:
    said = problem_of(tmp_path, '{\n\t"limits": {\n\t\t"max_queued": "5"\n\t}\n}', "server.json")
    assert said == f"server.json, line 3: `limits.max_queued`: {QUEUED}, got the text `5`."
    assert problem_of(tmp_path, "limits: {}", "server.json") == "server.json, line 1: not valid JSON: Expecting value."


@pytest.mark.parametrize("name", ["server.yaml", "server.json"])
def test_a_file_that_nests_without_end_is_refused(tmp_path: Path, name: str) -> None:
    assert "Simplify it." in problem_of(tmp_path, "[" * 100_000, name)


def test_aliases_that_multiply_cost_nothing(tmp_path: Path) -> None:
    lines = ["a: &a [1, 1]", *(f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]" for n in range(24))]
    assert len(problems_of(written(tmp_path, "\n".join(lines)))) == 25


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (said,) = problems_of(tmp_path / "none.yaml")
    assert said == f"{tmp_path / 'none.yaml'}: cannot be read: No such file or directory."
    (tmp_path / "latin.yaml").write_bytes(b"\xe9")
    assert "not UTF-8 at byte 0." in problems_of(tmp_path / "latin.yaml")[0]


@pytest.mark.parametrize(
    ("variable", "text", "problem"),
    [
        ("MAX_QEUED", "5", f"RUNAGENT_SERVER_MAX_QEUED: {UNKNOWN} Did you mean RUNAGENT_SERVER_MAX_QUEUED?"),
        (
            "LIMITS_MAX_QUEUED",
            "5",
            f"RUNAGENT_SERVER_LIMITS_MAX_QUEUED: {UNKNOWN} Did you mean RUNAGENT_SERVER_MAX_QUEUED?",
        ),
        ("XYZ", "5", "RUNAGENT_SERVER_XYZ: there is no such setting."),
        ("MAX_QUEUED", "", f"RUNAGENT_SERVER_MAX_QUEUED: {QUEUED}, got nothing."),
        ("API_KEY_FILE", "", "RUNAGENT_SERVER_API_KEY_FILE: expected a path, or none, got nothing."),
        ("CORS_ORIGINS", "a,,b", "RUNAGENT_SERVER_CORS_ORIGINS: expected a list of texts, got `a,,b`."),
        ("PORT", "tcp://10.0.0.1:8450", f"RUNAGENT_SERVER_PORT: {PORT}, got `tcp://10.0.0.1:8450`."),
        ("PORT", "9" * 5000, f"RUNAGENT_SERVER_PORT: {PORT}, got `" + "9" * 55 + "...`."),
        (
            "SERVICE_HOST",
            "10.0.0.1",
            f"RUNAGENT_SERVER_SERVICE_HOST: {UNKNOWN} Kubernetes sets it for a Service named `runagent-server`",
        ),
    ],
)
def test_what_is_wrong_with_a_variable_is_said_with_its_name(variable: str, text: str, problem: str) -> None:
    (said,) = problems_of(**{f"RUNAGENT_SERVER_{variable}": text})
    assert said.startswith(problem)


@pytest.mark.parametrize("text", ["true", "yes", "on", "1", "TRUE"])
def test_a_variable_takes_the_usual_words_for_true(text: str) -> None:
    assert loaded(RUNAGENT_SERVER_INSECURE=text).listen.insecure is True


def test_other_variables_are_left_alone() -> None:
    assert loaded(RUNAGENT_API_KEYS="x", RUNAGENT_SERVERS="x", SERVER_PORT="x") == ServerConfig()


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    file = written(tmp_path, "limits:\n  max_queued: -1\n  heartbeat: no\nlisten: {http: off, grpc: off, hots: a}\n")
    said = problems_of(file, RUNAGENT_SERVER_RATE_LIMIT="0", RUNAGENT_SERVER_X="1")
    words = ["limits.max_queued", "limits.heartbeat", "listen.hots", "RATE_LIMIT", "SERVER_X", "both off"]
    assert len(said) == len(words)
    assert all(word in problem for word, problem in zip(words, said, strict=True))


def test_a_message_holds_what_clients_take() -> None:
    assert ServerConfig().grpc.max_message_bytes == MAX_MESSAGE_BYTES


def test_a_server_in_a_program_asks_for_the_keys_in_the_file_that_its_configuration_names(tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("a-long-enough-key\n")
    keys.chmod(0o600)
    config = ServerConfig(listen=ListenSettings(api_key_file=keys))
    agent = Agent.from_functions({"one": lambda: 1})
    assert Server(agent, config=config).authenticator.required
    assert not Server(agent, config=config, authenticator=ApiKeys()).authenticator.required
    assert not Server(agent).authenticator.required


def test_a_name_that_no_setting_has_is_an_error_in_a_program_too() -> None:
    with pytest.raises(TypeError, match="max_qeued"):
        ServerConfig.of({"max_qeued": 5})


EXTREMES = [
    pytest.param(setting.name, setting.parse(f"{bound:.15g}"), id=f"{setting.name}={bound:.15g}")
    for setting in SETTINGS
    for bound in (setting.minimum, setting.maximum)
    if bound is not None and not setting.name.endswith("port")
]


@pytest.mark.parametrize(("name", "value"), EXTREMES)
@on_a_loop
async def test_a_server_serves_with_whatever_a_setting_may_be(name: str, value: float) -> None:
    config = ServerConfig.of({"port": 0, "grpc_port": 0, "drain_grace": 0.0, name: value})
    agent = Agent.from_functions({"one": lambda: 1, "one_stream": lambda: iter([1, 2])})
    async with Server(agent, config=config) as server:
        for transport, port in server.ports.items():
            options: dict[str, Any] = {"base_url": f"{transport}://127.0.0.1:{port}", "transport": transport}
            async with AsyncRunAgentClient(None, "one", **options) as client:
                assert await client.run() == 1
            async with AsyncRunAgentClient(None, "one_stream", **options) as client:
                assert [chunk async for chunk in client.run_stream()] == [1, 2]
