from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.agent import Agent, InvalidAgentError, load_agent

MakeFolder = Callable[..., Path]
Load = Callable[[Path], Agent]
ProblemsOf = Callable[[Path], tuple[str, ...]]


def entry(tag: str, module: str | None = None, file: str = "main.py") -> dict[str, str]:
    return {"file": file, "module": module or tag, "tag": tag}


ALL_FORMS = '''
import functools

def plain(): return "plain"
async def coroutine(): return "coroutine"
def generator_stream(): yield "generator"
async def async_generator_stream(): yield "async generator"
def returns_list(): return ["list"]
def returns_iterator(): return iter(["iterator"])
async def returns_iterable(): return ["iterable"]
def returns_async_iterator(): return async_generator_stream()

class App:
    """Answers."""
    def __init__(self): self.inner = self
    def invoke(self): return "method"
    def __call__(self): return "called"
    @property
    def tool(self): return lambda: "property"
    @classmethod
    def made(cls): return "class method"
    @staticmethod
    def fixed(): return "static method"

def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs): return function(*args, **kwargs)
    return wrapper

@decorated
def wrapped(): return "wrapped"

app = App()
partly = functools.partial(lambda x: x, "partial")
table = {"invoke": lambda: "item", "deep": {"er": app}}
def stars(*args, **kwargs): return "stars"
'''


@pytest.mark.parametrize(
    ("module", "result"),
    [
        ("plain", "plain"),
        ("coroutine", "coroutine"),
        ("generator_stream", "generator"),
        ("async_generator_stream", "async generator"),
        ("returns_list", ["list"]),
        ("returns_iterator", "iterator"),
        ("returns_iterable", ["iterable"]),
        ("returns_async_iterator", "async generator"),
        ("app", "called"),
        ("app.invoke", "method"),
        ("app.inner.inner.invoke", "method"),
        ("app.tool", "property"),
        ("app.made", "class method"),
        ("App.fixed", "static method"),
        ("wrapped", "wrapped"),
        ("partly", "partial"),
        ("table.invoke", "item"),
        ("table.deep.er.invoke", "method"),
        ("stars", "stars"),
    ],
)
def test_every_callable_form_loads(make_folder: MakeFolder, load: Load, module: str, result: Any) -> None:
    agent = load(make_folder({"main.py": ALL_FORMS}, [entry("tag", module)]))
    assert asyncio.run(outcome_of(agent.entrypoints["tag"].function)) == result


async def outcome_of(function: Callable[[], Any]) -> Any:
    value = function()
    if inspect.isawaitable(value):
        value = await value
    if hasattr(value, "__anext__"):
        return await anext(value)
    return next(value) if hasattr(value, "__next__") else value


def test_the_agent_carries_what_the_config_says(make_folder: MakeFolder, load: Load) -> None:
    source = 'def run(x):\n    """Runs.\n\n    Well.\n    """\ndef tell():\n    yield 1\n'
    folder = make_folder(
        {"src/app.py": source},
        [entry("run", "run", "src/app.py"), entry("tell_stream", "tell", "src/app.py")],
        description="D",
        version="1.0",
        framework="openai",
        auth_settings={"type": "api_key"},
    )
    agent = load(folder)
    assert (agent.agent_id, agent.agent_name, agent.framework, agent.auth_type) == (
        "an-id",
        "A name",
        "openai",
        "api_key",
    )
    assert (agent.description, agent.version, agent.folder) == ("D", "1.0", folder.resolve())
    assert [(e.tag, e.streaming) for e in agent.entrypoints.values()] == [("run", False), ("tell_stream", True)]
    run = agent.entrypoints["run"]
    assert (run.description, run.file, run.module) == ("Runs.\n\nWell.", "src/app.py", "run")
    assert list(run.signature.keywords) == ["x"]


def test_the_docstring_of_an_object_is_that_of_what_it_does(make_folder: MakeFolder, load: Load) -> None:
    source = 'import functools\nclass A:\n    """Is."""\n    def __call__(self):\n        """Does."""\n'
    source += 'class B:\n    """Is."""\n    def __call__(self): ...\n'
    source += 'def f(x):\n    """Is f."""\na, b, p = A(), B(), functools.partial(f, 1)\n'
    agent = load(make_folder({"main.py": source}, [entry("a"), entry("b"), entry("p")]))
    assert [e.description for e in agent.entrypoints.values()] == ["Does.", "Is.", "Is f."]


