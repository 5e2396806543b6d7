"""What an agent configures of logging holds for its own handlers; the server's lines and the history stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from runagent_grpc.errors import ExecutionFailedError
from tests.cli.commands import Cli, ServeProcess
from tests.cli.speaking import lines_of, speaking_agent

SOURCE = """
import logging
import logging.config
import os

FILE = os.path.join(os.path.dirname(__file__), "author.log")

def dict_config():
    logging.config.dictConfig({
        "version": 1,
        "formatters": {"brief": {"format": "author: %(message)s"}},
        "handlers": {"file": {"class": "logging.FileHandler", "filename": FILE, "formatter": "brief"}},
        "root": {"handlers": ["file"]},
    })

def forced():
    logging.basicConfig(filename=FILE, format="author: %(message)s", force=True)

def all_at_once():
    forced()
    dict_config()
    logging.disable(logging.CRITICAL)
    logging.disable(logging.NOTSET)

def speak(name):
    # A logger that nobody has asked for before: `dictConfig` disables those that are there.
    logging.getLogger(f"author.{name}").info("%s logged", name)
    return name

async def speak_later(name):
    return speak(name)

def fail(name):
    raise ValueError(name)
"""

CONFIGURING = ("dict_config", "forced", "all_at_once")


def call(server: ServeProcess, tag: str, **arguments: str) -> None:
    with server.client("grpc", "speaking", tag) as client:
        client.run(**arguments)


def check_lines(cli: Cli, server: ServeProcess, folder: Path) -> None:
    call(server, "speak", name="one")
    call(server, "speak_later", name="two")
    with pytest.raises(ExecutionFailedError) as caught:
        call(server, "fail", name="three")
    server.wait_for("ValueError: three")
    assert f"WARNING An entrypoint raised. invocation_id={caught.value.invocation_id}\n" in server.err

    assert (folder / "author.log").read_text() == "author: one logged\nauthor: two logged\n"
    # As in a script that is configured so, they are in the author's file alone.
    assert "one logged" not in server.err
    texts = [text.partition("\n")[0] for _, text in lines_of(cli)]
    assert texts == ["one logged", "two logged", "An entrypoint raised."]


@pytest.mark.parametrize("configure", CONFIGURING)
def test_logging_that_is_configured_at_import_leaves_tracebacks_and_history(
    cli: Cli, tmp_path: Path, configure: str
) -> None:
    folder = speaking_agent(tmp_path / "agent", f"{SOURCE}\n{configure}()\n", "speak", "speak_later", "fail")
    with cli.serving(folder) as server:
        check_lines(cli, server, folder)


@pytest.mark.parametrize("configure", CONFIGURING)
def test_logging_that_is_configured_in_an_entrypoint_leaves_tracebacks_and_history(
    cli: Cli, tmp_path: Path, configure: str
) -> None:
    folder = speaking_agent(tmp_path / "agent", SOURCE, configure, "speak", "speak_later", "fail")
    with cli.serving(folder) as server:
        call(server, configure)
        check_lines(cli, server, folder)


def test_what_basic_config_sets_at_import_has_its_effect_once_on_each_line(cli: Cli, tmp_path: Path) -> None:
    source = """
import logging
logging.basicConfig(level=logging.DEBUG, format="author: %(message)s")
def speak():
    logging.getLogger("author").debug("in detail")
"""
    folder = speaking_agent(tmp_path / "agent", source, "speak")
    with cli.serving(folder) as server:
        call(server, "speak")
        server.wait_for("in detail")
        assert lines_of(cli) == [("DEBUG", "in detail")]
    assert server.err.count("in detail") == 1
    assert "author: in detail\n" in server.err


def test_without_a_configuration_the_server_shows_the_agents_lines(cli: Cli, tmp_path: Path) -> None:
    source = """
import logging
logging.getLogger("library").addHandler(logging.NullHandler())
def speak():
    logging.getLogger("library.part").warning("one")
    logging.getLogger("author").info("two")
    logging.getLogger("author").debug("three")
"""
    folder = speaking_agent(tmp_path / "agent", source, "speak")
    with cli.serving(folder) as server:
        call(server, "speak")
        assert lines_of(cli) == [("WARNING", "one"), ("INFO", "two")]
        server.wait_for("two")
    assert server.err.count(" WARNING one\n") == 1
    assert server.err.count(" INFO two\n") == 1
    assert "three" not in server.err


def test_the_servers_lines_go_to_the_authors_handlers_where_the_author_asks_for_them(cli: Cli, tmp_path: Path) -> None:
    config = '"loggers": {"runagent_grpc": {"propagate": True}},\n        "root": {"handlers": ["file"]},'
    source = SOURCE.replace('"root": {"handlers": ["file"]},', config)
    folder = speaking_agent(tmp_path / "agent", f"{source}\ndict_config()\n", "fail")
    with cli.serving(folder) as server:
        with pytest.raises(ExecutionFailedError):
            call(server, "fail", name="one")
        server.wait_for("ValueError: one")
    assert "author: An entrypoint raised.\n" in (folder / "author.log").read_text()


def test_threads_and_streams_that_are_kept_at_import_write_for_the_invocation(cli: Cli, tmp_path: Path) -> None:
    source = """
import sys
import threading
OUT, ERR = sys.stdout, sys.stderr
def speak():
    OUT.write("out\\n")
    ERR.write("err\\n")
    thread = threading.Thread(target=print, args=("threaded",))
    thread.start()
    thread.join()
"""
    folder = speaking_agent(tmp_path / "agent", source, "speak")
    with cli.serving(folder) as server:
        call(server, "speak")
        assert lines_of(cli) == [("INFO", "out"), ("INFO", "err"), ("INFO", "threaded")]
        server.wait_for("threaded\n")
