"""What to do about an exception at import, said beside it."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runagent_grpc.worker import load_agent

MakeFolder = Callable[..., Path]
ProblemsOf = Callable[[Path], tuple[str, ...]]

END = "\ndef run(): ...\n"
ENTRY = {"file": "json.py", "module": "run", "tag": "run"}


def advice_in(problem: str) -> str:
    return problem.splitlines()[-1].strip()


@pytest.mark.parametrize(
    ("files", "advice"),
    [
        (
            {"main.py": "import langgraph_of_ours"},
            "Install what provides `langgraph_of_ours` in the environment that serves the agent.",
        ),
        (
            {"main.py": "import helpr", "helper.py": ""},
            "Write `helper` if the file `helper.py` is meant. Otherwise: Install what provides `helpr` in the "
            "environment that serves the agent.",
        ),
        (
            {"main.py": "import tiem"},
            "Write `time` if Python's own module is meant. Otherwise: Install what provides `tiem` in the environment "
            "that serves the agent.",
        ),
        (
            {"main.py": "from .helpr import x", "helper.py": ""},
            "The agent's folder has no such file. Did you mean `helper`?",
        ),
        (
            {"main.py": "import helper.deep", "helper.py": ""},
            "`helper.py` in the agent's folder is a file, and no folder with files in it.",
        ),
        (
            {"main.py": "from tabnanny import check", "tabnanny.py": ""},
            "The agent's own file `tabnanny.py` hides the module `tabnanny` that is meant. Give it another name.",
        ),
        (
            {"main.py": "from ensurepip import version", "ensurepip/__init__.py": ""},
            "The agent's own folder `ensurepip` hides the module `ensurepip` that is meant. Give it another name.",
        ),
        (
            {"main.py": "import wave\nwave.open", "wave.py": ""},
            "The agent's own file `wave.py` hides the module `wave` that is meant. Give it another name.",
        ),
        (
            {"main.py": "from .a import x", "a.py": "from .b import y\nx = 1", "b.py": "from .a import x\ny = 1"},
            "Two files import each other. Move what both need into a third, or import inside of the function.",
        ),
        (
            {"main.py": "from .a import x\ny = 1", "a.py": "from .main import y\nx = 1"},
            "Two files import each other. Move what both need into a third, or import inside of the function.",
        ),
        ({"main.py": "from .helper import lod", "helper.py": "load = 1"}, "Did you mean `load`?"),
        (
            {"main.py": "from click import zzz_of_ours"},
            "The `click` that is installed has no such name; another version may.",
        ),
        ({"main.py": "import math\nmath.flor"}, "Did you mean `floor`?"),
        ({"main.py": "json.dumps({})"}, "Add `import json` at the top of the file."),
        ({"main.py": "agent = 1\nprint(agnet)"}, "Did you mean `agent`?"),
        ({"main.py": "zzz_of_ours()"}, "Import it, or define it above this line."),
        (
            {"main.py": "import os\nos.environ['OUR_TEST_KEY']"},
            "Set OUR_TEST_KEY in the environment, or in .env beside the configuration.",
        ),
        (
            {"main.py": "raise ValueError('Pass a key, or set the OUR_TEST_API_KEY environment variable')"},
            "Set OUR_TEST_API_KEY in the environment, or in .env beside the configuration.",
        ),
        (
            {"main.py": "open('data/names.txt')", "data/names.txt": ""},
            "The file is in the agent's folder, and was looked for where the command was started. "
            'Write `Path(__file__).parent / "data/names.txt"`.',
        ),
        (
            {"main.py": "import sys\nsys.exit(1)"},
            'Put what should run only as a script under `if __name__ == "__main__":`.',
        ),
        ({"main.py": "if True:\n\tx = 1\n        y = 2"}, "Indent with spaces alone."),
        ({"main.py": "if True:\nx = 1"}, "Indent the lines of a block alike."),
        (
            {"main.py": "x = [1,"},
            "Correct this line, or the one above it: a bracket or a quote that was left open is noticed late.",
        ),
        (
            {"main.py": "raise EOFError('EOF when reading a line')"},
            "Nobody can be asked while an agent is loaded. Take what is asked for as a parameter.",
        ),
        (
            {"main.py": "import asyncio\nasyncio.get_running_loop()"},
            "Nothing asynchronous runs while a file is imported. Do it inside of an `async def` entrypoint.",
        ),
    ],
)
def test_an_exception_at_import_is_told_with_what_to_do(
    make_folder: MakeFolder,
    problems_of: ProblemsOf,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    advice: str,
) -> None:
    # What another test has imported would be found before the agent's file.
    for name in ("tabnanny", "ensurepip", "wave"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (problem,) = problems_of(make_folder({**files, "main.py": files["main.py"] + END}))
    assert advice_in(problem) == advice


def test_a_server_that_is_not_there_is_to_be_started(make_folder: MakeFolder, problems_of: ProblemsOf) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    main = f"import socket\nsocket.create_connection(('127.0.0.1', {port}))\n"
    (problem,) = problems_of(make_folder({"main.py": main}))
    assert advice_in(problem) == "Start what it connects to first, or connect inside of the entrypoint."


def test_a_missing_module_names_the_requirements_there_are(
    make_folder: MakeFolder, problems_of: ProblemsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder({"main.py": "import no_such_thing\n", "requirements.txt": "no-such-thing\n"})
    monkeypatch.chdir(folder.parent)
    (problem,) = problems_of(folder)
    assert advice_in(problem).endswith(
        f"the environment that serves the agent: `pip install -r {folder.name}/requirements.txt`."
    )


def test_what_an_agents_modules_are_called_inside_is_nobodys_business(
    make_folder: MakeFolder, problems_of: ProblemsOf
) -> None:
    (problem,) = problems_of(make_folder({"main.py": "from .helper import x\n", "helper.py": ""}))
    assert "cannot import name 'x' from 'helper'" in problem
    (problem,) = problems_of(make_folder({"main.py": "from .nothing import x\n"}))
    assert "No module named '.nothing'" in problem
    (problem,) = problems_of(make_folder({"json.py": "import json\nraise ValueError(__name__)\n"}, [ENTRY]))
    assert "ValueError: .json" in problem


@pytest.mark.parametrize(
    ("file", "line", "other", "advice"),
    [
        ("src/app.py", "import helper", "src/helper.py", "from .helper import ..."),
        ("src/app.py", "import tools", "src/tools/__init__.py", "from .tools import ..."),
        ("src/app.py", "import helper.deep", "src/helper.py", "from .helper import ..."),
        ("src/app.py", "from .helper import x", "helper.py", "from ..helper import ..."),
        ("main.py", "import helper", "src/helper.py", "from .src.helper import ..."),
        ("main.py", "from .helper import x", "src/helper.py", "from .src.helper import ..."),
        ("src/app.py", "import helper", "lib/helper.py", "from ..lib.helper import ..."),
    ],
)
def test_a_file_of_the_agents_is_not_to_be_installed(
    make_folder: MakeFolder, problems_of: ProblemsOf, file: str, line: str, other: str, advice: str
) -> None:
    entry = {"file": file, "module": "run", "tag": "run"}
    (problem,) = problems_of(make_folder({file: line + END, other: "x = 1\n"}, [entry]))
    meant = other.removesuffix("/__init__.py")
    assert advice_in(problem) == f"Write `{advice}` if the agent's own `{meant}` is meant."
    # It is good advice.
    mended = line.replace(line, f"{advice.replace('...', 'x')}") + END
    with load_agent(make_folder({file: mended, other: "x = 1\n"}, [entry])) as agent:
        assert agent.entrypoints["run"].file == file


def test_a_file_whose_name_no_import_can_have_is_to_be_renamed(
    make_folder: MakeFolder, problems_of: ProblemsOf
) -> None:
    (problem,) = problems_of(make_folder({"main.py": "import my_helper", "my-helper.py": ""}))
    assert advice_in(problem) == (
        "The file `my-helper.py` has a name that no import can have. Rename it to `my_helper.py`."
    )


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        ("name = 'é'\n".encode("latin-1"), "Save the file as UTF-8: it is in another encoding."),
        ("name = 1\n".encode("utf-16"), "Save the file as UTF-8: it "),
        (
            b"# coding: our-own\n",
            "Save the file as UTF-8, and remove the line at its top that names an encoding.",
        ),
        (b"name = 'C:\\Users'\n", 'Write a backslash within a text twice, or the text as r"...".'),
        (b"return 1\n", ""),
    ],
)
@pytest.mark.parametrize("file", ["main.py", "helper.py"])
def test_a_source_that_is_not_utf8_has_no_bracket_left_open(
    make_folder: MakeFolder, problems_of: ProblemsOf, source: bytes, advice: str, file: str
) -> None:
    folder = make_folder({"main.py": "from . import helper\n"})
    (folder / file).write_bytes(source)
    (problem,) = problems_of(folder)
    assert "SyntaxError: " in problem
    assert "bracket" not in problem
    assert advice in advice_in(problem)


def test_the_line_that_is_not_utf8_is_told(make_folder: MakeFolder, problems_of: ProblemsOf) -> None:
    folder = make_folder({})
    (folder / "main.py").write_bytes(b"\n" * 4 + b"name = 'caf\xe9'\n")
    (problem,) = problems_of(folder)
    assert problem.startswith("main.py, line 5: SyntaxError: ")


def test_an_exception_that_says_enough_gets_no_advice(make_folder: MakeFolder, problems_of: ProblemsOf) -> None:
    (problem,) = problems_of(make_folder({"main.py": "raise ValueError('no')\n"}))
    assert problem == "main.py, line 1: ValueError: no\n    raise ValueError('no')"