def test_relative_and_absolute_imports_work_without_init(make_folder: MakeFolder, load: Load) -> None:
    files = {
        "main.py": "from .helper import A\nfrom .tools.deep import B\nimport helper\nimport tools.deep\n"
        "def run(): return A, B, helper.A, tools.deep.B\n",
        "helper.py": "A = 'a'\n",
        "tools/deep.py": "B = 'b'\n",
    }
    assert load(make_folder(files)).entrypoints["run"].function() == ("a", "b", "a", "b")


def test_a_file_in_a_subfolder_imports_from_beside_and_from_above(make_folder: MakeFolder, load: Load) -> None:
    files = {
        "src/v1.2/app.py": "from .beside import A\nfrom ...top import B\ndef run(): return A + B\n",
        "src/v1.2/beside.py": "A = 'a'\n",
        "top.py": "B = 'b'\n",
    }
    agent = load(make_folder(files, [entry("run", file="src/v1.2/app.py")]))
    assert agent.entrypoints["run"].function() == "ab"


def test_packages_with_an_init_are_packages(make_folder: MakeFolder, load: Load) -> None:
    files = {
        "__init__.py": "TOP = 'top'\n",
        "pkg/__init__.py": "from .. import TOP\nINNER = 'inner'\n",
        "pkg/app.py": "from . import INNER, TOP\ndef run(): return TOP, INNER\n",
    }
    agent = load(make_folder(files, [entry("run", file="pkg/app.py"), entry("init", "TOP.upper", "pkg/__init__.py")]))
    assert agent.entrypoints["run"].function() == ("top", "inner")
    assert agent.entrypoints["init"].function() == "TOP"


@pytest.mark.parametrize("name", ["my-agent.py", "agent.v2.py", "1st.py", "class.py", "with space.py", "json.py"])
def test_any_file_name_works(make_folder: MakeFolder, load: Load, name: str) -> None:
    files = {name: "from .helper import A\ndef run(): return A\n", "helper.py": "A = 'a'\n"}
    assert load(make_folder(files, [entry("run", file=name)])).entrypoints["run"].function() == "a"


