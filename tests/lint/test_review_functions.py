"""What a review says about functions from their source, and that it says nothing where it cannot be sure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runagent_grpc.lint import Finding, review_agent

MakeFolder = Callable[..., Path]

SHARED = """\
import asyncio, functools, json, subprocess, time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from pydantic import BaseModel
if TYPE_CHECKING:
    from decimal import Decimal
class Opaque: ...
class Model(BaseModel):
    x: int
class App:
    def stream(self, x): yield x
    def one(self, x): return "one"
    def __call__(self, x): return f"{x}"
app = App()
def wraps(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs): return function(*args, **kwargs)
    return wrapper
"""
FIRST_LINE = SHARED.count("\n") + 1


def warnings_of(make_folder: MakeFolder, source: str, tag: str = "f_stream", module: str = "f") -> list[Finding]:
    folder = make_folder({"main.py": SHARED + source}, [{"file": "main.py", "module": module, "tag": tag}])
    return list(review_agent(folder).findings)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def f(x): return 'all of it'", "it returns a string"),
        ("async def f(x): return f'{x}'", "it returns a string"),
        ("def f(x): print(x)", "it returns nothing"),
        ("def f(x):\n    if x:\n        return\n    print(x)", "it returns nothing"),
        ("def f(x): return {'a': x}", "it returns a dict"),
        ("def f(x): return 1 if x else 2", "it returns a number"),
        ("def f(x): return ''.join(x)", "it returns a string"),
        ("def f(x): return 'Hello ' + x", "it returns a string"),
        ("def f(x): return str(x)", "it returns a string"),
        ("def f(x):\n    if x:\n        return {}\n    return 'no'", "it returns a dict or a string"),
        ("def f(x):\n    if x:\n        return 'yes'\n    return None", "it returns a string"),
        ("def f(x):\n    text = ''\n    for y in x:\n        text += y\n    return text", "it returns a string"),
        ("def f(x) -> str: return app.ask(x).text", "it is annotated `str`"),
        ("async def f(x) -> 'dict': return (await app.ask(x))[0]", "it is annotated `dict`"),
        ("def f(x):\n    def inner(): yield 1\n    return 'inner yields, not f'", "it returns a string"),
        ("def f(x):\n    try:\n        return b'x'\n    finally:\n        print(x)", "it returns bytes"),
    ],
)
def test_a_stream_that_never_yields_is_told(make_folder: MakeFolder, source: str, words: str) -> None:
    (finding,) = warnings_of(make_folder, source)
    assert (finding.kind, finding.file, finding.line) == ("stream-without-chunks", "main.py", FIRST_LINE)
    assert finding.text.startswith(f"The tag `f_stream` streams, but `f` never yields: {words}, and that is the only")


@pytest.mark.parametrize("module", ["app.one", "app", "part", "wrapped"])
def test_whatever_can_be_called_is_looked_into(make_folder: MakeFolder, module: str) -> None:
    source = "part = functools.partial(app.one)\n"
    source += (
        "def wrap(f):\n    def wrapper(x): return ' '.join(f(x))\n    return wrapper\nwrapped = wrap(app.stream)\n"
    )
    (finding,) = warnings_of(make_folder, source, module=module)
    assert finding.kind == "stream-without-chunks"


@pytest.mark.parametrize(
    "source",
    [
        "def f(x): yield x",
        "async def f(x): yield x",
        "def f(x): yield from app.stream(x)",
        "def f(x): return app.stream(x)",
        "async def f(x): return app.stream(x)",
        "def f(x): return x",
        "def f(x): return [x]",
        "def f(x): return (y for y in x)",
        "def f(x) -> str: return [x]",
        "def f(x) -> str: return app.ask(x)",
        "async def f(x) -> str: return await app.ask(x)",
        "def f(x) -> str:\n    stream = app.ask(x)\n    return stream",
        "def f(x): return app.ask(x).text",
        "def f(x) -> Iterator[str]: return app.ask(x)",
        "def f(x): raise NotImplementedError",
        "def f(x):\n    while True: time.sleep(1)",
        "def f(x):\n    if x:\n        return 'nothing to say'\n    return app.stream(x)",
        "def f(x):\n    text = 'a'\n    text = app.stream(text)\n    return text",
        "def f(x):\n    text = 'a'\n    for text in x: pass\n    return text",
        "def f(text):\n    text += 'a'\n    return text",
        "text = 'a'\ndef f(x): return text",
        "def str(x): return iter(x)\ndef f(x): return str(x)",
        "f = lambda x: 'all of it'",
        "class f:\n    def __init__(self, x): ...",
        "@wraps\ndef f(x): return 'all of it'",
        "f = print",
        "def f(x):\n    a = a + 'x' if x else a + 'y'\n    a = a.strip()\n    return a",
        "def f(x): return x or 'none'",
    ],
)
def test_a_stream_that_may_have_chunks_is_left_alone(make_folder: MakeFolder, source: str) -> None:
    assert warnings_of(make_folder, source) == []


@pytest.mark.parametrize(
    ("source", "module", "line"),
    [
        ("def f(x): yield x", "f", FIRST_LINE),
        ("async def f(x): yield x", "f", FIRST_LINE),
        ("@functools.cache\ndef g(x): ...\n@staticmethod\ndef f(x): yield x", "f", FIRST_LINE + 3),
        ("f = functools.partial(app.stream)", "f", 12),
    ],
)
def test_a_generator_behind_a_plain_tag_is_told(make_folder: MakeFolder, source: str, module: str, line: int) -> None:
    (finding,) = warnings_of(make_folder, source, tag="f", module=module)
    assert (finding.kind, finding.file, finding.line) == ("generator-without-stream", "main.py", line)
    assert finding.text.endswith("Name the tag `f_stream`, or return a list.")


def test_a_generator_of_a_librarys_is_told_where_it_is_named(make_folder: MakeFolder) -> None:
    (finding,) = warnings_of(make_folder, "from ast import walk", tag="walk", module="walk")
    assert (finding.kind, finding.file) == ("generator-without-stream", "runagent.config.json")
    assert finding.text.startswith("`walk` yields")


@pytest.mark.parametrize(
    "source", ["def f(x): return list(app.stream(x))", "def f(x): return app.stream(x)", "def f(x): return x"]
)
def test_a_plain_tag_that_returns_is_left_alone(make_folder: MakeFolder, source: str) -> None:
    assert warnings_of(make_folder, source, tag="f") == []


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ("x: Opaque", "No schema can describe `Opaque`, the annotation of `x`: any value is taken, unchecked."),
        ("x: 'Opaque | None' = None", "No schema can describe `Opaque | None`, the annotation of `x`: any value"),
        ("*, x: list[Opaque]", "No schema can describe `list[Opaque]`"),
        ("**x: Opaque", "No schema can describe `Opaque`"),
        ("x: Callable", "No schema can describe `Callable`, the annotation of `x`: nobody is told what it takes."),
        ("x: 'Decimal'", "The annotation `Decimal` of `x` names what is not there when the agent is loaded"),
        ("x: 'int |'", "The annotation `int |` of `x` names what is not there"),
    ],
)
def test_a_parameter_that_no_schema_describes_is_told(make_folder: MakeFolder, parameter: str, words: str) -> None:
    (finding,) = warnings_of(make_folder, f"def f(\n    {parameter},\n): return x", tag="f")
    assert (finding.kind, finding.line) == ("parameter-without-schema", FIRST_LINE + 1)
    assert finding.text.startswith(words)


@pytest.mark.parametrize(
    "parameter",
    [
        "x",
        "x: Any",
        "x: object",
        "x: 'Any'",
        "x: int",
        "x: Model",
        "x: 'list[Model] | None' = None",
        "*x: int",
        "on_token: Callable[[str], None] | None = None",
    ],
)
def test_a_parameter_that_says_what_it_takes_is_left_alone(make_folder: MakeFolder, parameter: str) -> None:
    assert warnings_of(make_folder, f"def f({parameter.rstrip('*')}): return list(locals())", tag="f") == []


def test_a_parameter_by_position_alone_is_told(make_folder: MakeFolder) -> None:
    (finding,) = warnings_of(make_folder, "def f(x, /, y): return x", tag="f")
    assert finding.kind == "parameter-by-position-alone"
    assert finding.text.endswith("Remove the `/` behind it.")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("time.sleep(x)", "`time.sleep` in an `async def` keeps all other calls waiting. Write `await asyncio.sleep"),
        ("from time import sleep as s; s(x)", "`time.sleep`"),
        ("import time as t; t.sleep(x)", "`time.sleep`"),
        ("if x:\n        json.loads(subprocess.check_output(x))", "`subprocess.check_output`"),
        ("import urllib.request; urllib.request.urlopen(x)", "`urllib.request.urlopen`"),
    ],
)
def test_a_call_that_blocks_the_loop_is_told(make_folder: MakeFolder, body: str, words: str) -> None:
    (finding,) = warnings_of(make_folder, f"async def f(x):\n    {body}\n    return x", tag="f")
    assert finding.kind == "blocking-call"
    assert finding.text.startswith(words)


@pytest.mark.parametrize(
    "source",
    [
        "def f(x): time.sleep(x)",
        "async def f(x): await asyncio.sleep(x)",
        "async def f(x): await asyncio.to_thread(time.sleep, x)",
        "async def f(x):\n    def wait(): time.sleep(x)\n    await asyncio.to_thread(wait)",
        "async def f(x):\n    await asyncio.to_thread(lambda: time.sleep(x))",
        "async def f(time): time.sleep(1)",
        "async def f(x):\n    subprocess = app\n    subprocess.run(x)",
    ],
)
def test_a_call_that_blocks_nobody_is_left_alone(make_folder: MakeFolder, source: str) -> None:
    assert warnings_of(make_folder, source, tag="f") == []