def test_a_file_runs_once_however_it_is_reached(
    make_folder: MakeFolder, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_TEST_RUNS", "")
    count = "import os\nos.environ['OUR_TEST_RUNS'] += __file__[-4]\ndef run(): ...\n"
    files = {
        "main_a.py": count + "import main_b\nfrom . import main_c\ndef go(): ...\n",
        "main_b.py": count + "import main_a\n",
        "main_c.py": count,
    }
    folder = make_folder(
        files, [*(entry(name, "run", name) for name in (*files, "link.py")), entry("go", file="link.py")]
    )
    (folder / "link.py").symlink_to("main_a.py")
    load(folder)
    assert os.environ["OUR_TEST_RUNS"] == "abc"


def test_two_agents_each_have_their_own_helper(make_folder: MakeFolder, load: Load) -> None:
    main = "from .helper import NAME\nimport helper\nimport pkg.deep\nimport shared_ns.leaf\n"
    main += "def run(): return NAME, helper.NAME, pkg.deep.NAME, shared_ns.leaf.NAME\n"
    main += "def later():\n    from .late import NAME\n    return NAME\n"

    def files(name: str) -> dict[str, str]:
        text = f"NAME = {name!r}\n"
        paths = ("helper.py", "pkg/__init__.py", "pkg/deep.py", "shared_ns/leaf.py", "late.py")
        return {"main.py": main, **dict.fromkeys(paths, text)}

    both = [entry("run"), entry("later")]
    first = load(make_folder(files("first"), both))
    second = load(make_folder(files("second"), both))
    for agent, name in ((first, "first"), (second, "second"), (first, "first")):
        assert agent.entrypoints["run"].function() == (name,) * 4
        assert agent.entrypoints["later"].function() == name


def test_an_agent_does_not_find_another_agents_modules(
    make_folder: MakeFolder, load: Load, problems_of: ProblemsOf
) -> None:
    load(make_folder({"main.py": "import only_mine\ndef run(): ...\n", "only_mine.py": ""}))
    (problem,) = problems_of(make_folder({"main.py": "import only_mine\ndef run(): ...\n"}))
    assert "No module named 'only_mine'" in problem


def test_a_folder_that_is_loaded_again_runs_again(make_folder: MakeFolder, load: Load) -> None:
    folder = make_folder({"main.py": "import helper\ndef run(): return helper.STATE\n", "helper.py": "STATE = []\n"})
    first, second = load(folder), load(folder)
    assert first.entrypoints["run"].function() is not second.entrypoints["run"].function()


def test_unloading_leaves_the_process_as_it_was(make_folder: MakeFolder) -> None:
    path, modules, environment = list(sys.path), set(sys.modules), dict(os.environ)
    folder = make_folder(
        {
            "main.py": "from . import helper\nimport helper as h\ndef run(): ...\n",
            "helper.py": "",
            ".env": "OUR_TEST=1\n",
        }
    )
    with load_agent(folder) as agent:
        assert sys.path[0] == str(folder)
        assert "helper" in sys.modules
    agent.unload()
    assert sys.path == path
    assert set(sys.modules) - modules <= {"_runagent_agents"}
    assert dict(os.environ) == environment


def test_modules_of_a_virtual_environment_in_the_folder_outlive_the_agent(
    make_folder: MakeFolder, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder({"main.py": "import our_test_dep\ndef run(): ...\n", "venv/site-packages/our_test_dep.py": ""})
    monkeypatch.syspath_prepend(str(folder / "venv/site-packages"))
    load(folder).unload()
    assert sys.modules.pop("our_test_dep").__name__ == "our_test_dep"


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("../outside.py", "leads out"),
        ("sub/../../outside.py", "leads out"),
        ("sub/../main.py", "without `..`"),
        ("..\\outside.py", "leads out"),
        ("/etc/passwd", "absolute"),
        ("C:\\agent\\main.py", "absolute"),
        ("\\\\host\\share\\main.py", "absolute"),
        ("link.py", "link leads out"),
        ("linked/outside.py", "link leads out"),
        ("loop.py", "cannot be followed"),
        ("main.py\0", "cannot be followed"),
        ("mian.py", "Did you mean `main.py`?"),
        ("sub\\app.py", "Write it with `/`"),
        ("sub", "not a Python file"),
        ("notes.txt", "not a Python file"),
        (".", "not a Python file"),
    ],
)
def test_a_file_outside_the_folder_is_refused(
    make_folder: MakeFolder, problems_of: ProblemsOf, tmp_path: Path, file: str, words: str
) -> None:
    (tmp_path / "outside.py").write_text("raise SystemExit('executed')\n")
    folder = make_folder({"main.py": "", "notes.txt": "", "sub/app.py": ""}, [entry("run", file=file)])
    (folder / "link.py").symlink_to(tmp_path / "outside.py")
    (folder / "linked").symlink_to(tmp_path, target_is_directory=True)
    (folder / "loop.py").symlink_to("loop.py")
    (problem,) = problems_of(folder)
    assert "the entrypoint `run`" in problem
    assert words in problem
    assert "executed" not in problem


def test_links_within_the_folder_and_to_the_folder_are_fine(
    make_folder: MakeFolder, load: Load, tmp_path: Path
) -> None:
    folder = make_folder({"real.py": "from .helper import A\ndef run(): return A\n", "helper.py": "A = 'a'\n"})
    (folder / "main.py").symlink_to("real.py")
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    assert load(tmp_path / "link").entrypoints["run"].function() == "a"


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("rum", "`rum` is not in `main.py`. Did you mean `run`?"),
        ("zzz", "`zzz` is not in `main.py`. It has `App`, `app`, `run`."),
        ("app.invok", "`invok` is not in `app`. Did you mean `invoke`?"),
        ("table.invok", "Did you mean `invoke`?"),
        ("table", "`table` is of type dict and cannot be called. Name one of `table.invoke`."),
        ("NUMBER", "`NUMBER` is of type int and cannot be called."),
        ("app.broken", "`broken` of `app` raised KeyError: 'no'"),
        ("app..invoke", "`` is not in `app`"),
    ],
)
def test_a_name_that_is_not_there_or_not_callable_is_told(
    make_folder: MakeFolder, problems_of: ProblemsOf, module: str, words: str
) -> None:
    source = "import json\nclass App:\n    def invoke(self): ...\n"
    source += "    @property\n    def broken(self): raise KeyError('no')\n"
    source += "app = App()\ntable = {'invoke': app.invoke}\nNUMBER = 1\ndef run(): ...\n"
    (problem,) = problems_of(make_folder({"main.py": source}, [entry("tag", module)]))
    assert f"module `{module}`" in problem
    assert words in problem


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("\n\nimport no_such_thing\n", "main.py, line 3: ModuleNotFoundError: No module named 'no_such_thing'"),
        ("\nimport no_such_thing.deep\n", "Install what provides `no_such_thing`"),
        ("def run(:\n", "main.py, line 1: SyntaxError: "),
        ("if True:\nx = 1\n", "main.py, line 2: IndentationError: "),
        ("from .helper import missing\n", "main.py, line 1: ImportError: cannot import name 'missing'"),
        ("import sys\nsys.exit(3)\n", "main.py, line 2: SystemExit: 3"),
        ("raise BaseException\n", "main.py, line 1: BaseException"),
        ("def f():\n    return {}['k']\nX = f()\n", "main.py, line 2: KeyError: 'k'"),
        ("import json\njson.loads('x')\n", "main.py, line 2: JSONDecodeError"),
        ("class E(Exception):\n    def __str__(self): return 1/0\nraise E\n", "main.py, line 3: E"),
        ("def f(): f()\nf()\n", "main.py, line 1: RecursionError"),
        ("raise ValueError('x' * 10_000)\n", "xxx..."),
        ("x = '\0'\n", "main.py"),
    ],
)
def test_an_exception_at_import_is_told_with_the_authors_own_line(
    make_folder: MakeFolder, problems_of: ProblemsOf, source: str, words: str
) -> None:
    (problem,) = problems_of(make_folder({"main.py": source, "helper.py": ""}))
    assert words in problem
    assert "importlib" not in problem
    assert "runagent_grpc" not in problem
    assert len(problem) < 2000


def test_the_way_to_a_broken_helper_is_told_innermost_first(make_folder: MakeFolder, problems_of: ProblemsOf) -> None:
    folder = make_folder({"main.py": "# first\nfrom .helper import x\n", "helper.py": "x = undefined\n"})
    (problem,) = problems_of(folder)
    assert problem.splitlines() == [
        "helper.py, line 1: NameError: name 'undefined' is not defined",
        "    x = undefined",
        "  from main.py, line 2",
        "    from .helper import x",
        "  Import it, or define it above this line.",
    ]


def test_a_broken_file_is_one_problem_however_many_entrypoints_it_has(
    make_folder: MakeFolder, problems_of: ProblemsOf
) -> None:
    assert len(problems_of(make_folder({"main.py": "1/0\n"}, [entry("a"), entry("b"), entry("c")]))) == 1


def test_a_broken_agent_leaves_the_process_as_it_was(make_folder: MakeFolder, problems_of: ProblemsOf) -> None:
    path, modules = list(sys.path), set(sys.modules)
    problems_of(make_folder({"main.py": "import helper\n1/0\n", "helper.py": ""}))
    assert sys.path == path
    assert set(sys.modules) - modules <= {"_runagent_agents"}


def test_all_mistakes_of_config_environment_and_code_come_at_once(
    make_folder: MakeFolder, problems_of: ProblemsOf
) -> None:
    folder = make_folder(
        {"main.py": "def run(): ...\n", "broken.py": "import no_such_thing\n"},
        [entry("a", "rum"), entry("b", file="broken.py"), entry("c", file="../x.py"), {"tag": "d", "file": "main.py"}],
        framework="langraph",
        env_vars={"X": "${OUR_TEST_UNSET}"},
    )
    problems = problems_of(folder)
    text = str(InvalidAgentError(problems))
    for words in ("langgraph", "entrypoints[3].module", "OUR_TEST_UNSET", "`run`", "no_such_thing", "leads out"):
        assert words in text
    assert len(problems) == 6
    assert [line for line in text.splitlines() if line.startswith("- ")] == [
        "- " + problem.splitlines()[0] for problem in problems
    ]


def test_ctrl_c_during_an_import_is_let_through(make_folder: MakeFolder) -> None:
    path = list(sys.path)
    with pytest.raises(KeyboardInterrupt):
        load_agent(make_folder({"main.py": "raise KeyboardInterrupt\n"}))
    assert sys.path == path


def test_an_agent_can_be_made_of_functions() -> None:
    agent = Agent.from_functions({"echo": lambda x: x, "count_stream": range})
    assert (agent.agent_id, agent.agent_name, agent.folder) == ("test-agent", "test-agent", None)
    assert list(agent.entrypoints) == ["echo", "count_stream"]
    assert agent.entrypoints["count_stream"].streaming
    agent.unload()


def test_an_agent_of_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(InvalidAgentError, match="`a` is the integer 1"):
        Agent.from_functions({"a": 1})  # type: ignore[dict-item]  # the mistake that is tested
    with pytest.raises(InvalidAgentError, match="at least one entrypoint"):
        Agent.from_functions({})
